"""What a process with keys must not leave behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def said(script: str) -> str:
    """Return what a process of its own prints."""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_no_core_and_not_dumpable() -> None:
    """A crash writes keys into a core file, or a pipe of the host's, or another process of the user reads them."""
    script = (
        "import resource; from rustun.backends.process import harden, prctl; harden();"
        "PR_GET_DUMPABLE = 3; print(resource.getrlimit(resource.RLIMIT_CORE), prctl(PR_GET_DUMPABLE, 0))"
    )
    assert said(script) == "(0, 0) 0\n"


def test_no_new_privileges() -> None:
    """Code that got into a server makes itself root by running a set-user-ID program."""
    script = "from rustun.backends.process import harden, prctl; harden(); PR_GET_NNP = 39; print(prctl(PR_GET_NNP, 0))"
    assert said(script) == "1\n"


def test_as_many_descriptors_as_the_host_allows() -> None:
    """A server refuses its thousandth member on a host that allows it half a million descriptors."""
    script = (
        "import resource as r; from rustun.backends.process import allow_descriptors;"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (100, hard));"
        "print(allow_descriptors() == hard == r.getrlimit(r.RLIMIT_NOFILE)[0])"
    )
    assert said(script) == "True\n"
