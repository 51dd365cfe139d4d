"""The audit log: who came in, who did not, and who changed what, one line of JSON each, in files of a bounded size.

Rules of this module
  1. What is audited the catalogue says (events.py). What members and strangers can cause as often as they like is
     limited, per identity or all together (`counted_together`), so that nobody writes the others out of the files.
  2. Nothing waits for the disk: lines are gathered, and written by a thread. As long as they cannot be written they
     wait in memory, BUFFER_BYTES of them; then the newest are lost, counted, and named in the file (`log-lost`) as soon
     as that works again. The log and the alarms of the status say at once that something is wrong.
  3. A line is in the file whole or not at all.
  4. A file that would grow over its size is renamed to NAME.1, that one to NAME.2 and so on; the oldest goes. A file
     that somebody took away or set aside is made anew.
  5. A disk that hangs holds up the end of the process for CLOSE_SECONDS at most.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.backends.base import Reactor
from rustun.events import EVENTS, is_audited
from rustun.logs import Entry, EventLog, describe_bug, json_line, lost_lines

BUFFER_BYTES: Final = 1 << 20  # some 4,000 lines: a fleet that comes back at once, and a disk that is slow
GATHER_SECONDS: Final = 0.1  # what comes together is written together
RETRY_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 0.5  # a stop is promised within 2 s
FILE_MODE: Final = 0o640
# Without O_NONBLOCK a pipe in the file's place would hold the thread for ever.
OPEN_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def counted_together(entry: Entry) -> str:
    """Return whose entries share a limit with this one: those of one identity, or ("") of everybody."""
    return str(entry.fields.get("identity", "")) if EVENTS[entry.name].audit == "each" else ""


@dataclass(frozen=True, slots=True)
class Appended:
    """What came of writing some lines: how many of them are in the file, and why not all, or nothing."""

    lines: int
    problem: str = ""


class AuditFile:
    """A file of lines, and the older ones beside it; each call blocks as long as the disk takes.

    Args:
        path: of the file that is written.
        max_bytes: that a file may have; a longer line has a file of its own.
        files: how many there may be, 1 or more.
    """

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = -1
        self._bytes = 0

    def append(self, lines: list[bytes]) -> Appended:
        """Write lines, each with its newline, in their order; what cannot be written may be tried again."""
        done = 0
        try:
            self._look()
            while done < len(lines):
                fitting = self._fitting(lines, done)
                if not fitting:
                    self._rotate()
                    continue
                written = self._write(lines[done : done + fitting])
                done += written.lines
                if written.problem:
                    return Appended(done, written.problem)
        except OSError as error:
            self.close()
            return Appended(done, error.strerror or str(error))
        return Appended(done)

    def close(self) -> None:
        """Close the file; `append` opens it again."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _look(self) -> None:
        """Open the file, or another one where this one was taken away."""
        if self._descriptor >= 0:
            ours = os.fstat(self._descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self.path), ours):
                    self._bytes = ours.st_size
                    return
            self.close()
        self._descriptor = os.open(self.path, OPEN_FLAGS, FILE_MODE)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("is no regular file")
        self._bytes = status.st_size
        if self._bytes and os.pread(self._descriptor, 1, self._bytes - 1) != b"\n":  # a power cut within a line
            self._bytes += os.write(self._descriptor, b"\n")

    def _fitting(self, lines: list[bytes], first: int) -> int:
        """Return how many lines from `first` on the file has room for; one at least where it is empty."""
        room = self._max_bytes - self._bytes
        count = 0
        for line in lines[first:]:
            room -= len(line)
            if room < 0:
                break
            count += 1
        return count or int(not self._bytes)

    def _rotate(self) -> None:
        """Set the file aside, and begin a new one."""
        older = [self.path.with_name(f"{self.path.name}.{number}") for number in range(1, self._files)]
        names = [self.path, *older]
        for newer, target in reversed(list(zip(names, older, strict=False))):
            with suppress(FileNotFoundError):
                os.replace(newer, target)
        if not older:
            os.unlink(self.path)
        self.close()
        self._look()

    def _write(self, lines: list[bytes]) -> Appended:
        data, written = b"".join(lines), 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            whole = data.rfind(b"\n", 0, written) + 1
            if whole < written:
                os.ftruncate(self._descriptor, self._bytes + whole)  # rule 3
            self._bytes += whole
            return Appended(data.count(b"\n", 0, whole), error.strerror or str(error))
        self._bytes += written
        return Appended(len(lines))


