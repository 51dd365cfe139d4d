"""Run a test function in a process of its own, inside a network namespace that ends with it.

Rules of this module
  1. Nothing is made in the host's own network namespace: the child leaves it before it does anything else.
  2. Without root the child makes itself root of a user namespace first; TUN devices work there.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from tests.netlab.child import load_case, run_in_child

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
LIMIT_S = 150  # only reached where something hangs


def in_private_namespace(function: Callable[[], None]) -> Callable[[], None]:
    """Make a test run in a child process; it fails with what the child wrote."""

    @functools.wraps(function)
    def run() -> None:
        run_in_child("tests.netlab.private_namespace", function, limit_s=LIMIT_S)

    return run


def enter() -> None:
    """Leave the host's network namespace; become root of a user namespace where this process is not root."""
    flags = CLONE_NEWNET
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        flags |= CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")


def drop_capabilities() -> None:
    """Give up every right of root, for good (capset(2), version 3, all sets empty)."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)) == 0, os.strerror(ctypes.get_errno())


def main(file: str, name: str) -> None:
    """Run one function of one test file here and now."""
    enter()
    load_case(file, name)()


if __name__ == "__main__":
    main(*sys.argv[1:])
