"""rustun.ops.keyfiles: whole files, guarded, and never in the place of another."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rustun.config.keys import Secret, read_key_file
from rustun.errors import HostError
from rustun.ops.filenames import STAGING
from rustun.ops.keyfiles import new_shared_key, write_key_files

NAMES = ("secrets/server.key", "secrets/members/m.key")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_keys_are_for_their_owner_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    """A careless umask would show the keys to everybody on the host."""
    before = os.umask(umask)
    try:
        write_key_files(tmp_path, {name: Secret(f"key of {name}") for name in NAMES})
    finally:
        os.umask(before)
    for name in NAMES:
        path = tmp_path / name
        assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
        assert path.stat().st_nlink == 1
        assert read_key_file(path).reveal() == f"key of {name}"


def test_a_key_that_is_there_stays(tmp_path: Path) -> None:
    """Two runs at once would leave a public key in routes.json whose private key is gone."""
    write_key_files(tmp_path, {NAMES[0]: Secret("first")})
    with pytest.raises(HostError, match=r"secrets/server\.key: somebody else made it meanwhile"):
        write_key_files(tmp_path, {NAMES[0]: Secret("second")})
    assert (tmp_path / NAMES[0]).read_text() == "first\n"
    assert not (tmp_path / "secrets" / STAGING).exists()


def test_a_killed_run_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """One crash would stop every later run, or leave keys lying about."""
    staging = tmp_path / "secrets" / STAGING
    staging.mkdir(parents=True)
    (staging / "0").write_text("half")
    write_key_files(tmp_path, {NAMES[0]: Secret("whole")})
    assert (tmp_path / NAMES[0]).read_text() == "whole\n"
    assert not staging.exists()


def test_many_keys_go_to_the_disk_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet of 10,000 would wait for 10,000 writes of the disk, or a power cut would leave empty keys."""
    waits: list[int] = []
    monkeypatch.setattr(os, "sync", lambda: waits.append(len(list((tmp_path / "secrets" / STAGING).iterdir()))))
    write_key_files(tmp_path, {f"secrets/members/{number}.key": Secret("key") for number in range(40)})
    assert waits == [40]
    write_key_files(tmp_path, {})
    assert waits == [40]


def test_shared_keys_are_as_long_as_the_ciphers_take() -> None:
    """The seed's ciphers would cut the key, or pad it."""
    keys = {new_shared_key().reveal() for _ in range(20)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 20
