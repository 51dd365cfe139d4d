"""`rustun`, imported once and run as often as asked: each line of standard input, a JSON list, is its command line.

python -m tests.netlab.ready_rustun

Rules of this module
  1. Each run is a process of its own, forked from here: one that is killed in its first moments was doing something,
     instead of importing modules. One at a time; standard output tells its process number, then its exit code.
  2. What a run says on standard output goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from rustun.cli import main

LATE = ("connect", "serve", "cleanup")  # what the command line imports when it is asked for
NETLINK = ("host_executor", "host_recovery", "rtnetlink")


def import_all() -> None:
    """Import what `rustun` would only import on the way."""
    for name in LATE:
        importlib.import_module(f"rustun.cli.{name}")
    for name in NETLINK:
        importlib.import_module(f"rustun.backends.{name}")


def serve_lines() -> None:
    """Run each line's command, until standard input ends."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            main(args=json.loads(line), prog_name="rustun")
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    import_all()
    serve_lines()
