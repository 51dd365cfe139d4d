"""The catalogue of events: what the code reports, what stands there, and what docs/events.md tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rustun.events import BOTH, CLIENT, EVENTS, FIELDS, HEAD, SERVER, WEB, Event, is_audited
from rustun.logs import LEVELS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "events.md"
AUDIT_WORDS = {"no": "", "each": "yes", "limited": "limited"}


@dataclass(frozen=True)
class Report:
    """One place in the code that reports an event."""

    place: str
    levels: set[str]
    names: set[str]
    fields: tuple[str, ...]


def words(node: ast.expr, function: ast.AST) -> set[str]:
    """Return every text that an expression may be; of a name, what is assigned to it in the function."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.IfExp):
        return words(node.body, function) | words(node.orelse, function)
    if isinstance(node, ast.Name):
        found = set()
        for part in ast.walk(function):
            if isinstance(part, ast.Assign) and node.id in {ast.unparse(target) for target in part.targets}:
                found |= words(part.value, function)
        return found
    return set()


def reports() -> Iterator[Report]:
    """Yield what every `log.event(...)` of the package says, and every Entry that is made by name."""
    for path in sorted((ROOT / "rustun").rglob("*.py")):
        text = path.read_text()
        if "event(" not in text and "Entry(" not in text:
            continue  # most files: to parse them all takes seconds of every collection
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call):
                        yield from reported(f"{path.relative_to(ROOT)}:{call.lineno}", call, function)


def reported(place: str, call: ast.Call, function: ast.AST) -> Iterator[Report]:
    """Yield what one call reports, if anything."""
    called, given = ast.unparse(call.func), call.args
    if re.search(r"(^|[._])log\.event$", called):
        fields = tuple(str(keyword.arg) for keyword in call.keywords)
        yield Report(place, words(given[0], function), words(given[1], function), fields)
    elif called == "Entry" and len(given) == 5 and isinstance(given[4], ast.Dict):
        fields = tuple(str(ast.literal_eval(key)) for key in given[4].keys if key is not None)
        yield Report(place, words(given[1], function), words(given[2], function), fields)


REPORTS = {report.place: report for report in reports()}


def test_the_code_is_found() -> None:
    """The tests below look at nothing, and pass."""
    assert len(REPORTS) > 50
    assert {"not-connected", "not-changed-over"} in [report.names for report in REPORTS.values()]


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_what_is_reported_stands_in_the_catalogue(report: Report) -> None:
    """Somebody who filters by a name or a field of docs/events.md misses what he looks for."""
    assert report.names, "the name of an event is a text, or a local name for one"
    for name in report.names:
        assert name in EVENTS, name
        assert report.fields == EVENTS[name].fields, name
        assert report.levels <= set(EVENTS[name].levels), name


@pytest.mark.parametrize("name", EVENTS)
def test_what_stands_in_the_catalogue_is_reported(name: str) -> None:
    """Somebody waits for an event that never comes, or at a level at which it never comes."""
    found = [report for report in REPORTS.values() if name in report.names]
    assert found, "nobody reports it"
    known = set[str]().union(*(report.levels for report in found))
    assert not known or known <= set(EVENTS[name].levels)


def test_every_event_has_one_table() -> None:
    """Two kinds of processes mean different things by one word."""
    assert len(EVENTS) == len(SERVER) + len(CLIENT) + len(BOTH) + len(WEB)


def test_names_and_levels_are_words() -> None:
    """A name cannot be typed, or a level is none."""
    for name, event in EVENTS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name)
        assert event.levels and set(event.levels) <= set(LEVELS)


def test_fields_are_described_and_clash_with_nothing() -> None:
    """A field hides the level of its line, cannot be asked for in the journal, or nobody says what it is."""
    used = {field for event in EVENTS.values() for field in event.fields}
    assert used == set(FIELDS)
    assert not used & set(HEAD)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", field) for field in used)


def test_what_strangers_cause_is_limited_in_the_audit_log() -> None:
    """Who proves nothing writes everybody else out of the audit log."""
    for name in ("refused", "wrong-key", "session-unproved"):
        assert EVENTS[name].audit == "limited"
    assert not is_audited("handshake-failed") and not is_audited("no such event")
    for name in ("session-up", "session-closed", "session-revoked", "takeover", "routes-loaded", "management"):
        assert EVENTS[name].audit == "each"


def row(name: str, event: Event) -> str:
    """Return an event's line of docs/events.md."""
    fields = ", ".join(f"`{field}`" for field in event.fields)
    return f"| `{name}` | {', '.join(event.levels)} | {fields} | {AUDIT_WORDS[event.audit]} | {event.meaning} |"


@pytest.mark.parametrize(
    ("heading", "events"),
    [("Server", SERVER), ("Client", CLIENT), ("Both", BOTH), ("Web process", WEB)],
    ids=["server", "client", "both", "web"],
)
def test_the_document_has_the_catalogue(heading: str, events: dict[str, Event]) -> None:
    """An event has no line in docs/events.md, or another one than here; those that should stand there follow."""
    section = DOCUMENT.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    written = [line for line in section.splitlines() if line.startswith("| `")]
    expected = [row(name, event) for name, event in events.items()]
    assert written == expected, "\n".join(expected)


def test_the_document_has_the_fields() -> None:
    """A field has no line in docs/events.md; the lines that should stand there follow."""
    section = DOCUMENT.read_text().split("\n## Fields\n")[1].split("\n## ")[0]
    written = [line for line in section.splitlines() if line.startswith("| `")]
    expected = [f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items()]
    assert written == expected, "\n".join(expected)
