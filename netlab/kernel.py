"""The few system calls that Python 3.11 does not offer, by ctypes; each raises OSError and nothing else."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18
MS_BIND: Final = 0x1000
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_TIMERSLACK: Final = 29
_SYS_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}  # asm/unistd.h
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQ")  # struct sched_attr, sched_setattr(2); its sixth: runtime

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces (unshare(2)); CLONE_NEWPID takes effect for its next child."""
    _checked(_libc.unshare(flags), f"unshare(0x{flags:08x})")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace that `descriptor` holds (setns(2)); `kind` is its CLONE flag."""
    _checked(_libc.setns(descriptor, kind), f"setns(0x{kind:08x})")


def mount(source: str, target: str, filesystem: str, flags: int = 0, options: str = "") -> None:
    """Mount (mount(2)) in the calling thread's mount namespace."""
    result = _libc.mount(source.encode(), target.encode(), filesystem.encode(), flags, options.encode())
    _checked(result, f"mount {filesystem or source} on {target}")


def unmount(target: str) -> None:
    """Unmount (umount2(2)) in the calling thread's mount namespace."""
    _checked(_libc.umount2(target.encode(), 0), f"unmount {target}")


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process `signal_number` when the thread that started it ends (prctl(2))."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def set_timer_slack(nanoseconds: int) -> None:
    """Let timeouts of the calling thread be late by no more than this (default 50,000 ns), for pacing."""
    _checked(_libc.prctl(_PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0), "prctl(PR_SET_TIMERSLACK)")


def set_time_slice(nanoseconds: int) -> None:
    """Let the calling thread run for so long at a time (100,000 to 100,000,000 ns), and the sooner for it.

    Anybody may: the share of the processor stays what it was. Before Linux 6.12 the kernel takes no notice.
    """
    number = _SYS_SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "sched_setattr")
    nice = os.getpriority(os.PRIO_PROCESS, 0)  # to be named again, or it would be 0, which not everybody may ask for
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0)
    _checked(_libc.syscall(number, 0, attributes, 0), "sched_setattr")
