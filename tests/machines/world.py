"""Run a test function in a process of its own, in which real machines can be booted.

Rules of this module
  1. The function's process is number 1 of a world of its own (netlab.namespaces): machines, mounts and networks end
     with it. On the control network `ssh root@NAME` works, for the programs that it starts as well.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path

from rustun.ops.deploy.wheelhouse import Platform
from tests.netlab.child import run_in_child

BOOKWORM = Platform(os.uname().machine, "glibc", "2.36", "/usr/bin/python3", "3.11.2")  # what the machines are
LIMIT_S = 200  # only reached where something hangs


def on_machines(function: Callable[[Path], None]) -> Callable[[Path], None]:
    """Make a test, which takes its folder, run in a child process; it fails with what the child wrote."""

    @functools.wraps(function)
    def run(tmp_path: Path) -> None:
        run_in_child("tests.netlab.own_world", function, str(tmp_path), limit_s=LIMIT_S)

    return run
