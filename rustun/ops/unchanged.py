"""What a task found when there was nothing to do, kept so that the same question about the same files has its answer.

Rules of this module
  1. An answer counts as long as all that it came from is the same: bytes, age, owner and mode of each file, the names
     in each folder, who asks, from where, and with which Python. All of it is looked at each time and goes into one
     digest, together with the answer and the list of what to look at.
  2. An answer that depends on the time says from when and until when it holds.
  3. Nothing is kept where a file changed while the task ran, or so shortly before that the time of its change could
     not tell: the answer may come from other bytes than those that are there now.
  4. What is kept is no truth. Without it, or where it cannot be read, the task finds out again.

It guards against change, not against somebody who may write here: they could change the task itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

KEPT: Final = ".unchanged-"  # and the name of the task: the file in which an answer is kept
CLOCK_S: Final = 1.0  # two changes of a file within this time may have the same time
_AT_ONCE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task found.

    Attributes:
        question: the task, and what it was asked as it was typed.
        found: what JSON can hold.
        files: whose bytes, age, owner and mode count; one that is missing counts as missing.
        folders: whose names count, and who may change them.
        since: when the task began, unix seconds.
        until: when the answer has to be found anew, unix seconds.
    """

    question: tuple[str, ...]
    found: dict[str, Any]
    files: tuple[str, ...]
    folders: tuple[str, ...]
    since: float
    until: float = math.inf


def remember(folder: Path, answer: Answer) -> None:
    """Keep a task's answer in a folder, unless what it came from is too new (rule 3). Raises: OSError."""
    kept = asdict(answer)
    look = _Look(kept)
    if look.newest < answer.since - CLOCK_S:
        file = _place(folder, answer.question)
        draft = file.with_name(f"{file.name}.new")
        draft.write_text(json.dumps(kept | {"digest": look.digest}))
        draft.replace(file)


def recall(folders: Iterable[Path], question: Sequence[str]) -> dict[str, Any] | None:
    """Return what was found for the same question where nothing has changed since; None where that is not known.

    Args:
        folders: in which an answer may be kept: which one is a fleet's, only its files say.
    """
    return next(filter(None, (_recall(_place(folder, question), question) for folder in folders)), None)


def _place(folder: Path, question: Sequence[str]) -> Path:
    return folder / f"{KEPT}{question[0]}"


def _recall(file: Path, question: Sequence[str]) -> dict[str, Any] | None:
    try:
        kept = json.loads(file.read_bytes())
        digest = kept.pop("digest")
        if kept["question"] != list(question) or not kept["since"] <= time.time() < kept["until"]:
            return None
        found: dict[str, Any] = kept["found"]
        return found if _Look(kept).digest == digest else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):  # rule 4
        return None


class _Look:
    """Looks at all that an answer came from; `digest` of it, and the time of its `newest` change, unix seconds."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.newest = 0.0
        asker = [sys.version, os.geteuid(), os.getegid(), os.getcwd(), os.environ.get("CREDENTIALS_DIRECTORY")]
        self._hash = hashlib.sha256(json.dumps([kept, asker], sort_keys=True).encode())
        for file in kept["files"]:
            self._file(file)
        for folder in kept["folders"]:
            self._folder(folder)
        self.digest = self._hash.hexdigest()

    def _file(self, path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            self._see(os.stat(os.path.dirname(path) or "."))
            self._hash.update(b"missing\n")
            return
        try:
            self._see(status := os.fstat(descriptor))
            data = os.read(descriptor, status.st_size + 1)
            while len(data) < status.st_size and (more := os.read(descriptor, _AT_ONCE_BYTES)):
                data += more
        finally:
            os.close(descriptor)
        about = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, len(data))
        self._hash.update(b"%d %d %d %d %d\n" % about)
        self._hash.update(data)

    def _folder(self, path: str) -> None:
        with os.scandir(path) as entries:
            names = sorted((one.name, one.is_symlink()) for one in entries if not one.name.startswith(KEPT))
        self._see(os.stat(path))
        self._hash.update(json.dumps(names).encode())
        real = Path(os.path.realpath(path))
        for way in (real, *real.parents):
            status = way.stat()
            self._hash.update(json.dumps([str(way), status.st_mode, status.st_uid, status.st_gid]).encode())

    def _see(self, status: os.stat_result) -> None:
        self.newest = max(self.newest, status.st_ctime)
