"""Run a test function in a process of its own, inside a network namespace that ends with it.

Rules of this module
  1. Nothing is made in the host's own network namespace: the child leaves it before it does anything else.
  2. Without root the child makes itself root of a user namespace first; TUN devices work there.
  3. The files that a client may write are its own, too: /run is empty, with STATE in it, /etc/hosts is a copy, and no
     journal lands in the host's /var/lib.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from collections.abc import Callable
from pathlib import Path

from netlab import kernel
from netlab.worlds.own_world import copy_hosts_file, hide_journals
from tests.netlab.child import load_case, run_in_child
from tests.netlab.many_ids import become_root_of_many

STATE = Path("/run/rustun-state")  # for journals
LIMIT_S = 150  # only reached where something hangs


def in_private_namespace(function: Callable[[], None]) -> Callable[[], None]:
    """Make a test run in a child process; it fails with what the child wrote."""

    @functools.wraps(function)
    def run() -> None:
        run_in_child("tests.netlab.private_namespace", function, limit_s=LIMIT_S)

    return run


def enter() -> None:
    """Leave the host's network and mounts; become root of a user namespace where this process is not root."""
    become_root_of_many()
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    hide_journals()
    STATE.mkdir()
    copy_hosts_file()


def drop_capabilities(kept: int = 0) -> None:
    """Give up every right of root but those whose bits `kept` has, for good (capset(2), version 3)."""
    libc = ctypes.CDLL(None, use_errno=True)
    sets = struct.pack("6I", kept, kept, 0, 0, 0, 0)
    assert libc.capset(struct.pack("Ii", 0x20080522, 0), sets) == 0, os.strerror(ctypes.get_errno())


def inside(file: str, name: str) -> int:
    """Run one function of one test file in there."""
    enter()
    load_case(file, name)()
    return 0
