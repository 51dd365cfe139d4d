"""A running server's memory of its members' keys (rustun.config.known_keys has the rules).

Rules of this module
  1. It is read at the start, and written where a lower tier than key admits anybody (`durable`): else what an entry
     loses while the server is down would not be noticed. A file that is there is kept current in any case: an old one
     would bring back keys that were taken from members since. None is made where it is not needed.
  2. It is written after the new members are in force, a part in each turn of the loop, every part on the disk before
     the next (O_DSYNC); the whole takes the old one's place by its name. A crash leaves the old one or the new one.
     What is outdated by then does not take it, and nothing that lay under the draft's name is opened.
  3. What cannot be read is never written over as long as somebody is held because of it; what cannot be written is said
     in log and status, and tried again with the next reading of routes.json.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Final

from rustun.backends.base import Reactor
from rustun.config.known_keys import keep_keys, keeps_on_disk, read_known_keys, writing_problem
from rustun.config.known_keys_text import Known, encode_known_keys
from rustun.config.routes import RoutesFile
from rustun.durable import sync_folder
from rustun.errors import ConfigError, Problem
from rustun.logs import EventLog

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o755


class KnownKeys:
    """What one server knows of its members' keys.

    Args:
        path: of its file.
        durable: whether it is to be written where there is none yet.
    Attributes:
        keeping: identities whose entries have lost their keys and that keep them.
    """

    def __init__(self, path: Path, reactor: Reactor, log: EventLog, *, durable: bool) -> None:
        self.keeping: tuple[str, ...] = ()
        self._durable = durable
        self._path = path
        self._reactor = reactor
        self._log = log
        self._known: Known | None = None  # nothing was read yet, or it could not be read
        self._on_disk: Known | None = None
        self._writing: Generator[None, None, None] | None = None
        self._notes: tuple[Problem, ...] = ()
        self._unreadable = ""
        self._unwritable = ""

    @property
    def alarms(self) -> list[str]:
        """What an operator should look at now, one line each."""
        return [*map(_line, self._notes), *filter(None, (self._unreadable, self._unwritable))]

    def keep(self, routes: RoutesFile, file: str) -> Generator[None, None, RoutesFile]:
        """Return members with the keys that their entries have lost, as a generator's value; call nothing meanwhile.

        Args:
            routes: that are to be in force as soon as this ends.
            file: how messages call routes.json.
        """
        if self._known is None:
            self._read()
        lasting = self._keeps_on_disk and not self._unwritable
        kept = yield from keep_keys(routes, self._known, file, self._reactor.wall_clock(), lasting=lasting)
        self._known, self.keeping, self._notes = kept.known, kept.keeping, kept.notes
        for note in kept.notes:
            self._log.event("warning", "key-kept", _line(note))
        if kept.known is not None:
            self._unreadable = ""
            self._plan_writing(kept.known)
        return kept.routes

    def configure(self, path: Path, *, durable: bool) -> None:
        """Remember in this file from now on; what another said before is left as it is."""
        self._durable = durable
        if path != self._path:
            self._path, self._on_disk = path, None
        if self._known is not None:
            self._plan_writing(self._known)

    def stop(self) -> None:
        """Finish what is being written."""
        while self._writing is not None:
            self._write_on()

    @property
    def _keeps_on_disk(self) -> bool:
        return keeps_on_disk(self._path, durable=self._durable)

    def _read(self) -> None:
        self._unreadable, before = "", self._unreadable
        try:
            self._known = self._on_disk = read_known_keys(self._path)
        except ConfigError as error:
            self._unreadable = str(error.problems[0])
            if self._unreadable != before:
                self._log.event("error", "known-keys-unreadable", self._unreadable)

    def _plan_writing(self, known: Known) -> None:
        keeps = self._keeps_on_disk
        wanted = keeps and (known != self._on_disk or (bool(known) and not os.path.lexists(self._path)))
        problem = writing_problem(self._path) if keeps and (known or wanted) else None
        self._say_unwritable(_line(problem) if problem else "")
        if problem or not wanted:
            return
        if self._writing is not None:
            self._writing.close()
        else:
            self._reactor.call_soon(self._write_step)
        self._writing = self._write(self._path, known)

    def _write_step(self) -> None:
        self._write_on()
        if self._writing is not None:
            self._reactor.call_soon(self._write_step)

    def _write_on(self) -> None:
        steps, self._writing = self._writing, None  # should a part fail as nobody foresaw, the next change begins anew
        if steps is None:
            return
        try:
            next(steps)
        except StopIteration:
            return
        except OSError as error:
            self._say_unwritable(f"{self._path}: cannot be written: {error.strerror}; look at its folder and the disk")
        else:
            self._writing = steps

    def _write(self, path: Path, known: Known) -> Generator[None, None, None]:
        if not path.parent.exists():
            path.parent.mkdir(FOLDER_MODE)
        draft = path.with_name(path.name + ".new")
        draft.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DSYNC | os.O_CLOEXEC
        with open(os.open(draft, flags, FILE_MODE), "wb", buffering=0) as file:
            os.fchmod(file.fileno(), FILE_MODE)
            for part in encode_known_keys(known):
                while part:
                    part = part[file.write(part) :]
                yield
        if known is not self._known:  # what is on the disk is in force again
            draft.unlink()
            return
        os.replace(draft, path)
        sync_folder(path.parent)
        if path == self._path:
            self._on_disk = known

    def _say_unwritable(self, text: str) -> None:
        if text and text != self._unwritable:
            self._log.event("warning", "known-keys-unwritable", text)
        self._unwritable = text


def _line(problem: Problem) -> str:
    """Return a problem without its level: log and alarms have one of their own."""
    return str(replace(problem, level="error"))
