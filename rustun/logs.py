"""The log: what happened, for people or for machines, and never more of it than a reader can use.

Rules of this module
  1. An event has a level, a name and a message. The name is a word of the catalogue (events.py), the same wherever the
     event is shown; what varies stands in the fields.
  2. Nothing is logged per packet. What a peer can cause as often as it likes is limited per name: BURST_EVENTS entries
     in WINDOW_SECONDS, then one that says how many more there were.
  3. Whatever a peer or a file wrote is shown by `printable`: a line stays one line, no terminal code gets through. An
     entry is made so once, before anybody writes or keeps it, and has a bounded size.
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
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import PurePath
from typing import Final, Literal, Protocol, TextIO, TypeAlias

from rustun.printable import printable

LogFormat = Literal["auto", "text", "json"]
Plain: TypeAlias = "None | bool | int | float | str | list[Plain] | dict[str, Plain]"  # what JSON has

LEVELS: Final = ("debug", "info", "warning", "error")
BURST_EVENTS: Final = 20  # a screenful of one name shows what is going on
WINDOW_SECONDS: Final = 10.0
MESSAGE_CHARACTERS: Final = 1000  # ours, but it may quote a remedy and a path
FIELD_CHARACTERS: Final = 256
FIELD_ITEMS: Final = 64  # of a list or a mapping
MORE: Final = "..."  # stands for the items that were left out
# What is never waited for where there is room at all; a stream's error handler makes ten bytes of a character at most.
PIECE_CHARACTERS: Final = select.PIPE_BUF // 10


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it may be shown and kept: rule 3.

    Attributes:
        time: unix seconds.
        fields: in the order of the catalogue.
    """

    time: float
    level: str
    name: str
    message: str
    fields: Mapping[str, Plain]

    @property
    def when(self) -> str:
        """The time as RFC 3339 has it, in UTC."""
        return datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds")

    def document(self) -> dict[str, Plain]:
        """Return it as one JSON object; what every entry has stands first."""
        head: dict[str, Plain] = {"time": self.when, "level": self.level, "event": self.name, "message": self.message}
        return {**head, **{name: value for name, value in self.fields.items() if name not in head}}

    def text(self) -> str:
        """Return message and fields in a line for people; fields that say nothing are left out."""
        words = (f"{name}={_quoted(_in_words(value))}" for name, value in self.fields.items() if says(value))
        return "  ".join((self.message, *words))


def says(value: Plain) -> bool:
    """Return whether a field tells anything: 0 and false do, nothing and empty do not."""
    return value is not None and value not in ("", [], {})


class EventLog(Protocol):
    """Where the relay and the client report what happened."""

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        """Report one event; never blocks on a peer, never raises.

        Args:
            level: "debug", "info", "warning" or "error".
            name: of the catalogue (events.py), the unit of the rate limit.
            message: one line for people.
            fields: those of the catalogue; shown as text, so they may come from a peer.
        """


class Sink(Protocol):
    """Where entries go."""

    def wants(self, level: str, name: str) -> bool:
        """Say whether events of this level and name are taken at all."""

    def write(self, entry: Entry) -> None:
        """Take one; never blocks, never raises."""

    def close(self) -> None:
        """Say what was held back, and take no more: the process ends."""


class Log:
    """The EventLog of a running process: makes an entry of each event, once, for every sink that wants it.

    Args:
        wall_clock: returns unix seconds.
        sinks: where entries go.
    """

    def __init__(self, wall_clock: Callable[[], float], *sinks: Sink) -> None:
        self._wall_clock = wall_clock
        self._sinks = sinks

    def add(self, sink: Sink) -> None:
        """Give all that is reported from now on to one more."""
        self._sinks += (sink,)

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        """Report one event, as EventLog says."""
        wanting = [sink for sink in self._sinks if sink.wants(level, name)]
        if not wanting:
            return
        shown = {key: plain(value) for key, value in fields.items()}
        entry = Entry(self._wall_clock(), level, name, printable(message, MESSAGE_CHARACTERS), shown)
        for sink in wanting:
            sink.write(entry)

    def close(self) -> None:
        """Say what is still held back: the process ends."""
        for sink in reversed(self._sinks):  # the log hears what those that were added have to say at their end
            sink.close()


