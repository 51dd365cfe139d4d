"""What a task found when there was nothing to do, kept so that the same question about the same files has its answer.

Rules of this module
  1. An answer counts as long as all that it came from is the same: bytes, owner and mode of each file, the names in
     each folder, who asks, from where, and with which Python. All of it is looked at each time and goes into one
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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

KEPT: Final = ".unchanged"  # how the file is called in which an answer is kept
CLOCK_S: Final = 1.0  # two changes of a file within this time may have the same time
_DRAFT: Final = f"{KEPT}.new"
_AT_ONCE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a task found.

    Attributes:
        question: what was asked, as it was typed.
        found: what JSON can hold.
        files: whose bytes, owner and mode count; one that is missing counts as missing.
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
    """Keep an answer in a folder, unless what it came from is too new (rule 3). Raises: OSError."""
    kept = asdict(answer)
    look = _Look(kept)
    if look.newest < answer.since - CLOCK_S:
        draft = folder / _DRAFT
        draft.write_text(json.dumps(kept | {"digest": look.digest}))
        draft.replace(folder / KEPT)


def recall(folder: Path, question: Sequence[str]) -> dict[str, Any] | None:
    """Return what was found for the same question where nothing has changed since; None where that is not known."""
    try:
        kept = json.loads((folder / KEPT).read_bytes())
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
        self._hash.update(b"%d %d %d %d\n" % (status.st_mode, status.st_uid, status.st_gid, len(data)))
        self._hash.update(data)

    def _folder(self, path: str) -> None:
        with os.scandir(path) as entries:
            names = sorted((one.name, one.is_symlink()) for one in entries if one.name not in (KEPT, _DRAFT))
        self._see(os.stat(path))
        self._hash.update(json.dumps(names).encode())
        real = Path(os.path.realpath(path))
        for way in (real, *real.parents):
            status = way.stat()
            self._hash.update(json.dumps([str(way), status.st_mode, status.st_uid, status.st_gid]).encode())

    def _see(self, status: os.stat_result) -> None:
        self.newest = max(self.newest, status.st_ctime)
