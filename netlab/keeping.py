"""What is kept of a laboratory in which something failed: one folder for each failure, and no more than fits.

    FAILURES/TEST/          files of the test's own folder: logs, configuration, captures, and what it wrote itself
        failure.txt         what it failed with, and all that it and its processes said
        LAB/status.json     what `lab-status --json` said then
        LAB/picture.svg     the same, drawn
        LAB/capture.pcapng, sequence.txt    the newest packets at all interfaces, and what they did

Rules of this module
  1. Keys stay where they were: no folder called secrets, no *.key, no *.psk.
  2. One failure takes at most FAILURE_BYTES, small files first, since logs say more for their size than captures; all
     of them ALL_BYTES, the oldest goes first. A file that is too long keeps its end, a capture its beginning, since
     only that can be read.
  3. Several processes may keep something at once; who finds a folder gone goes on.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from netlab.picture import scene_svg, sequence, sequence_text
from netlab.picture.scene import scene

ALL_BYTES: Final = 20 << 20
FAILURE_BYTES: Final = 8 << 20
FILE_BYTES: Final = 2 << 20
CAPTURE_BYTES: Final = 4 << 20
NAME_CHARACTERS: Final = 120
FAILURE: Final = "failure.txt"
STATUS: Final = "status.json"
PICTURE: Final = "picture.svg"
CAPTURE: Final = "capture.pcapng"
CAPTURE_ENDING: Final = ".pcapng"
SEQUENCE: Final = "sequence.txt"
SECRET_FOLDER: Final = "secrets"
SECRET_ENDINGS: Final = (".key", ".psk")


def describe(document: Mapping[str, Any], folder: Path) -> None:
    """Write down what a laboratory is; `document` is of documents.status."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATUS).write_text(json.dumps(document, indent=2) + "\n")
    (folder / PICTURE).write_text(scene_svg.draw(scene(document, live=True)))


def draw(folder: Path) -> None:
    """Write down what the packets of the folder's capture did. Raises BadInput as `pcapng.read` does."""
    (folder / SEQUENCE).write_text(sequence_text.draw(sequence.arrange(*sequence.read(folder / CAPTURE))))


def keep(source: Path | None, failures: Path, test: str, words: str) -> Path:
    """Copy what helps of a test's folder, make room for it, and return where it is.

    Args:
        source: the test's folder, if it had one.
        failures: of all tests; made if it is missing.
        test: its name, with the file that it stands in.
        words: what it failed with.
    """
    target = failures / (re.sub(r"[^\w.\[\]-]+", "-", test)[-NAME_CHARACTERS:].strip("-.") or "test")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    said = words.encode(errors="backslashreplace")[-FILE_BYTES:]
    (target / FAILURE).write_bytes(said)
    if source is not None:
        _copy(source, target, FAILURE_BYTES - len(said))
    _make_room(failures, target)
    return target


def _copy(source: Path, target: Path, room: int) -> None:
    for file in sorted(_files(source), key=lambda one: (min(one.stat().st_size, _most(one)), one)):
        if len(data := _cut(file)) <= room:
            copy = target / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
            room -= len(data)


def _files(source: Path) -> Iterator[Path]:
    for path in source.rglob("*"):
        place = path.relative_to(source).parts
        secret = SECRET_FOLDER in place or path.suffix in SECRET_ENDINGS
        if not secret and path.is_file() and not path.is_symlink():
            yield path


def _most(file: Path) -> int:
    return CAPTURE_BYTES if file.suffix == CAPTURE_ENDING else FILE_BYTES


def _cut(file: Path) -> bytes:
    most = _most(file)
    with file.open("rb") as opened:
        if file.suffix != CAPTURE_ENDING:
            opened.seek(max(0, file.stat().st_size - most))
        return opened.read(most)


def _make_room(failures: Path, newest: Path) -> None:
    """Remove the oldest failures until all fit; `newest` stays."""
    ages = sorted((path.stat().st_mtime, path) for path in failures.iterdir() if path.is_dir() and path != newest)
    sizes = {path: _size(path) for _, path in ages}
    total = sum(sizes.values()) + _size(newest)
    for _, path in ages:
        if total > ALL_BYTES:
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
