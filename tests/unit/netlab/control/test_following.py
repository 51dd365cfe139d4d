"""What lab-status, lab-diff and lab-apply print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netlab.control import following, runfolder, status
from netlab.control.runfolder import RunFolder
from netlab.errors import BadInput

CHANGES = [
    {"sign": "+", "what": "member", "name": "bj-new", "text": "beijing, 10.0.1.9"},
    {"sign": "-", "what": "host", "name": "sh-printer", "text": ""},
]
JUDGED = {"as_expected": False, "probes": 12, "surprises": ["bj-new reached sh-db"], "unproven": []}
APPLIED = {"inventory": "a.toml", "changes": CHANGES, "steps": [{"step": "wired", "seconds": 0.04}]}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let a laboratory answer what the test puts here, by the request's "do"."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(runfolder, "find", lambda _name: RunFolder(Path("/labs/acme")))
    for module in (following, status):
        monkeypatch.setattr(module, "demand", lambda _folder, request, *_: found[request["do"]])
    return found


def test_differences_are_printed_and_end_with_5(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A script could not tell whether a laboratory is what its inventory says."""
    answers["diff"] = {"inventory": "a.toml", "changes": CHANGES}
    assert following.diff("", as_json=False) == 5
    assert capsys.readouterr().out == "  + member bj-new       beijing, 10.0.1.9\n  - host   sh-printer\n"
    answers["diff"] = {"inventory": "a.toml", "changes": []}
    assert following.diff("", as_json=False) == 0
    assert capsys.readouterr().out == "acme is what a.toml says\n"
    assert following.diff("", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == 1


def test_an_apply_is_red_where_somebody_reaches_whom_he_may_not(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A leak that came with a change would pass a script."""
    answers["apply"] = {**APPLIED, "reachability": JUDGED}
    assert following.apply("", as_json=False) == 5
    out = capsys.readouterr().out
    assert "    0.04 s  wired" in out
    assert "12 probes between all members: 1 surprises, 0 unproven\n  bj-new reached sh-db" in out
    answers["apply"] = {**APPLIED, "reachability": {**JUDGED, "as_expected": True, "surprises": []}}
    assert following.apply("", as_json=True) == 0
    answers["apply"] = {"inventory": "a.toml", "changes": [], "steps": []}
    capsys.readouterr()
    assert following.apply("", as_json=False) == 0
    assert capsys.readouterr().out == "nothing to do: acme is what a.toml says\n"


def test_a_refusal_has_its_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A broken inventory would look like a difference."""

    def refuse(*_: object) -> None:
        raise BadInput("a.toml:3: no such key", "did you mean delay?")

    monkeypatch.setattr(runfolder, "find", lambda _name: RunFolder(Path("/labs/acme")))
    for module in (following, status):
        monkeypatch.setattr(module, "demand", refuse)
    assert {following.diff("", as_json=True), following.apply("", as_json=True), status.run("", as_json=True)} == {2}
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("did you mean delay?") == 3


def test_a_status_says_of_each_node_what_it_does(answers: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A process that has ended would look well."""
    common: dict[str, Any] = {"addresses": ["198.18.0.2/32"], "pid": 7, "ended": None, "cluster": ""}
    nodes = [
        {**common, "node": "server", "role": "server", "rustun": {"role": "server", "online": 1, "members": 2}},
        {**common, "node": "m1", "role": "member", "rustun": {"role": "client", "state": "online", "tier": "key"}},
        {**common, "node": "m2", "role": "member", "rustun": None},
        {**common, "node": "host", "role": "host", "pid": None, "rustun": None},
    ]
    answers["status"] = {"schema": 1, "name": "acme", "phases": {"wired": 0.1}, "nodes": nodes}
    assert status.run("", as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, state in zip(lines[1:5], ("1 of 2 online", "online, key tier", "does not answer", "-"), strict=True):
        assert f"  {state}  " in line
    assert lines[5] == "acme came up: wired 0.10 s"
    nodes[2]["ended"] = -9
    assert status.run("", as_json=False) == 5
    assert "ended, exit code -9" in capsys.readouterr().out
