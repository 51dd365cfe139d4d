"""The files of an inventory, read for editing and replaced together.

Rules of this module
  1. What is written was read back by the inventory's own parser in a copy; an inventory that would not be read is not
     written, and one that cannot be read now is not edited.
  2. One editor at a time (a lock on the folder, which the kernel gives back). A file that somebody else changed between
     reading and writing is left alone: their change would be lost.
  3. Every draft is on the disk before the first file is replaced, and ctrl-C waits until the last one is: the files are
     as before, or as asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rustun.config.files import decode, read_bytes
from rustun.durable import sync_folder
from rustun.errors import ConfigError, HostError, Problem
from rustun.ops.editing.changes import Change, apply
from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory
from rustun.ops.recorded import lock_file
from rustun.ops.sources import MAX_INVENTORY_BYTES
from rustun.ops.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True)
class InventoryFiles:
    """The texts of an inventory, as they were and as they will be.

    Attributes:
        path: of the inventory, a file or a folder.
        before: text of each file; the lock file is one of them where there is one.
        after: text of each file that changes or is new.
    """

    path: Path
    before: Mapping[Path, str]
    after: Mapping[Path, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.path if self.path.is_dir() else self.path.parent

    def text(self, file: Path) -> str:
        """Return the text of a file as it will be, empty for one that is new."""
        return self.after.get(file, self.before.get(file, ""))

    def values(self, file: Path) -> dict[str, Any]:
        """Return what a file will say."""
        return tomllib.loads(self.text(file))

    def holders(self, *path: str) -> list[Path]:
        """Return the inventory's files (not its lock) in which a table stands, in the order of reading."""
        return [file for file in self.tables() if _there(self.values(file), path)]

    def tables(self) -> list[Path]:
        """Return the inventory's files without its lock, in the order of reading."""
        return sorted(file for file in {**self.before, **self.after} if file.suffix == ".toml")

    def changed(self, file: Path, changes: Sequence[Change]) -> InventoryFiles:
        """Return the files with changes made to one of them. Raises: EditError: they cannot be made."""
        return self.with_text(file, apply(self.text(file), changes))

    def with_text(self, file: Path, text: str) -> InventoryFiles:
        """Return the files with another text for one of them."""
        after = {**self.after, file: text}
        return replace(self, after={one: new for one, new in after.items() if new != self.before.get(one)})


def _there(values: Mapping[str, Any], path: Sequence[str]) -> bool:
    level: Any = values
    for name in path:
        if not isinstance(level, Mapping) or name not in level:
            return False
        level = level[name]
    return True


def read_files(path: Path) -> InventoryFiles:
    """Read an inventory for editing. Raises: ConfigError: a file cannot be read."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if (lock := lock_file(path)).exists():
        files.append(lock)
    return InventoryFiles(path, {file: decode(str(file), read_bytes(file, MAX_INVENTORY_BYTES)) for file in files})


def read_back(files: InventoryFiles) -> Inventory:
    """Return the inventory that the files will say. Raises: ConfigError: it cannot be read; problems name the files."""
    with tempfile.TemporaryDirectory(prefix="rustun-edit-") as name:
        folder = Path(name)
        for file in {**files.before, **files.after}:
            (folder / file.name).write_text(files.text(file), encoding="utf-8", newline="")
        home = "" if files.folder == Path() else f"{files.folder}/"

        def at_home(problem: Problem) -> Problem:
            texts = [problem.file, problem.reason]
            file, reason = (text.replace(f"{folder}/", home).replace(name, str(files.path)) for text in texts)
            return replace(problem, file=file, reason=reason)

        try:
            inventory = load_inventory(folder if files.path.is_dir() else folder / files.path.name)
        except ConfigError as error:
            raise ConfigError(tuple(map(at_home, error.problems))) from None
        return replace(inventory, notes=tuple(map(at_home, inventory.notes)))


@contextlib.contextmanager
def editing(path: Path) -> Iterator[None]:
    """Hold the lock of an inventory. Raises: HostError: somebody else edits it, or its folder cannot be opened."""
    folder = path if path.is_dir() else path.parent
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(f"{folder}: cannot be opened: {error.strerror}", "check the path") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise HostError(f"{folder}: somebody else is editing here", "run it again when they are done") from None
    finally:
        os.close(descriptor)


def write_files(files: InventoryFiles) -> None:
    """Put every changed file in place; the caller holds the lock.

    Raises: HostError: somebody changed a file meanwhile, no room, or no right; nothing was written.
    """
    drafts = {file: file.with_name(f".{file.name}.new") for file in files.after}
    try:
        for file, draft in drafts.items():
            _write_draft(file, draft, files.after[file])
        with uninterrupted():
            for file in drafts:
                present = file.read_bytes().decode() if file.exists() else None
                if present != files.before.get(file):
                    raise HostError(f"{file}: somebody else changed it meanwhile", "run it again on what is there now")
            for file, draft in drafts.items():
                os.replace(draft, file)
            sync_folder(files.folder)
    except OSError as error:
        place = error.filename or files.folder
        remedy = "check the room on the disk and the owner of the folder; the inventory is as it was"
        raise HostError(f"{place}: cannot be written: {error.strerror}", remedy) from error
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _write_draft(file: Path, draft: Path, text: str) -> None:
    with draft.open("w", encoding="utf-8", newline="") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    if file.exists():
        shutil.copymode(file, draft)
