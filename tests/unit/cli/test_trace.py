"""`rustun trace` as people and machines read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rustun.cli import main
from rustun.errors import UsageError

ANSWER: dict[str, Any] = {
    "schema": 1, "role": "server", "verdict": "drop", "reason": "bad-source", "text": "192.168.9.0/24 is b's",
    "cluster": "beijing", "member": "a", "source": "192.168.9.1", "destination": "10.0.1.3", "size": 84,
    "steps": [{"step": "source", "text": "192.168.9.0/24 is b's", "entry": "/etc/rustun/routes.json:31"}],
    "counter": {"member": "a", "counter": "drops bad-source", "now": 12}, "otherwise": ["look there"],
    "back": {"verdict": "pass", "reason": "", "text": "goes to a"},
}  # fmt: skip


def typed(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *arguments: str) -> tuple[Result, dict[str, Any]]:
    """Return what came of a command whose question gets this answer, and the question."""
    asked: dict[str, Any] = {}

    def ask(path: Path, question: Mapping[str, Any]) -> dict[str, Any]:
        asked.update(question)
        return answer

    monkeypatch.setattr("rustun.cli.trace.ask", ask)
    return CliRunner().invoke(main, ["trace", "--control", "s.sock", *arguments], prog_name="rustun"), asked


def test_the_answer_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an operator does not see which line of which file decides, or which counter to look at."""
    result, asked = typed(monkeypatch, ANSWER, "192.168.9.1", "b", "--by", "a", "--size", "1500")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "drop (bad-source): 192.168.9.0/24 is b's",
        "  192.168.9.1 -> 10.0.1.3, 84 bytes, sent by a, beijing",
        "  source       192.168.9.0/24 is b's   /etc/rustun/routes.json:31",
        "  counter      raises drops bad-source of a, now 12",
        "  but          look there",
        "and back: pass: goes to a",
    ]
    assert (asked["source"], asked["destination"], asked["member"], asked["size"]) == ("192.168.9.1", "b", "a", 1500)


def test_the_exit_code_is_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a script takes a dropped packet for one that passes."""
    for verdict, code in (("pass", 0), ("drop", 1), ("not-connected", 1), ("not-routed", 1)):
        assert typed(monkeypatch, {**ANSWER, "verdict": verdict}, "a", "b", "--json")[0].exit_code == code


def test_json_is_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a machine gets less than people."""
    assert json.loads(typed(monkeypatch, ANSWER, "a", "b", "--json")[0].stdout) == ANSWER


def test_names_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a member's name steers the terminal."""
    said = "\x1b[2J\n\u202e"
    hostile: dict[str, Any] = {key: said for key, value in ANSWER.items() if isinstance(value, str | int)}
    hostile |= {key: dict.fromkeys(ANSWER[key], said) for key in ("counter", "back")}
    hostile |= {"steps": [dict.fromkeys(ANSWER["steps"][0], said)], "otherwise": [said]}
    output = typed(monkeypatch, hostile, "a", "b")[0].output
    assert output.replace("\n", "").isprintable()
    assert len(output.splitlines()) == 6


def test_a_question_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a misspelt member looks like a dropped packet."""

    def ask(path: Path, question: object) -> object:
        raise UsageError("no member", "did you mean")

    monkeypatch.setattr("rustun.cli.trace.ask", ask)
    result = CliRunner().invoke(main, ["trace", "--control", "s", "a", "b"], prog_name="rustun")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean" in result.stderr
