"""Files that are there whole or not at all, and whose names survive a power cut."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk: a file that was made or replaced there is found after a power cut.

    Raises: OSError as open(2) and fsync(2) say; what was made stays.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, like: os.stat_result | None = None) -> None:
    """Put a file in place whole; what was there stays until then, and for good where this fails.

    Args:
        like: of what was there, where its mode and owners are to stay. Where its group cannot be had, the mode has
            nothing for a group.

    Raises: OSError as open(2), write(2), fsync(2) and rename(2) say.
    """
    with _draft(path, data, like) as draft:
        os.replace(draft, path)
    sync_folder(path.parent)


def add_file(path: Path, data: bytes) -> None:
    """Put a new file in place, whole or not at all.

    Raises: FileExistsError: there is one; it stays. OSError as open(2), write(2), fsync(2) and link(2) say.
    """
    with _draft(path, data) as draft:
        os.link(draft, path)
    sync_folder(path.parent)


@contextlib.contextmanager
def _draft(path: Path, data: bytes, like: os.stat_result | None = None) -> Iterator[Path]:
    """Have data on the disk under another name in the same folder, and see to it that this name goes."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)  # who died left it, or somebody else put a link there
    mode = 0o666 if like is None else 0o600  # who opened it before its mode is that of `like` would read what comes
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            if like is not None:
                _make_like(file.fileno(), like)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _make_like(descriptor: int, like: os.stat_result) -> None:
    own, mode = os.fstat(descriptor), stat.S_IMODE(like.st_mode)
    if own.st_gid != like.st_gid:  # a service may be forbidden the call itself
        try:
            os.fchown(descriptor, -1, like.st_gid)
        except PermissionError:
            mode &= ~stat.S_IRWXG
    if own.st_uid != like.st_uid:
        with contextlib.suppress(PermissionError):  # only root gives files away
            os.fchown(descriptor, like.st_uid, -1)
    os.fchmod(descriptor, mode)  # after the owners: they take set-user-id bits away
