"""The audit log: whole lines in files of a bounded size, whatever the disk does, and nobody waits for it."""

from __future__ import annotations

import json
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from rustun.audit import (
    BUFFER_BYTES,
    CLOSE_SECONDS,
    GATHER_SECONDS,
    RETRY_SECONDS,
    Appended,
    AuditFile,
    AuditLog,
    counted_together,
)
from rustun.backends.memory import VirtualReactor
from rustun.logs import BURST_EVENTS, WINDOW_SECONDS, Entry, Log, RateLimited

LARGE = 1 << 20


def line(number: int, size: int = 0) -> bytes:
    return f"{number:06} {'x' * size}\n".encode()


def numbers(*files: Path) -> list[int]:
    """Return the numbers of the lines of some files; each line has to be whole."""
    found = []
    for file in files:
        data = file.read_bytes()
        assert not data or data.endswith(b"\n")
        found += [int(one[:6]) for one in data.splitlines()]
    return found


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow over `size` bytes: the kernel takes what fits and refuses the rest, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_files_are_bounded_and_nothing_between_them_is_lost(tmp_path: Path) -> None:
    """The audit log fills the disk, or a line is lost or torn where one file ends and the next begins."""
    rng, path, written = Random(1), tmp_path / "audit.jsonl", 0
    file = AuditFile(path, 1000, 50)
    while written < 500:
        lines = [line(written + one, rng.randrange(60)) for one in range(rng.randrange(1, 40))]
        assert file.append(lines) == Appended(len(lines))
        written += len(lines)
    file.close()
    older = sorted(tmp_path.glob("audit.jsonl.*"), key=lambda one: -int(one.suffix[1:]))
    assert len(older) > 10
    assert numbers(*older, path) == list(range(written))
    assert max(one.stat().st_size for one in (*older, path)) <= 1000
    assert path.stat().st_mode & 0o777 & ~0o640 == 0, "others may read who talks to whom"


@pytest.mark.parametrize("files", [1, 3])
def test_the_oldest_goes(tmp_path: Path, files: int) -> None:
    """More files are kept than the operator asked for, or the newest lines go."""
    file = AuditFile(tmp_path / "a", 100, files)
    for number in range(100):
        assert file.append([line(number, 20)]) == Appended(1)
    file.close()
    names = ["a", *(f"a.{number}" for number in range(1, files))]
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    kept = numbers(*(tmp_path / name for name in reversed(names)))
    assert kept == list(range(100 - len(kept), 100))


def test_a_line_longer_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    """One long line is never written, or the file is rotated for ever."""
    file = AuditFile(tmp_path / "a", 100, 5)
    assert file.append([line(1), line(2, 500), line(3)]) == Appended(3)
    file.close()
    assert [numbers(tmp_path / name) for name in ("a.2", "a.1", "a")] == [[1], [2], [3]]


@pytest.mark.parametrize("how", [os.unlink, lambda path: os.rename(path, f"{path}.old")], ids=["removed", "renamed"])
def test_a_file_that_was_taken_away_is_made_anew(tmp_path: Path, how: Callable[[Path], None]) -> None:
    """Who cleans up, or runs logrotate, has no audit log from then on."""
    file = AuditFile(tmp_path / "a", LARGE, 5)
    file.append([line(1)])
    how(tmp_path / "a")
    assert file.append([line(2)]) == Appended(1)
    file.close()
    assert numbers(tmp_path / "a") == [2]


def test_a_full_disk_leaves_no_torn_line(tmp_path: Path) -> None:
    """A line is half there, is there twice, or all behind it are lost once there is room again."""
    path, lines = tmp_path / "a", [line(number, 92) for number in range(20)]  # of 100 bytes
    file = AuditFile(path, LARGE, 5)
    with room_for(1050):
        done = file.append(lines)
        assert (done.lines, done.problem) == (10, os.strerror(27))
        assert path.stat().st_size == 1000
        assert file.append(lines[10:]).lines == 0
        assert path.stat().st_size == 1000
    assert file.append(lines[10:]) == Appended(10)
    file.close()
    assert numbers(path) == list(range(20))