def plain(value: object) -> Plain:
    """Return a field's value as an entry has it: bounded, printable, nothing that JSON has not."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        shown: dict[str, Plain] = {
            printable(str(key), FIELD_CHARACTERS): plain(one) for key, one in islice(value.items(), FIELD_ITEMS)
        }
        return {**shown, MORE: MORE} if len(value) > FIELD_ITEMS else shown
    if isinstance(value, (list, tuple)):
        items = [plain(one) for one in value[:FIELD_ITEMS]]
        return [*items, MORE] if len(value) > FIELD_ITEMS else items
    return printable(str(value), FIELD_CHARACTERS)


@dataclass(slots=True)
class _Window:
    """How often something was reported since `started` (seconds of the reactor's clock)."""

    started: float
    first: Entry
    written: int = 0
    held_back: int = 0


def _all_together(entry: Entry) -> str:
    return ""


class RateLimited:
    """A sink that hands on to another one no more than rule 2 allows.

    Args:
        sink: where entries go.
        now: seconds of a clock that never steps back (`Reactor.now`).
        call_at: calls back at a time of that clock (`Reactor.call_at`); used only while entries are held back.
        whose: returns whose entries count together, beside their name; by default everybody's do.
    """

    def __init__(
        self,
        sink: Sink,
        now: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], object],
        whose: Callable[[Entry], str] = _all_together,
    ) -> None:
        self._sink = sink
        self._now = now
        self._call_at = call_at
        self._whose = whose
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()  # the oldest first

    def wants(self, level: str, name: str) -> bool:
        """Say whether the other sink takes these."""
        return self._sink.wants(level, name)

    def write(self, entry: Entry) -> None:
        """Hand it on, or count it."""
        key = (entry.name, self._whose(entry))
        window = self._windows.get(key)
        if window is None or self._now() - window.started >= WINDOW_SECONDS:
            window = self._begin_window(key, entry)
        if window.written < BURST_EVENTS:
            window.written += 1
            self._sink.write(entry)
            return
        if not window.held_back:
            self._call_at(window.started + WINDOW_SECONDS, lambda: self._end_if_same(key, window))
        window.held_back += 1

    def close(self) -> None:
        """Say what is still held back, then close the sink."""
        for key in list(self._windows):
            self._end_window(key)
        self._sink.close()

    def _begin_window(self, key: tuple[str, str], entry: Entry) -> _Window:
        """End all whose time is over, so that there are no more than there were events lately."""
        now = self._now()
        while self._windows and now - next(iter(self._windows.values())).started >= WINDOW_SECONDS:
            self._end_window(next(iter(self._windows)))
        window = self._windows[key] = _Window(now, entry)
        return window

    def _end_if_same(self, key: tuple[str, str], window: _Window) -> None:
        if self._windows.get(key) is window:
            self._end_window(key)

    def _end_window(self, key: tuple[str, str]) -> None:
        window = self._windows.pop(key)
        if not window.held_back:
            return
        name, whose = key
        seconds = max(1, round(self._now() - window.started))
        message = f"{name}: ... and {window.held_back} more in the last {seconds} s"
        fields: dict[str, Plain] = {"held_back": window.held_back}
        if whose:
            fields["identity"] = whose
        time = window.first.time + (self._now() - window.started)
        self._sink.write(Entry(time, window.first.level, name, message, fields))


class LineWriter:
    """Writes entries as lines of text or JSON to a stream.

    Args:
        stream: standard error as a rule.
        style: "text" for people, "json" for one JSON object per line.
        lowest: the least level that is written.
    """

    def __init__(self, stream: TextIO, style: Literal["text", "json"], lowest: str) -> None:
        self._stream = stream
        self._format = json_line if style == "json" else _text_line
        self._lowest = LEVELS.index(lowest)
        self._lost = 0
        self._rest = ""  # of a line that was begun and found no more room

    def wants(self, level: str, name: str) -> bool:
        """Say whether events of `level` are written at all."""
        return LEVELS.index(level) >= self._lowest

    def write(self, entry: Entry) -> None:
        """Write one line, and before it how many were lost since the last one that could be written."""
        if self._lost and self._write_line(lost_lines(entry.time, self._lost)):
            self._lost = 0
        if self._lost or not self._write_line(entry):
            self._lost += 1

    def close(self) -> None:
        """End a line that was begun, as far as there is room for it."""
        self._write_rest()

    def _write_line(self, entry: Entry) -> bool:
        """Write a line, or begin it: what finds no room comes before the next one."""
        if not self._write_rest():
            return False
        line = self._rest = self._format(entry) + "\n"
        self._write_rest()
        if self._rest == line:
            self._rest = ""
            return False
        return True

    def _write_rest(self) -> bool:
        """Write what is left of a line, and return whether all of it is.

        Room for a line's beginning is not room for the whole: what poll(2) promises of a pipe is PIPE_BUF.
        """
        try:
            while self._rest and _has_room(self._stream):
                self._stream.write(self._rest[:PIECE_CHARACTERS])
                self._stream.flush()
                self._rest = self._rest[PIECE_CHARACTERS:]
        except (OSError, ValueError):  # ValueError: the stream was closed
            pass
        return not self._rest


def lost_lines(time: float, lost: int) -> Entry:
    """Return what a log says of itself that could not be written for a while."""
    message = f"{lost} lines of this log were lost: it could not be written"
    return Entry(time, "warning", "log-lost", message, {"lost": lost})


def _has_room(stream: TextIO) -> bool:
    """Tell whether something can be written now; a pipe to a pager that nobody scrolls would hold every packet up."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # a stream in memory
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def describe_bug(error: BaseException) -> str:
    """Name an unexpected exception by type and place, without its message (which may quote what a peer sent)."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def json_line(entry: Entry) -> str:
    """Return an entry as one line of JSON, without its newline."""
    return json.dumps(entry.document(), ensure_ascii=False)


def _text_line(entry: Entry) -> str:
    return f"{datetime.fromtimestamp(entry.time, UTC):%Y-%m-%d %H:%M:%S}Z {entry.level:<7} {entry.text()}"


def _in_words(value: Plain) -> str:
    """Return a field's value for people: lists with commas, of a mapping each key with what it has."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_in_words(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return str(value)


def _quoted(text: str) -> str:
    """Put quotes around text in which a reader could not tell where it ends."""
    return f'"{text}"' if not text or any(character in ' "=' for character in text) else text
