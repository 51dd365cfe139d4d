"""What a process takes from itself before it reads the first key (prctl(2)), and what a server gives itself."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
PR_SET_DUMPABLE: Final = 4
PR_SET_NO_NEW_PRIVS: Final = 38
COLLECT_AFTER: Final = (5_000, 200, 50)  # objects, then generations; by default 700, 10, 10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def harden() -> None:
    """Forbid core dumps, and gaining rights by running another program, to this process and its children for good.

    Raises: OSError when the kernel refuses, which Linux never does.
    """
    forbid_core_dumps()
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def forbid_core_dumps() -> None:
    """Make sure that no memory of this process, with its keys, is written to a core file or read by a same-user tracer.

    The limit alone is not enough: where core_pattern is a pipe the kernel ignores it (core(5)). A change of user undoes
    the second half where fs.suid_dumpable is 1 (proc(5)), so whoever changes the user calls this again.

    Raises: OSError when the kernel refuses, which Linux never does.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prctl(PR_SET_DUMPABLE, 0)


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, however that happens; end now where it has ended already.

    A change of user takes this off again (prctl(2)), so whoever changes the user does that first.

    Args:
        parent: the process that started this one.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def allow_descriptors() -> int:
    """Let this process open as many files as the hard limit says, one for each member, and return that number.

    The usual soft limit, 1024, is for programs that use select(2), which cannot name more (setrlimit(2)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def spare_the_collector() -> None:
    """Keep the cycle collector off what goes on all the time: what was made so far stays, the rest is looked at rarely.

    Each packet makes a few short-lived views, which would start the collector after every 100 packets; it would walk
    all members and sessions every so often, 15 ms or more with 10,000 of them. What it walks then is new: 5,000 objects
    of sessions that have just come in take it some 2 ms, ten times as many were a step of 30 ms. It was a sixth of what
    the web process does once a second for a page with a thousand members.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def prctl(option: int, value: int) -> int:
    """Return what prctl(2) answers to an option with one value. Raises: OSError."""
    answer = int(_libc.prctl(option, value, 0, 0, 0))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