def test_a_line_that_a_power_cut_tore_spoils_no_other(tmp_path: Path) -> None:
    """The first line after a crash cannot be read."""
    (tmp_path / "a").write_bytes(b'{"time": "2026')
    file = AuditFile(tmp_path / "a", LARGE, 5)
    assert file.append([line(1)]) == Appended(1)
    file.close()
    assert (tmp_path / "a").read_bytes() == b'{"time": "2026\n' + line(1)


def test_what_is_no_file_is_not_written(tmp_path: Path) -> None:
    """A pipe, a folder or a device in the file's place holds the thread up for ever, or takes the lines away."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, problem in (("pipe", "regular"), ("folder", "directory"), ("none/a", "No such file")):
        done = AuditFile(tmp_path / name, LARGE, 5).append([line(1)])
        assert done.lines == 0
        assert problem in done.problem
    assert "regular" in AuditFile(Path("/dev/full"), LARGE, 5).append([line(1)]).problem


class Written:
    """An audit log in virtual time, and what the log of its process hears."""

    def __init__(self, path: Path, file: AuditFile | None = None) -> None:
        self.path = path
        self.reactor = VirtualReactor()
        self.told: list[tuple[str, str]] = []
        self.audit = AuditLog(file or AuditFile(path, LARGE * 10, 5), self.reactor, self)
        self.limited = RateLimited(self.audit, self.reactor.now, self.reactor.call_at, counted_together)
        self.log = Log(self.reactor.wall_clock, self.limited)

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        self.told.append((name, message))

    def write(self, count: int, size: int = 0, first: int = 0) -> None:
        """Give it entries of that many characters, numbered."""
        for number in range(first, first + count):
            time = self.reactor.wall_clock()
            self.audit.write(Entry(time, "info", "session-up", "x" * size, {"members": number}))

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(one) for one in self.path.read_text().splitlines()]

    def numbers(self) -> list[object]:
        return [one["members"] for one in self.lines() if one["event"] != "log-lost"]


def test_lines_are_gathered_once_it_may_write(tmp_path: Path) -> None:
    """The file belongs to root because it was made before the server became its user, or each line costs a thread."""
    written = Written(tmp_path / "a")
    written.write(3)
    written.reactor.run_for(10)
    assert not written.path.exists()
    written.audit.start()
    written.reactor.run_for(GATHER_SECONDS * 2)
    assert written.numbers() == [0, 1, 2]
    written.write(1, first=3)
    written.audit.close()
    assert written.numbers() == [0, 1, 2, 3]
    assert written.told == []


def test_what_was_never_begun_is_not_written_at_the_end(tmp_path: Path) -> None:
    """A start that fails leaves a file of root's that the server cannot write later."""
    written = Written(tmp_path / "a")
    written.write(3)
    written.audit.close()
    assert not written.path.exists()


def test_only_what_the_catalogue_says_is_audited(tmp_path: Path) -> None:
    """Each failed handshake of a stranger stands in the audit log, or what is told at level debug does not."""
    written = Written(tmp_path / "a")
    written.audit.start()
    written.log.event("info", "handshake-failed", "no", remote="198.18.0.1:1")
    written.log.event("debug", "takeover", "m0", cluster="c", identity="m0", remote="r", former_remote="f")
    written.limited.close()
    [line] = written.lines()
    assert (line["event"], line["identity"], line["former_remote"]) == ("takeover", "m0", "f")


def test_an_outage_loses_nothing_as_long_as_there_is_room(tmp_path: Path) -> None:
    """A folder that is missing for a minute costs lines, or nobody is told, or all the time."""
    written = Written(tmp_path / "none" / "a")
    written.audit.start()
    for minute in range(5):
        written.write(2, first=minute * 2)
        written.reactor.run_for(12)
    assert [name for name, _ in written.told] == ["audit-unwritable"]
    assert "No such file" in written.told[0][1]
    (alarm,) = written.audit.alarms
    assert "none/a cannot be written: No such file or directory; 0 lines were lost" in alarm
    (tmp_path / "none").mkdir()
    written.reactor.run_for(RETRY_SECONDS * 2)
    assert written.numbers() == list(range(10))
    assert written.told[-1][0] == "audit-writable"
    assert written.audit.alarms == []


