"""The log: one safe line per event, limited per reason, alive when nobody can read it."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable
from typing import Literal

import pytest

from rustun.logs import (
    BURST_EVENTS,
    FIELD_CHARACTERS,
    FIELD_ITEMS,
    MORE,
    WINDOW_SECONDS,
    Entry,
    LineWriter,
    Log,
    Plain,
    RateLimited,
    describe_bug,
    plain,
)

WAIT_SECONDS = 20.0  # never reached unless something hangs
WALL_CLOCK = 1_700_000_000.25  # 2023-11-14 22:13:20 UTC


class Loop:
    """The two things that a log wants of a reactor, with time that the test moves."""

    def __init__(self) -> None:
        self.time = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.calls.append((when, callback))

    def advance(self, seconds: float) -> None:
        self.time += seconds
        due = [callback for when, callback in self.calls if when <= self.time]
        self.calls = [call for call in self.calls if call[0] > self.time]
        for callback in due:
            callback()


def make_log(
    style: Literal["text", "json"] = "text", lowest: str = "info", whose: Callable[[Entry], str] = lambda entry: ""
) -> tuple[Log, io.StringIO, Loop]:
    stream, loop = io.StringIO(), Loop()
    limited = RateLimited(LineWriter(stream, style, lowest), loop.now, loop.call_at, whose)
    return Log(lambda: WALL_CLOCK, limited), stream, loop


def entry(message: str) -> Entry:
    return Entry(WALL_CLOCK, "info", "up", message, {})


def test_text_line() -> None:
    """A reader cannot find time, level, message and fields where they are expected."""
    log, stream, _ = make_log()
    log.event("info", "session-up", "session up", identity="bj-dev", remote="198.18.0.3:40000", name="a b")
    assert stream.getvalue() == (
        '2023-11-14 22:13:20Z info    session up  identity=bj-dev  remote=198.18.0.3:40000  name="a b"\n'
    )


def test_json_line_keeps_types_and_name() -> None:
    """A machine that reads the log gets text for numbers, or no name to group by."""
    log, stream, _ = make_log("json")
    log.event("warning", "closed", "session closed", members=3, ratio=0.5, gone=True, name=None,
              reason="silent", cluster="上海")  # fmt: skip
    assert json.loads(stream.getvalue()) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "event": "closed",
        "message": "session closed",
        "members": 3,
        "ratio": 0.5,
        "gone": True,
        "name": None,
        "reason": "silent",
        "cluster": "上海",
    }


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_peers_text_stays_on_one_line(style: Literal["text", "json"]) -> None:
    """A member's name forges log lines, moves the cursor, reverses text or ends the log with an encoding error."""
    log, stream, _ = make_log(style)
    log.event("info", "hello", "from a peer", identity="a\n2023 error \x1b[31m\u202eevil\ud800\0" + "x" * 10_000)
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert len(line) < 600
    line.encode()


def test_lower_levels_are_left_out() -> None:
    """Debug lines fill a production log."""
    log, stream, _ = make_log(lowest="warning")
    log.event("info", "quiet", "not written")
    log.event("debug", "quiet", "not written")
    log.event("error", "loud", "written")
    assert stream.getvalue().count("\n") == 1


def test_a_reason_is_limited_and_the_rest_is_counted() -> None:
    """A flood by one peer fills the disk, or hides how large it was."""
    log, stream, loop = make_log()
    for number in range(BURST_EVENTS + 214):
        log.event("warning", "bad-frame", "bad frame", number=number)
    assert len(stream.getvalue().splitlines()) == BURST_EVENTS
    loop.advance(WINDOW_SECONDS)
    lines = stream.getvalue().splitlines()
    assert len(lines) == BURST_EVENTS + 1
    assert "bad-frame: ... and 214 more in the last 10 s" in lines[-1]


def test_a_flood_of_one_reason_silences_no_other() -> None:
    """Somebody who floods the log with one reason hides what else he does."""
    log, stream, _ = make_log()
    for _ in range(1000):
        log.event("warning", "bad-frame", "bad frame")
    log.event("warning", "takeover", "an identity was taken over")
    assert "taken over" in stream.getvalue().splitlines()[-1]


