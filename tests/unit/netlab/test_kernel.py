"""System calls that Python does not offer."""

from __future__ import annotations

import ctypes
import os
import struct
from threading import Thread

from netlab import kernel

GETATTR = {"x86_64": 315, "aarch64": 275, "riscv64": 275}  # asm/unistd.h
ATTRIBUTES = struct.Struct("=IIQiIQQQ")


def test_a_time_slice_is_asked_for_and_nothing_else() -> None:
    """An ordinary user's impaired links would be late beside any busy process, or change who gets the processor."""
    found: list[tuple[int, ...]] = []

    def ask() -> None:
        kernel.set_time_slice(100_000)
        buffer = ctypes.create_string_buffer(ATTRIBUTES.size)
        ctypes.CDLL(None).syscall(GETATTR[os.uname().machine], 0, buffer, ATTRIBUTES.size, 0)
        found.append(ATTRIBUTES.unpack(buffer.raw))

    thread = Thread(target=ask)
    thread.start()
    thread.join()
    _, policy, flags, nice, _, runtime, _, _ = found[0]
    assert (policy, flags, nice, runtime) == (os.SCHED_OTHER, 0, os.nice(0), 100_000)
