"""Programs of a distribution, installed where they are missing and this process may (root, apt).

Rules of this module
  1. A program counts as there when it is found where root finds it: not every user's PATH has those folders.
  2. Of several processes that miss something one installs it, and the others wait; another apt is waited for as well.
  3. Whether installing worked is seen by looking for the programs again; what apt complains of goes to stderr.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ADMIN_FOLDERS: Final = ":/usr/local/sbin:/usr/sbin:/sbin"
PATIENCE: Final = ("-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::http::Timeout=30")  # seconds


def lacking(programs: Mapping[str, str], *, install: bool = True) -> list[str]:
    """Install what is missing, and return what then still is.

    Args:
        programs: name of a program, or the path of a file, to the package that has it.
        install: false only looks, for packages that would start a service on this machine.
    Returns:
        The packages that could not be had. This process finds the folders of the administrator from now on.
    """
    path = os.environ.get("PATH", os.defpath)
    if not path.endswith(ADMIN_FOLDERS):
        os.environ["PATH"] = path + ADMIN_FOLDERS
    if install and _missing(programs) and os.geteuid() == 0 and shutil.which("apt-get"):
        with Path(__file__).open() as own:
            fcntl.flock(own, fcntl.LOCK_EX)
            if packages := _missing(programs):
                _install(packages)
    return _missing(programs)


def _missing(programs: Mapping[str, str]) -> list[str]:
    return [package for program, package in programs.items() if not _is_there(program)]


def _is_there(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def _install(packages: list[str]) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", "-qq", *PATIENCE, *words], env=quiet, stdout=subprocess.DEVNULL, check=False)