def test_after_its_window_a_reason_is_written_again() -> None:
    """One flood silences a reason for the rest of the process's life."""
    log, stream, loop = make_log()
    for _ in range(BURST_EVENTS + 1):
        log.event("info", "closed", "closed")
    loop.advance(WINDOW_SECONDS)
    log.event("info", "closed", "the next one")
    assert "the next one" in stream.getvalue().splitlines()[-1]
    assert not loop.calls, "a timer stays armed while nothing is held back"


def test_a_quiet_log_arms_no_timer() -> None:
    """Every logged event wakes the loop again ten seconds later."""
    log, _, loop = make_log()
    log.event("info", "up", "up")
    assert loop.calls == []


def test_the_end_tells_what_was_held_back() -> None:
    """The count of the last flood is lost when the process ends."""
    log, stream, loop = make_log()
    for _ in range(BURST_EVENTS + 3):
        log.event("info", "closed", "closed")
    loop.time += 2
    log.close()
    assert "... and 3 more in the last 2 s" in stream.getvalue()


class FullDisk(io.StringIO):
    """A stream that takes nothing while `full`."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_log_that_cannot_be_written_stops_nothing_and_says_so_later() -> None:
    """A full disk under the log ends the tunnel, or loses lines without a word."""
    stream = FullDisk()
    writer = LineWriter(stream, "text", "info")
    writer.write(entry("lost"))
    writer.write(entry("lost as well"))
    stream.full = False
    writer.write(entry("seen"))
    lines = stream.getvalue().splitlines()
    assert "2 lines of this log were lost" in lines[0]
    assert "seen" in lines[1]


def test_a_closed_stream_stops_nothing() -> None:
    """A service whose standard error was closed dies at its next log line."""
    stream = io.StringIO()
    stream.close()
    LineWriter(stream, "text", "info").write(entry("lost"))


def test_a_bug_is_named_without_its_message() -> None:
    """An exception's message, which may hold what a peer sent or a key, reaches the log."""
    try:
        raise ValueError("marked-secret")
    except ValueError as error:
        description = describe_bug(error)
    assert description.startswith("ValueError at test_logs.py:")
    assert "marked-secret" not in description


def test_a_reader_that_sleeps_stops_nothing() -> None:
    """If this fails, `rustun serve 2>&1 | less` stops every packet as soon as the pager's pipe is full."""
    receiver, sender = os.pipe()
    with open(receiver, "rb") as reader, open(sender, "w") as stream:
        writer = LineWriter(stream, "text", "info")
        for number in range(1000):
            writer.write(entry(f"line {number} " + "x" * 100))
        assert b"line 0" in os.read(reader.fileno(), 1 << 20)
        writer.write(entry("after the sleep"))
        said = os.read(reader.fileno(), 1 << 20).decode()
    assert "lines of this log were lost" in said
    assert "after the sleep" in said


def write_unwaited(writer: LineWriter, entries: list[Entry]) -> None:
    """Write entries; fail where that waits for somebody."""

    def write() -> None:
        for one in entries:
            writer.write(one)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_a_long_line_waits_for_no_reader() -> None:
    """If this fails, a reload that names many members stops every packet where a pipe has room for half of its line."""
    receiver, sender = os.pipe()
    with open(sender, "w") as stream, open(receiver, "rb") as reader:  # whose end ends a write that waits
        writer = LineWriter(stream, "json", "info")
        names: list[Plain] = [f"member-{number:02} " + "ü" * 100 for number in range(64)]
        events = [Entry(0.0, "info", "routes-loaded", f"load {number}", {"added": names}) for number in range(20)]
        write_unwaited(writer, events)
        said = os.read(reader.fileno(), 1 << 20)
        writer.write(entry("after the sleep"))
        said += os.read(reader.fileno(), 1 << 20)
    lines = [json.loads(line) for line in said.decode().splitlines()]
    loads = [line for line in lines if line["event"] == "routes-loaded"]
    assert [line["message"] for line in loads] == [f"load {number}" for number in range(len(loads))]
    assert all(line["added"] == names for line in loads)
    assert lines[-2]["lost"] == len(events) - len(loads)
    assert lines[-1]["message"] == "after the sleep"


