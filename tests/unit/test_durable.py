"""Names on the disk."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from rustun.durable import add_file, replace_file, sync_folder


def test_the_folder_itself_is_synced_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a new key or journal has no name after a power cut, or each one costs a descriptor."""
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    before = os.listdir("/proc/self/fd")
    sync_folder(tmp_path)
    assert synced == [str(tmp_path)]
    assert os.listdir("/proc/self/fd") == before


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    """If this fails, what is not on the disk counts as being there."""
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a full disk leaves half a file where a good one was, or drafts that nobody removes."""
    replace_file(tmp_path / "keys.age", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "keys.age", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"keys.age": b"old"}


def test_a_draft_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, who waits for the draft of a private file reads it, or has another file written in its place."""
    path, foreign = tmp_path / "routes.json", tmp_path / "foreign"
    path.write_bytes(b"old")
    path.chmod(0o640)
    foreign.write_bytes(b"foreign")
    (tmp_path / ".routes.json.new").symlink_to(foreign)
    modes: list[int] = []
    fchmod = os.fchmod

    def seen(descriptor: int, mode: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", seen)
    replace_file(path, b"new", like=path.stat())
    assert (path.read_bytes(), stat.S_IMODE(path.lstat().st_mode)) == (b"new", 0o640)
    assert (modes, foreign.read_bytes()) == ([0o600], b"foreign")


def test_a_new_file_is_whole_and_never_takes_the_place_of_another(tmp_path: Path) -> None:
    """If this fails, two that make the same file at once lose one of them, or leave drafts."""
    add_file(tmp_path / "acme.toml", b"mine")
    with pytest.raises(FileExistsError):
        add_file(tmp_path / "acme.toml", b"yours")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"acme.toml": b"mine"}