def test_a_long_outage_is_bounded_and_counted(tmp_path: Path) -> None:
    """A full disk fills the memory as well, or lines are gone and the file does not say so."""
    written = Written(tmp_path / "none" / "a")
    written.audit.start()
    total = 0
    for _ in range(30):
        written.write(100, size=1000, first=total)
        total += 100
        written.reactor.run_for(1)
        assert sum(map(len, written.audit._lines)) <= BUFFER_BYTES
    (alarm,) = written.audit.alarms
    (tmp_path / "none").mkdir()
    written.reactor.run_for(RETRY_SECONDS * 2)
    written.write(1, first=total)
    written.audit.close()
    *kept, last = written.numbers()
    assert kept == list(range(len(kept))), "the first ones are kept, whole and in order"
    assert last == total
    [lost] = [line["lost"] for line in written.lines() if line["event"] == "log-lost"]
    assert len(kept) + int(str(lost)) == total
    assert f"{lost} lines were lost" in alarm


class Hanging(AuditFile):
    """A file on a disk that does not answer until `go_on`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, LARGE, 5)
        self.go_on = threading.Event()

    def append(self, lines: list[bytes]) -> Appended:
        assert self.go_on.wait(30)
        return super().append(lines)


def test_a_disk_that_hangs_holds_up_no_stop(tmp_path: Path) -> None:
    """systemd kills a server that waits for its audit log, and nobody gets a goodbye."""
    file = Hanging(tmp_path / "a")
    written = Written(tmp_path / "a", file)
    written.audit.start()
    written.write(1)
    began = monotonic()
    written.audit.close()
    assert CLOSE_SECONDS <= monotonic() - began < CLOSE_SECONDS + 5
    assert [(name, "1 lines are lost" in message) for name, message in written.told] == [("audit-unwritable", True)]
    file.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "rustun-audit":
            thread.join(30)
    assert written.numbers() == [0]


def test_a_disk_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are lost for hours because a write never comes back, and nobody knows."""
    written = Written(tmp_path / "a")
    monkeypatch.setattr(written.reactor, "run_in_thread", lambda work, done: None)
    written.audit.start()
    written.write(1)
    written.reactor.run_for(1)
    written.write(2000, size=1000, first=1)
    assert [name for name, _ in written.told] == ["audit-unwritable"]
    assert "does not answer" in written.told[0][1]
    assert written.audit.alarms
    assert sum(map(len, written.audit._lines)) <= BUFFER_BYTES


def test_a_host_without_room_for_a_thread_is_an_outage_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One moment without threads ends the audit log for good."""
    written = Written(tmp_path / "a")

    def refuse(work: object, done: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(written.reactor, "run_in_thread", refuse)
        written.audit.start()
        written.write(1)
        written.reactor.run_for(1)
    assert "can't start new thread" in written.told[0][1]
    written.reactor.run_for(RETRY_SECONDS * 2)
    assert written.numbers() == [0]


def test_a_fault_of_ours_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that nobody foresaw ends the audit log without a word."""
    file = AuditFile(tmp_path / "a", LARGE, 5)
    written = Written(tmp_path / "a", file)

    def defect(lines: list[bytes]) -> Appended:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(file, "append", defect)
        written.audit.start()
        written.write(1)
        written.reactor.run_for(1)
    assert [name for name, _ in written.told] == ["internal-error", "audit-unwritable"]
    written.reactor.run_for(RETRY_SECONDS * 2)
    assert written.numbers() == [0]


def test_nobody_writes_the_others_out(tmp_path: Path) -> None:
    """A member that comes and goes, or a stranger with a thousand names, fills all files with himself."""
    written = Written(tmp_path / "a")
    written.audit.start()
    for number in range(500):
        written.log.event("info", "session-up", "m0 is online", identity="m0")
        written.log.event("warning", "wrong-key", "no", identity=f"m{number}", remote="198.18.0.1:1")
    written.log.event("info", "session-up", "m1 is online", identity="m1")
    written.reactor.run_for(WINDOW_SECONDS * 2)
    found = [(line["event"], line.get("identity"), line.get("held_back")) for line in written.lines()]
    assert found.count(("session-up", "m0", None)) == BURST_EVENTS
    assert found.count(("session-up", "m1", None)) == 1
    assert sum(event == "wrong-key" for event, _, held_back in found if held_back is None) == BURST_EVENTS
    assert ("session-up", "m0", 500 - BURST_EVENTS) in found
    assert ("wrong-key", None, 500 - BURST_EVENTS) in found
