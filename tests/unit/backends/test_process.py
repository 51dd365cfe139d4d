"""What a process with keys must not leave behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_no_core_and_not_dumpable() -> None:
    """A crash writes keys into a core file, or a pipe of the host's, or another process of the user reads them."""
    script = (
        "import ctypes, resource; from rustun.backends.process import forbid_core_dumps; forbid_core_dumps();"
        "PR_GET_DUMPABLE = 3;"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0) 0\n"
