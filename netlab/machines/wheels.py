"""The wheels that a rehearsal installs on its machines, fetched while a package index can still be asked.

Rules of this module
  1. Neither the machines nor the node `control` have a way out, so what a deployment sends from there has to be kept in
     the checkout before.
  2. Machines without them are of use all the same: what could not be had is said, and stands in nobody's way.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from netlab.processes import CHECKOUT
from rustun.ops.deploy.wheelhouse import Platform, Wheelhouse

PYTHON: Final = "/usr/bin/python3"
_ASK: Final = "import os, sys; print(os.uname().machine, os.confstr('CS_GNU_LIBC_VERSION'), sys.version.split()[0])"


def fetch(tree: Path, *, web: bool) -> None:
    """See that the checkout has the wheels that fit a tree, as far as they can be had.

    Args:
        web: whether servers will have a web process, whose packages are more.
    """
    house, platform = Wheelhouse(CHECKOUT), platform_in(tree)
    releases = [house.release(platform), *([house.release(platform, web=True)] if web else ())]
    if missing := next((one.missing for one in releases if one.missing), ""):
        print(
            f"machines: {missing}\n  until then ./invoke deploy installs nothing on them", file=sys.stderr, flush=True
        )


def platform_in(tree: Path) -> Platform:
    """Return which wheels a machine with this tree takes."""
    asked = subprocess.run(["chroot", str(tree), PYTHON, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    arch, libc, libc_version, python_version = asked.stdout.split()
    return Platform(arch, libc, libc_version, PYTHON, python_version)
