"""Capabilities, in a user namespace of a process of its own, which has all of them there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FIRST = """
from netlab import kernel
from rustun.backends.capabilities import *
from rustun.backends.capabilities import PR_CAPBSET_READ
from rustun.backends.process import prctl
kernel.unshare(kernel.CLONE_NEWUSER)
assert {CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN} < permitted_capabilities()
"""


def said(script: str) -> str:
    """Return what a process of its own prints."""
    command = [sys.executable, "-c", FIRST + script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_not_wanted_is_gone_for_good() -> None:
    """A server keeps a right of root's, or takes one back."""
    script = """
set_capabilities({CAP_NET_ADMIN, 40})
print(sorted(permitted_capabilities()))
for wanted in ({CAP_NET_BIND_SERVICE}, {CAP_NET_ADMIN, CAP_SETPCAP}):
    try:
        set_capabilities(wanted)
    except PermissionError:
        print(sorted(permitted_capabilities()))
set_capabilities(())
print(sorted(permitted_capabilities()))
"""
    assert said(script) == "[12, 40]\n[12, 40]\n[12, 40]\n[]\n"


def test_no_program_brings_them_back() -> None:
    """A program that runs as root later has every capability again."""
    script = """
empty_bounding_set()
print([prctl(PR_CAPBSET_READ, number) for number in (0, CAP_NET_ADMIN, 40)])
"""
    assert said(script) == "[0, 0, 0]\n"
