"""`rustun cleanup`: when it looks for what a client left."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.backends import host_recovery
from rustun.backends.capabilities import CAP_NET_ADMIN
from rustun.backends.host_recovery import Recovered
from rustun.cli import cleanup


@pytest.mark.parametrize(
    ("result", "journal", "looked"),
    [
        (None, False, [False]),
        ("success", False, []),
        ("success", True, [False]),
        ("signal", False, [True]),
        ("watchdog", True, [True]),
    ],
)
def test_only_behind_an_orderly_end_without_a_journal_nothing_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str | None, journal: bool, looked: list[bool]
) -> None:
    """What a killed client left would stay, its kill switch be taken off, or each restart of a service take longer."""
    keeping: list[bool] = []

    def cleanup_all(_folder: Path, *, keep_kill_switch: bool) -> list[Recovered]:
        keeping.append(keep_kill_switch)
        return []

    monkeypatch.setattr(cleanup, "permitted_capabilities", lambda: {CAP_NET_ADMIN})
    monkeypatch.setattr(host_recovery, "cleanup_all", cleanup_all)
    monkeypatch.delenv("SERVICE_RESULT", raising=False)
    if result is not None:
        monkeypatch.setenv("SERVICE_RESULT", result)
    if journal:
        (tmp_path / "host-rustun0.json").write_text("{}")
    assert cleanup.cleanup(None, tmp_path, as_json=False) == 0
    assert keeping == looked
