"""`rustun ping`: round trips of the control plane and of the data plane, apart.

Rules of this module
  1. Control is the session's own ping: a client's with its server, a server's with that member. Data is an ICMP echo
     from this host through the tunnel to the member, which only a client's host can send.
  2. Nothing is sent to an address that this host does not route into the tunnel: somebody else would answer, or see it.
  3. Exit code 0 when everything was answered, 1 when something was not.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from rustun.admin.control import SCHEMA
from rustun.admin.control_client import ask
from rustun.backends.icmp import Echo
from rustun.cli.whom import whom
from rustun.errors import HostError, RightsError
from rustun.printable import printable

ANSWER_SECONDS: Final = 1.0  # for each of both


@dataclass
class Series:
    """Round trips of one plane; `error` is the last reason for one that is missing."""

    sent: int = 0
    times_ms: list[float] = field(default_factory=list)
    error: str = ""

    def note(self, milliseconds: float | None, error: str) -> str:
        """Count one that was sent, and return it in words."""
        self.sent += 1
        if milliseconds is None:
            self.error = error or "no answer"
            return self.error
        self.times_ms.append(milliseconds)
        return f"{milliseconds:.2f} ms"

    def document(self) -> dict[str, object]:
        """Return the figures; null where nothing was answered."""
        times = self.times_ms
        return {
            "sent": self.sent,
            "answered": len(times),
            "min_ms": min(times) if times else None,
            "mean_ms": round(sum(times) / len(times), 3) if times else None,
            "max_ms": max(times) if times else None,
            "error": self.error,
        }

    def line(self) -> str:
        """Return the figures for people."""
        times = self.times_ms
        if not self.sent:
            return f"not measured: {self.error}"
        text = f"{len(times)} of {self.sent} answered"
        if times:
            text += f"   min {min(times):.2f}   mean {sum(times) / len(times):.2f}   max {max(times):.2f} ms"
        return text if not self.error else f"{text}   ({self.error})"


def ping(member: str, control: Path | None, count: int, interval: float, *, as_json: bool) -> int:
    """Measure `count` times, `interval` seconds apart, and return 0, or 1 when something was not answered.

    Args:
        member: identity, or an address of a member or behind one; empty for the server alone.

    Raises: UsageError: there is no such member. RustunError: nobody can be asked.
    """
    path = whom(control, clients_first=True)
    facts = _ask(path, member)
    tell: Callable[[str], None] = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
    tell(_headline(facts))
    planes = {"control": Series()}
    if facts["role"] == "client" and facts["address"]:
        planes["data"] = Series()
    with ExitStack() as opened:
        echo = _echo(facts, planes.get("data"), opened)
        try:
            for number in range(1, count + 1):
                due = time.monotonic() + interval
                tell(_once(number, facts if number == 1 else _ask(path, member), planes, echo))
                if number < count:
                    time.sleep(max(due - time.monotonic(), 0.0))
        except KeyboardInterrupt:  # what was measured counts, as in ping
            tell("")
    if as_json:
        shown = {key: facts[key] for key in ("role", "member", "address", "tier", "remote")}
        documents = {plane: series.document() for plane, series in planes.items()}
        print(json.dumps({"schema": SCHEMA, **shown, "control": None, "data": None, **documents}, indent=2))
    for plane, series in planes.items():
        tell(f"{plane:8} {printable(series.line(), 300)}")
    return int(any(_failed(plane, series, facts) for plane, series in planes.items()))


def _ask(path: Path, member: str) -> dict[str, Any]:
    question = {"ask": "ping", "member": member, "seconds": ANSWER_SECONDS}
    return ask(path, question, timeout_seconds=ANSWER_SECONDS + 5.0)


def _headline(facts: dict[str, Any]) -> str:
    who = " ".join(printable(str(facts[key])) for key in ("member", "address") if facts[key])
    by = f"server {printable(str(facts['server']))}" if facts["role"] == "client" else "this server"
    tier = f", {printable(str(facts['tier']))} tier" if facts["tier"] else ""
    return f"{who} by {by}{tier}" if who else f"{by}{tier}"


def _echo(facts: dict[str, Any], data: Series | None, opened: ExitStack) -> Echo | None:
    """Return what sends echoes; None where none can be sent, the reason in the series."""
    if data is None:
        return None
    if facts["not_routed"]:
        data.error = str(facts["not_routed"])
        return None
    try:
        return opened.enter_context(Echo(ip_address(facts["address"])))
    except (HostError, RightsError) as error:
        data.error = error.message
        print(f"rustun ping: {error.message}\n  {error.remedy}", file=sys.stderr)
        return None


def _once(number: int, answer: dict[str, Any], planes: dict[str, Series], echo: Echo | None) -> str:
    """Take one round trip of each plane and return the line."""
    words = [f"{number:4}"]
    control = planes["control"]
    if answer["rtt_ms"] is None and _has_no_ping(answer):
        control.error = str(answer["why_not"])
    else:
        words.append(f"control {printable(control.note(answer['rtt_ms'], str(answer['why_not'])), 100):14}")
    if echo is not None:
        try:
            seconds, error = echo.round_trip(number, ANSWER_SECONDS), ""
        except HostError as failure:
            seconds, error = None, failure.message
        words.append(f"data {planes['data'].note(None if seconds is None else round(seconds * 1e3, 3), error)}")
    return "   ".join(words)


def _has_no_ping(facts: dict[str, Any]) -> bool:
    """Tell whether the wire of that session knows no ping; nothing is wrong then."""
    return bool(facts["tier"] == "legacy")


def _failed(plane: str, series: Series, facts: dict[str, Any]) -> bool:
    if series.sent:
        return len(series.times_ms) < series.sent
    return not (plane == "control" and _has_no_ping(facts))
