"""Which process a question goes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.cli.whom import whom
from rustun.errors import HostError, UsageError

SERVER, ONE, TWO = Path("/r/server.sock"), Path("/r/client-a.sock"), Path("/r/client-b.sock")


@pytest.mark.parametrize(
    ("there", "clients_first", "asked"),
    [([SERVER], True, SERVER), ([ONE], False, ONE), ([SERVER, ONE], True, ONE), ([SERVER, ONE, TWO], False, SERVER)],
)
def test_the_one_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, there: list[Path], clients_first: bool, asked: Path
) -> None:
    """If this fails, a question about a member's host goes to the relay beside it."""
    monkeypatch.setattr("rustun.cli.whom.find_sockets", lambda: there)
    assert whom(None, clients_first=clients_first) == asked
    assert whom(TWO, clients_first=clients_first) == TWO


def test_none_and_several_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, one of several clients is asked by chance."""
    monkeypatch.setattr("rustun.cli.whom.find_sockets", lambda: [ONE, TWO])
    with pytest.raises(UsageError, match="several clients"):
        whom(None, clients_first=True)
    monkeypatch.setattr("rustun.cli.whom.find_sockets", list)
    with pytest.raises(HostError, match="nothing runs here"):
        whom(None, clients_first=True)
