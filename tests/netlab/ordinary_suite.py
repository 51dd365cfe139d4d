"""All of tests/netlab as an ordinary user, in a copy of the checkout: `python -m tests.netlab.ordinary_suite [TESTS]`.

Rules of this module
  1. Root copies the checkout, gives the copy to a user that nobody is, and becomes that user for good; who is an
     ordinary user already runs the tests where they stand.
  2. Some tests need several users: such as a server that becomes another one. In the user namespace of an ordinary user
     there are more than one where the administrator has granted ids to map, as Debian does for each account that is
     made by hand, and as is done here.
  3. Nothing is left out. A test that skips fails the run, here as everywhere (tests/conftest.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from netlab.errors import EXIT_ENVIRONMENT
from netlab.packages import lacking
from tests.netlab.many_ids import PROGRAMS
from tests.netlab.ordinary_user import ROOT, USER

LEFT: Final = shutil.ignore_patterns("__pycache__", ".*", "build", "secrets")  # what no test reads
WORKERS: Final = "3"  # on two cores, as in `invoke test`: half of the time they wait


def main(*chosen: str) -> int:
    """Run the tests, or those chosen; return pytest's exit code."""
    if os.geteuid() != 0:
        return subprocess.call(_pytest(ROOT, chosen), cwd=ROOT)
    if packages := lacking(PROGRAMS):
        print(f"ordinary-user: apt-get install {' '.join(packages)}", file=sys.stderr)
        return EXIT_ENVIRONMENT
    with TemporaryDirectory() as folder:
        copy = Path(folder, "checkout")
        shutil.copytree(ROOT, copy, ignore=LEFT)
        for path in (Path(folder), copy, *copy.rglob("*")):
            os.chown(path, USER, USER)
        become = [sys.executable, "-m", "tests.netlab.ordinary_user", str(copy), "0666", "allowed"]
        environment = {**os.environ, "HOME": folder, "TMPDIR": folder}
        return subprocess.call([*become, *_pytest(Path(folder), chosen)], cwd=ROOT, env=environment)


def _pytest(folder: Path, chosen: Sequence[str]) -> list[str]:
    options = ["-q", "-n", WORKERS, "-p", "no:cacheprovider", f"--basetemp={folder / 'tests'}"]
    return [sys.executable, "-m", "pytest", *options, *(chosen or ("tests/netlab",))]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
