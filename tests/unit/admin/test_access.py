"""Which users of the host may ask: the file that a socket is, its group and mode."""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.admin import access
from rustun.admin.access import let_group_in
from rustun.errors import HostError, RightsError

OWN_GROUP = grp.getgrgid(os.getgid()).gr_name


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A socket of mode 0600."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(tmp_path / "s.sock"))
        yield tmp_path / "s.sock"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_users_of_a_group_may_ask(path: Path) -> None:
    """An operator has to be root to look at a server, or everybody of the host may."""
    let_group_in(path, OWN_GROUP)
    assert (mode(path), path.stat().st_gid) == (0o660, os.getgid())


def test_the_usual_group_may_where_there_is_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without the group does not start, or one that has it keeps its users out."""
    monkeypatch.setattr(access, "USUAL_GROUP", "no-such-group-here")
    let_group_in(path, "")
    assert mode(path) == 0o600
    monkeypatch.setattr(access, "USUAL_GROUP", OWN_GROUP)
    let_group_in(path, "")
    assert mode(path) == 0o660


def test_a_group_that_was_named_must_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt group leaves an operator without a word why the socket does not answer."""
    with pytest.raises(HostError, match='there is no group "no-such-group-here"'):
        let_group_in(path, "no-such-group-here")

    def refuse(place: str, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with pytest.raises(RightsError, match=f'cannot let group "{OWN_GROUP}" ask on {path}') as caught:
        let_group_in(path, OWN_GROUP)
    assert "usermod" in caught.value.remedy
    monkeypatch.setattr(access, "USUAL_GROUP", OWN_GROUP)
    let_group_in(path, "")  # a convenience: this process goes on without
    assert mode(path) == 0o600


def test_what_the_folder_gave_to_the_group_is_not_given_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that may give no file away keeps the group out, though the socket has it from its folder."""

    def refuse(place: str, uid: int, gid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    let_group_in(path, OWN_GROUP)
    assert mode(path) == 0o660


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Who may write to the folder has the mode of a file of the owner's changed."""
    target = tmp_path / "secret"
    target.touch(0o600)
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(RightsError):
        let_group_in(path, OWN_GROUP)
    assert mode(target) == 0o600
