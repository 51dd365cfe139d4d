"""What several files of these tests begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.ops.deploy import deploying
from rustun.ops.deploy.deploying import Manner
from tests.unit.ops.deploy.fleet import Fleet, target


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fleet:
    """A server and two members, deployed."""
    made = Fleet(tmp_path, "bj-a", "bj-b")
    assert deploying.deploy(target(made), Manner(yes=True)) == 0
    capsys.readouterr()
    return made