class AuditLog:
    """A sink for what is audited.

    Args:
        file: where lines go.
        reactor: whose loop calls back.
        log: hears of a file that cannot be written, and that it can again.
    """

    def __init__(self, file: AuditFile, reactor: Reactor, log: EventLog) -> None:
        self._file = file
        self._reactor = reactor
        self._log = log
        self._lines: list[bytes] = []
        self._under_way: list[bytes] = []  # a thread has these, and takes out what is in the file
        self._bytes = 0  # of both
        self._lost = 0
        self._named = 0  # of the lost, by the last of the lines under way
        self._problem = ""
        self._started = self._planned = self._writing = False
        self._turn = threading.Lock()  # held while somebody writes

    @property
    def alarms(self) -> list[str]:
        """What an operator should look at now, one line each."""
        return [f"{self._words}; {self._lost} lines were lost"] if self._problem else []

    def wants(self, level: str, name: str) -> bool:
        """Say whether this is audited."""
        return is_audited(name)

    def write(self, entry: Entry) -> None:
        """Take one."""
        line = (json_line(entry) + "\n").encode()
        if self._bytes + len(line) > BUFFER_BYTES:
            self._lost += 1
            if not self._problem:
                self._tell("the disk does not answer")
        else:
            self._lines.append(line)
            self._bytes += len(line)
        self._plan()

    def start(self) -> None:
        """Write from now on: this process has the user that it keeps, to whom the file will belong."""
        self._started = True
        self._plan()

    def close(self) -> None:
        """Write what is left, where that was begun, and close the file; waits CLOSE_SECONDS at the most."""
        if not self._started:
            return
        ended = threading.Event()
        last = threading.Thread(target=lambda: self._finish(ended), name="rustun-audit", daemon=True)
        with suppress(RuntimeError):  # the host has no room for a thread
            last.start()
            last.join(CLOSE_SECONDS)
        if not ended.is_set():
            self._problem = "the disk does not answer"
        waiting = len(self._lines) + len(self._under_way) - bool(self._named and self._under_way)
        if lost := self._lost + waiting:
            self._log.event("warning", "audit-unwritable", f"{self._words}; {lost} lines are lost", lost=lost)

    def _plan(self) -> None:
        waits = bool(self._lines or self._lost)
        if waits and self._started and not self._planned and not self._writing:
            self._planned = True
            seconds = RETRY_SECONDS if self._problem else GATHER_SECONDS
            self._reactor.call_at(self._reactor.now() + seconds, self._begin)

    def _begin(self) -> None:
        self._planned, self._writing = False, True
        self._take()
        try:
            self._reactor.run_in_thread(self._append, self._end)
        except RuntimeError as error:  # the host has no room for a thread
            self._end(str(error))

    def _end(self, problem: str | Exception) -> None:
        self._writing = False
        if isinstance(problem, Exception):
            self._log.event("error", "internal-error", describe_bug(problem))
            problem = "a fault of this program; see the log"
        self._settle()
        self._tell(problem)
        self._plan()

    def _take(self) -> None:
        """Have all lines under way, and behind them one that says how many were lost."""
        self._under_way, self._lines, self._named = self._lines, [], self._lost
        if self._lost:
            self._under_way.append((json_line(lost_lines(self._reactor.wall_clock(), self._lost)) + "\n").encode())

    def _append(self) -> str:
        """Write what is under way, and return why not all of it; called on a thread."""
        with self._turn:
            outcome = self._file.append(self._under_way)
            del self._under_way[: outcome.lines]
            return outcome.problem

    def _settle(self) -> None:
        """Put back what was under way and is not in the file."""
        if self._named and self._under_way:
            self._under_way.pop()  # said anew, with the number as it is then
        else:
            self._lost -= self._named
        self._lines[:0] = self._under_way
        self._under_way, self._named = [], 0
        self._bytes = sum(map(len, self._lines))

    def _finish(self, ended: threading.Event) -> None:
        """Write the last lines, behind those that are under way; called on a thread."""
        with self._turn:
            self._settle()
            self._take()
        self._problem = self._append()
        with self._turn:
            self._settle()
            self._file.close()
        ended.set()

    def _tell(self, problem: str) -> None:
        before, self._problem = self._problem, problem
        if problem and problem != before:
            text = f"{self._words}; lines wait in memory as long as there is room"
            self._log.event("warning", "audit-unwritable", text, lost=self._lost)
        elif before and not problem:
            text = f"the audit log {self._file.path} can be written again"
            self._log.event("info", "audit-writable", text)

    @property
    def _words(self) -> str:
        return f"the audit log {self._file.path} cannot be written: {self._problem}"
