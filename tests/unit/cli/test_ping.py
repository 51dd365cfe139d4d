"""`rustun ping`: both planes apart, counted as they were, with ping's exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rustun.cli import main
from rustun.errors import HostError, RightsError, UsageError

FACTS = {
    "schema": 1, "role": "client", "member": "bj-dev", "name": "", "address": "10.0.1.2", "not_routed": "",
    "server": "192.0.2.1:8080", "remote": "192.0.2.1:8080", "tier": "key", "rtt_ms": 0.5, "why_not": "",
}  # fmt: skip
Answers = list[Mapping[str, Any]]
Trips = list[float | None | Exception]


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ping", "--control", "s.sock", "-i", "0.1", *arguments], prog_name="rustun")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers, Trips], list[str]]:
    """Return what sets the answers of the process and the round trips of the data plane; it returns where they went."""

    def set_up(answers: Answers, trips: Trips) -> list[str]:
        sent: list[str] = []

        class Echo:
            def __init__(self, address: object) -> None:
                if isinstance(trips[0], RightsError):
                    raise trips[0]
                sent.append(str(address))

            def __enter__(self) -> Echo:
                return self

            def __exit__(self, *error: object) -> None:
                pass

            def round_trip(self, number: int, seconds: float) -> float | None:
                trip = trips[number - 1]
                if isinstance(trip, Exception):
                    raise trip
                return trip

        def ask(path: Path, question: Mapping[str, object], timeout_seconds: float) -> Mapping[str, Any]:
            assert question["ask"] == "ping"
            return answers.pop(0)

        monkeypatch.setattr("rustun.cli.ping.ask", ask)
        monkeypatch.setattr("rustun.cli.ping.Echo", Echo)
        return sent

    return set_up


def test_both_planes_are_shown_apart(host: Callable[[Answers, Trips], list[str]]) -> None:
    """If this fails, nobody can tell a slow server from a slow member."""
    sent = host([{**FACTS, "rtt_ms": 0.5}, {**FACTS, "rtt_ms": 1.5}], [0.001, 0.004])
    result = typed("bj-dev", "-c", "2")
    assert result.exit_code == 0
    assert sent == ["10.0.1.2"]
    assert result.stdout.splitlines() == [
        "bj-dev 10.0.1.2 by server 192.0.2.1:8080, key tier",
        "   1   control 0.50 ms          data 1.00 ms",
        "   2   control 1.50 ms          data 4.00 ms",
        "control  2 of 2 answered   min 0.50   mean 1.00   max 1.50 ms",
        "data     2 of 2 answered   min 1.00   mean 2.50   max 4.00 ms",
    ]


@pytest.mark.parametrize(
    ("answer", "trips", "code", "words"),
    [
        ({}, [None], 1, "data     0 of 1 answered   (no answer)"),
        ({"rtt_ms": None, "why_not": "late"}, [0.1], 1, "control  0 of 1 answered   (late)"),
        ({}, [HostError("not delivered: No route to host")], 1, "(not delivered: No route to host)"),
        ({}, [RightsError("no permission", "run it as root")], 1, "data     not measured: no permission"),
        ({"not_routed": "refused"}, [], 1, "data     not measured: refused"),
        ({"rtt_ms": None, "tier": "legacy", "why_not": "no ping"}, [0.1], 0, "control  not measured: no ping"),
        ({"rtt_ms": None, "tier": "legacy", "why_not": "no ping"}, [None], 1, "data     0 of 1 answered"),
        ({"role": "server", "cluster": "c"}, [], 0, "control  1 of 1 answered"),
    ],
)
def test_what_is_lost_is_counted_and_told(
    host: Callable[[Answers, Trips], list[str]], answer: dict[str, Any], trips: Trips, code: int, words: str
) -> None:
    """If this fails, a script believes in a member that did not answer, or the other way round."""
    sent = host([{**FACTS, **answer}], trips)
    result = typed("bj-dev", "-c", "1")
    assert (result.exit_code, words in result.stdout) == (code, True), result.output
    assert not sent or not answer.get("not_routed"), "nothing is sent beside the tunnel"


def test_the_same_facts_as_json(host: Callable[[Answers, Trips], list[str]]) -> None:
    """If this fails, a machine finds words between the JSON, or other figures than people."""
    host([dict(FACTS), {**FACTS, "rtt_ms": None, "why_not": "late"}], [0.001, 0.002])
    result = typed("bj-dev", "-c", "2", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["control"] == {
        "sent": 2, "answered": 1, "min_ms": 0.5, "mean_ms": 0.5, "max_ms": 0.5, "error": "late"
    }  # fmt: skip
    assert (found["data"]["answered"], found["data"]["mean_ms"]) == (2, 1.5)
    assert (found["schema"], found["member"]) == (1, "bj-dev")


def test_a_name_from_elsewhere_is_text(host: Callable[[Answers, Trips], list[str]]) -> None:
    """If this fails, a member's name steers the terminal of whoever pings it."""
    host([{**FACTS, "member": "\x1b[31mred", "tier": "\x1b[8m", "why_not": "\x1b[2J", "rtt_ms": None}], [0.1])
    assert "\x1b" not in typed("x", "-c", "1").output


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a misspelt name has the exit code of a lost packet."""

    def ask(path: Path, question: object, timeout_seconds: float) -> object:
        raise UsageError("no member and no address", "did you mean")

    monkeypatch.setattr("rustun.cli.ping.ask", ask)
    result = typed("nobody")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize("arguments", [["-c", "0"], ["-i", "0"], ["-c", "x"]])
def test_usage(arguments: list[str]) -> None:
    """If this fails, a slip in a number floods somebody, or hangs."""
    assert typed("m", *arguments).exit_code == 2
