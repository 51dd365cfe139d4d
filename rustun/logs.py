"""The log: one line per event, for people or for machines, and never more of them than a reader can use.

Rules of this module
  1. An event has a level, a reason and a message. The reason is a short fixed word of ours ("session-closed"), the
     same in log, status and counters; what varies stands in the fields.
  2. Nothing is logged per packet. What a peer can cause as often as it likes is limited per reason: BURST_EVENTS lines
     in WINDOW_SECONDS, then one line that says how many more there were.
  3. Whatever a peer or a file wrote is shown by `printable`: a line stays one line, no terminal code gets through.
  4. A log that cannot be written (disk full, reader gone or asleep) loses lines, counts them and says so later; nothing
     stops for it.
  5. Secrets are not logged: callers hand over no keys, and of an unexpected exception only its type and place are
     shown. The traceback comes with -vv, and it holds lines of source, never the values of variables.
"""

from __future__ import annotations

import io
import json
import select
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Final, Literal, Protocol, TextIO

from rustun.printable import printable

LogFormat = Literal["text", "json"]

LEVELS: Final = ("debug", "info", "warning", "error")
BURST_EVENTS: Final = 20  # a screenful of one reason shows what is going on
WINDOW_SECONDS: Final = 10.0
MESSAGE_CHARACTERS: Final = 1000  # ours, but it may quote a remedy and a path
FIELD_CHARACTERS: Final = 256


class EventLog(Protocol):
    """Where the relay and the client report what happened."""

    def event(self, level: str, reason: str, message: str, **fields: object) -> None:
        """Report one event; never blocks on a peer, never raises.

        Args:
            level: "debug", "info", "warning" or "error".
            reason: a fixed word, the unit of the rate limit.
            message: one line for people.
            fields: what varies (identity, remote, ...); shown as text, so it may come from a peer.
        """


class LineWriter:
    """Writes events as lines of text or JSON to a stream.

    Args:
        stream: standard error as a rule.
        style: "text" for people, "json" for one JSON object per line.
        lowest: the least level that is written.
        wall_clock: returns unix seconds.
    """

    def __init__(self, stream: TextIO, style: LogFormat, lowest: str, wall_clock: Callable[[], float]) -> None:
        self._stream = stream
        self._format = _json_line if style == "json" else _text_line
        self._lowest = LEVELS.index(lowest)
        self._wall_clock = wall_clock
        self._lost = 0

    def wants(self, level: str) -> bool:
        """Say whether events of `level` are written at all."""
        return LEVELS.index(level) >= self._lowest

    def write(self, level: str, reason: str, message: str, fields: dict[str, object]) -> None:
        """Write one line, and before it how many were lost since the last one that could be written."""
        if self._lost:
            lost = f"{self._lost} lines of this log were lost: it could not be written"
            if not self._write_line("warning", "log-lost", lost, {}):
                self._lost += 1
                return
            self._lost = 0
        if not self._write_line(level, reason, message, fields):
            self._lost += 1

    def _write_line(self, level: str, reason: str, message: str, fields: dict[str, object]) -> bool:
        when = datetime.fromtimestamp(self._wall_clock(), UTC)
        try:
            if not _has_room(self._stream):
                return False
            self._stream.write(self._format(when, level, reason, message, fields) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            return False
        return True


def _has_room(stream: TextIO) -> bool:
    """Tell whether a line can be written now; a pipe to a pager that nobody scrolls would hold every packet up."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # a stream in memory
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


@dataclass(slots=True)
class _Window:
    """How often one reason was reported since `started` (seconds of the reactor's clock)."""

    started: float
    level: str
    written: int = 0
    held_back: int = 0


class RateLimitedLog:
    """The EventLog of a running process.

    Args:
        writer: where lines go.
        now: seconds of a clock that never steps back (`Reactor.now`).
        call_at: calls back at a time of that clock (`Reactor.call_at`); used only while lines are held back.
    """

    def __init__(
        self, writer: LineWriter, now: Callable[[], float], call_at: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self._writer = writer
        self._now = now
        self._call_at = call_at
        self._windows: dict[str, _Window] = {}  # bounded by the number of reasons in our code

    def event(self, level: str, reason: str, message: str, **fields: object) -> None:
        """Report one event, as EventLog says."""
        if not self._writer.wants(level):
            return
        now = self._now()
        window = self._windows.get(reason)
        if window is None or now - window.started >= WINDOW_SECONDS:
            self._end_window(reason)
            window = self._windows[reason] = _Window(now, level)
        if window.written < BURST_EVENTS:
            window.written += 1
            self._writer.write(level, reason, message, fields)
            return
        if not window.held_back:
            self._call_at(window.started + WINDOW_SECONDS, lambda: self._end_if_same(reason, window))
        window.held_back += 1

    def flush(self) -> None:
        """Say what is still held back; for the end of the process."""
        for reason in list(self._windows):
            self._end_window(reason)

    def _end_if_same(self, reason: str, window: _Window) -> None:
        if self._windows.get(reason) is window:
            self._end_window(reason)

    def _end_window(self, reason: str) -> None:
        window = self._windows.pop(reason, None)
        if window is not None and window.held_back:
            seconds = max(1, round(self._now() - window.started))
            message = f"{reason}: ... and {window.held_back} more in the last {seconds} s"
            self._writer.write(window.level, reason, message, {"held_back": window.held_back})


def describe_bug(error: BaseException) -> str:
    """Name an unexpected exception by type and place, without its message (which may quote what a peer sent)."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _text_line(when: datetime, level: str, reason: str, message: str, fields: dict[str, object]) -> str:
    words = [f"{when:%Y-%m-%d %H:%M:%S}Z {level:<7} {printable(message, MESSAGE_CHARACTERS)}"]
    words += [f"{name}={_quoted(printable(str(value), FIELD_CHARACTERS))}" for name, value in fields.items()]
    return "  ".join(words)


def _quoted(text: str) -> str:
    """Put quotes around text in which a reader could not tell where it ends."""
    return f'"{text}"' if not text or any(character in ' "=' for character in text) else text


def _json_line(when: datetime, level: str, reason: str, message: str, fields: dict[str, object]) -> str:
    line: dict[str, object] = {"time": when.isoformat(timespec="milliseconds"), "level": level, "reason": reason}
    line["message"] = printable(message, MESSAGE_CHARACTERS)
    for name, value in fields.items():
        is_plain = value is None or isinstance(value, (bool, int, float))
        line.setdefault(name, value if is_plain else printable(str(value), FIELD_CHARACTERS))
    return json.dumps(line, ensure_ascii=False)
