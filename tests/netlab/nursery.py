"""A Python process that has imported what tests need, and is forked for each of them: `python -m tests.netlab.nursery`.

Each line of standard input is an order, a JSON object: `module` with its function `inside`, the `arguments` of that,
and the files that its standard output and error are appended to. Standard output tells the new process's number, then
its exit code.

Rules of this module
  1. Importing takes most of the time of most tests. A fork is a process of its own all the same: nothing of one test
     reaches another, and what it leaves to the interpreter's end is found there.
  2. It has one thread, so that a fork of it may move into a user namespace, and holds no descriptor but three.
  3. Nothing is imported that does something when it is.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from typing import Any, Final

PREPARED: Final = (
    "netlab.scenarios.play",
    "netlab.worlds.keyed_lab",
    "netlab.worlds.leftovers",
    "netlab.worlds.own_world",
    "netlab.worlds.running",
    "netlab.worlds.site",
    "netlab.worlds.traffic",
    "pytest",
    "rustun.backends.host_recovery",
    "rustun.backends.rtnetlink",
    "rustun.cli.connect",
    "rustun.cli.serve",
    "tests.netlab.counted_world",
    "tests.netlab.crashes",
    "tests.netlab.own_world",
    "tests.netlab.private_namespace",
)


def serve() -> None:
    """Carry out orders, one at a time, until standard input ends; in the forked process, return by SystemExit."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _be(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _be(order: dict[str, Any]) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    for number, opened in enumerate(
        (os.open(os.devnull, os.O_RDONLY), os.open(order["stdout"], flags), os.open(order["stderr"], flags))
    ):
        os.dup2(opened, number)
        os.close(opened)
    sys.exit(importlib.import_module(order["module"]).inside(*order["arguments"]))


if __name__ == "__main__":
    for name in PREPARED:
        importlib.import_module(name)
    gc.freeze()  # or the end of each fork looks through all that was imported, for a quarter of a second
    serve()
