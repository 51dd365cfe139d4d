"""Links, addresses and rules by the library: its errors, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pyroute2.netlink import nlmsgerr

from rustun.backends import rtnetlink


def test_an_answer_that_cannot_be_read_is_an_error() -> None:
    """If this fails, a strange answer of some kernel counts as success."""
    answer = nlmsgerr()
    answer["header"]["error"] = None
    assert rtnetlink._errno(answer) == 0
    answer["header"]["error"] = OSError(105, "no room")
    with pytest.raises(OSError, match="no room"):
        rtnetlink._errno(answer)


def test_a_client_that_gives_up_early_loads_no_netlink() -> None:
    """If this fails, `rustun connect --help` or a wrong option costs 14 MB and a quarter of a second."""
    script = "import sys; import rustun.cli.connect; assert not {'pyroute2', 'asyncio'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