def test_a_line_that_was_begun_is_ended_at_the_end() -> None:
    """If this fails, a log ends in half a line although its reader has woken up."""
    receiver, sender = os.pipe()
    with open(sender, "w") as stream, open(receiver, "rb") as reader:  # whose end ends a write that waits
        writer = LineWriter(stream, "json", "info")
        write_unwaited(writer, [Entry(0.0, "info", "routes-loaded", "load", {"added": ["x" * 250] * 400})])
        said = os.read(reader.fileno(), 1 << 20)
        assert not said.endswith(b"\n")
        writer.close()
        said += os.read(reader.fileno(), 1 << 20)
    assert json.loads(said)["message"] == "load"


def test_fields_that_say_nothing_are_for_machines() -> None:
    """People read "identity= reason=" on every second line, or a zero is taken for nothing."""
    log, stream, _ = make_log()
    log.event("info", "up", "up", identity="", left=[], more={}, none=None, count=0, wrong=False)
    assert stream.getvalue() == "2023-11-14 22:13:20Z info    up  count=0  wrong=False\n"


def test_lists_and_mappings_are_read_by_people_and_machines() -> None:
    """Who was added by a reload stands in the log as Python code, or as one text that nobody can take apart."""
    for style in ("text", "json"):
        log, stream, _ = make_log(style)
        log.event("info", "routes-loaded", "2 members", added=("a", "b c"), changed={"d": ("ciders", "tier")})
        if style == "json":
            line = json.loads(stream.getvalue())
            assert (line["added"], line["changed"]) == (["a", "b c"], {"d": ["ciders", "tier"]})
        else:
            assert stream.getvalue().endswith('2 members  added="a, b c"  changed="d: ciders, tier"\n')


def test_what_is_in_a_field_is_printable_and_bounded_however_deep() -> None:
    """An identity in a list of thousands forges a line, or one reload writes megabytes into the log."""
    shown = plain({"x\n": ["\x1b[2J" + "y" * 1000] * 1000})
    assert isinstance(shown, dict)
    [(key, items)] = shown.items()
    assert key == r"x\n"
    assert isinstance(items, list)
    assert (len(items), items[-1]) == (FIELD_ITEMS + 1, MORE)
    assert str(items[0]).startswith(r"\x1b[2J") and len(str(items[0])) < FIELD_CHARACTERS + 10
    assert plain({number: 1 for number in range(1000)}) == {**{str(one): 1 for one in range(FIELD_ITEMS)}, MORE: MORE}


def test_a_field_takes_the_place_of_nothing() -> None:
    """A peer's field is taken for the level or the name of the event."""
    log, stream, _ = make_log("json")
    log.event("info", "up", "up", level="error", event="forged", message="forged", time="forged")
    assert json.loads(stream.getvalue()) | {"time": ""} == {"time": "", "level": "info", "event": "up", "message": "up"}


def test_limits_apart() -> None:
    """A member that comes and goes writes all others out of the log, or nobody knows whose lines were held back."""
    log, stream, loop = make_log("json", whose=lambda entry: str(entry.fields.get("identity", "")))
    for _ in range(BURST_EVENTS + 5):
        log.event("info", "session-up", "m0 is online", identity="m0")
    log.event("info", "session-up", "m1 is online", identity="m1")
    loop.advance(WINDOW_SECONDS)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["identity"] for line in lines[-2:]] == ["m1", "m0"]
    assert lines[-1]["held_back"] == 5


def test_what_is_limited_apart_is_forgotten() -> None:
    """A relay's memory grows with every identity that ever came."""
    loop = Loop()
    writer = LineWriter(io.StringIO(), "text", "info")
    limited = RateLimited(writer, loop.now, loop.call_at, lambda entry: entry.message)
    for number in range(1000):
        loop.time += 1.0
        limited.write(entry(f"m{number}"))
        assert len(limited._windows) <= WINDOW_SECONDS


def test_several_sinks_get_the_same_entry() -> None:
    """Journal, audit log and control socket tell different times of one event."""
    kept: list[Entry] = []

    class Keeping(LineWriter):
        def write(self, entry: Entry) -> None:
            kept.append(entry)

    log = Log(lambda: WALL_CLOCK, Keeping(io.StringIO(), "text", "error"), Keeping(io.StringIO(), "text", "info"))
    log.add(Keeping(io.StringIO(), "text", "debug"))
    log.event("info", "up", "up")
    assert len(kept) == 2
    assert kept[0] is kept[1]
