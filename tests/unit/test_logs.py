"""The log: one safe line per event, limited per reason, alive when nobody can read it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable

import pytest

from rustun.logs import BURST_EVENTS, WINDOW_SECONDS, LineWriter, LogFormat, RateLimitedLog, describe_bug

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


def make_log(style: LogFormat = "text", lowest: str = "info") -> tuple[RateLimitedLog, io.StringIO, Loop]:
    stream, loop = io.StringIO(), Loop()
    return RateLimitedLog(LineWriter(stream, style, lowest, lambda: WALL_CLOCK), loop.now, loop.call_at), stream, loop


def test_text_line() -> None:
    """A reader cannot find time, level, message and fields where they are expected."""
    log, stream, _ = make_log()
    log.event("info", "session-up", "session up", identity="bj-dev", remote="198.18.0.3:40000", name="a b")
    assert stream.getvalue() == (
        '2023-11-14 22:13:20Z info    session up  identity=bj-dev  remote=198.18.0.3:40000  name="a b"\n'
    )


def test_json_line_keeps_types_and_reason() -> None:
    """A machine that reads the log gets text for numbers, or no reason to group by."""
    log, stream, _ = make_log("json")
    log.event("warning", "closed", "session closed", members=3, ratio=0.5, gone=True, name=None, cluster="上海")
    assert json.loads(stream.getvalue()) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "reason": "closed",
        "message": "session closed",
        "members": 3,
        "ratio": 0.5,
        "gone": True,
        "name": None,
        "cluster": "上海",
    }


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_peers_text_stays_on_one_line(style: LogFormat) -> None:
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


def test_flush_tells_what_was_held_back() -> None:
    """The count of the last flood is lost when the process ends."""
    log, stream, loop = make_log()
    for _ in range(BURST_EVENTS + 3):
        log.event("info", "closed", "closed")
    loop.time += 2
    log.flush()
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
    writer = LineWriter(stream, "text", "info", lambda: WALL_CLOCK)
    writer.write("info", "up", "lost", {})
    writer.write("info", "up", "lost as well", {})
    stream.full = False
    writer.write("info", "up", "seen", {})
    lines = stream.getvalue().splitlines()
    assert "2 lines of this log were lost" in lines[0]
    assert "seen" in lines[1]


def test_a_closed_stream_stops_nothing() -> None:
    """A service whose standard error was closed dies at its next log line."""
    stream = io.StringIO()
    stream.close()
    LineWriter(stream, "text", "info", lambda: WALL_CLOCK).write("info", "up", "lost", {})


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
        writer = LineWriter(stream, "text", "info", lambda: WALL_CLOCK)
        for number in range(1000):
            writer.write("info", "flood", f"line {number} " + "x" * 100, {})
        assert b"line 0" in os.read(reader.fileno(), 1 << 20)
        writer.write("info", "flood", "after the sleep", {})
        said = os.read(reader.fileno(), 1 << 20).decode()
    assert "lines of this log were lost" in said
    assert "after the sleep" in said
