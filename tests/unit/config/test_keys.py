"""Key files and the spelling of keys."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config.files import user_name
from rustun.config.findings import Complaint
from rustun.config.keys import Secret, parse_private_key, parse_public_key, read_key_file

STRANGER = 12345


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_files_that_others_may_use(tmp_path: Path, mode: int) -> None:
    """A key that other users can read or exchange is taken."""
    path = tmp_path / "a.key"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(Complaint) as caught:
        read_key_file(path)
    assert caught.value.remedy == f"run: chmod 600 {path}"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_files_of_the_owner_alone(tmp_path: Path, mode: int) -> None:
    """A well kept key is refused."""
    path = tmp_path / "a.key"
    path.write_text(" a key with spaces \r\n")
    path.chmod(mode)
    assert read_key_file(path).reveal() == " a key with spaces "


def test_files_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that another user owns, and may exchange at any time, is taken."""
    path = tmp_path / "a.key"
    path.write_text("secret")
    path.chmod(0o600)
    real = os.fstat

    def as_strangers(descriptor: int) -> os.stat_result:
        status = list(real(descriptor))
        status[4] = STRANGER
        return os.stat_result(status)

    monkeypatch.setattr("os.fstat", as_strangers)
    with pytest.raises(Complaint) as caught:
        read_key_file(path)
    assert caught.value.remedy == f"run: sudo chown {user_name(os.geteuid())} {path}"


@pytest.mark.parametrize(
    ("mode", "remedy"), [(0o757, "o-w"), (0o1777, ""), (0o775, "g-w"), (0o777, "og-w"), (0o1770, "")]
)
def test_folders_that_others_may_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, remedy: str
) -> None:
    """Another user renames a key of their own over a server's, or a key in /tmp is refused."""
    monkeypatch.setattr("os.getegid", lambda: STRANGER)
    folder = tmp_path / "keys of mine"
    folder.mkdir()
    (folder / "a.key").write_text("secret")
    (folder / "a.key").chmod(0o600)
    folder.chmod(mode)
    real = Path.stat

    def of_a_group(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        status = list(real(path, follow_symlinks=follow_symlinks))
        status[5] = STRANGER + 1
        return os.stat_result(status)

    monkeypatch.setattr("pathlib.Path.stat", of_a_group)
    if not remedy:
        assert read_key_file(folder / "a.key").reveal() == "secret"
        return
    with pytest.raises(Complaint, match="others may put another in its place") as caught:
        read_key_file(folder / "a.key")
    assert caught.value.remedy == f"run: chmod {remedy} '{folder}'"


@pytest.mark.parametrize(("mode", "taken"), [(0o775, True), (0o777, False)])
def test_every_folder_on_the_way_counts(tmp_path: Path, mode: int, taken: bool) -> None:
    """A folder further up that everybody may write to lets them exchange the one with the key in it."""
    folder = tmp_path / "open" / "shut"
    folder.mkdir(parents=True)
    (folder / "a.key").write_text("secret")
    (folder / "a.key").chmod(0o600)
    (tmp_path / "link.key").symlink_to(folder / "a.key")
    (tmp_path / "open").chmod(mode)
    for path in (folder / "a.key", tmp_path / "link.key"):
        if taken:
            assert read_key_file(path).reveal() == "secret"
        else:
            with pytest.raises(Complaint) as caught:
                read_key_file(path)
            assert caught.value.remedy == f"run: chmod o-w {tmp_path / 'open'}"


@pytest.mark.parametrize(
    ("owner", "group", "mode", "taken"),
    [
        (0, 700, 0o640, True),
        (0, 700, 0o440, True),
        (0, 700, 0o660, False),
        (0, 700, 0o644, False),
        (0, 700, 0o650, False),
        (0, 701, 0o640, False),
        (500, 700, 0o640, False),
    ],
)
def test_a_file_that_root_lends_to_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, group: int, mode: int, taken: bool
) -> None:
    """A server has to own its key to read it, and could change it; or a key that other users can read is taken."""
    path = tmp_path / "a.key"
    path.write_text("secret")
    real = os.fstat

    def lent(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        return os.stat_result([stat.S_IFREG | mode, *status[1:4], owner, group, *status[6:]])

    monkeypatch.setattr("os.fstat", lent)
    monkeypatch.setattr("os.geteuid", lambda: 500)
    monkeypatch.setattr("os.getegid", lambda: 700)
    if taken:
        assert read_key_file(path).reveal() == "secret"
    else:
        with pytest.raises(Complaint, match="others may use it"):
            read_key_file(path)


def test_spelling_of_public_keys() -> None:
    """Two spellings of one key count as two members' keys."""
    key = bytes(range(32))
    good = base64.b64encode(key).decode()
    assert parse_public_key(good) == key
    twin = good[:-2] + "9="  # the two bits behind the last byte are not zero
    high = base64.b64encode(key[:-1] + b"\x9f").decode()  # X25519 ignores the highest bit
    beyond = base64.b64encode((2**255 - 19 + 9).to_bytes(32, "little")).decode()  # the base point, written otherwise
    for other in (twin, high, beyond, good + "\n", good.rstrip("="), "", good[:40]):
        with pytest.raises(Complaint):
            parse_public_key(other)


@pytest.mark.parametrize("point", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
def test_points_of_small_order(point: int) -> None:
    """A public key that gives everybody the same secret is taken."""
    with pytest.raises(Complaint, match="not one that X25519 makes"):
        parse_public_key(base64.b64encode(point.to_bytes(32, "little")).decode())


@given(st.text("QXZJ+/=§\0", min_size=4, max_size=60))  # no four of them stand in a message of ours
def test_a_wrong_private_key_is_not_shown(text: str) -> None:
    """What stands in a key file is shown when it is not a key."""
    try:
        parse_private_key(text)
    except Complaint as complaint:
        assert text not in str(complaint) + complaint.remedy


@pytest.mark.parametrize(
    "key", ["yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=", "/" * 2 + "a/" * 20 + "b=", "Ab9+" * 10 + "xyz="]
)
def test_a_key_in_the_place_of_its_file(tmp_path: Path, key: str) -> None:
    """An operator writes the key where the file is wanted, and finds it in the log."""
    with pytest.raises(Complaint) as caught:
        read_key_file(tmp_path / key)
    assert "write it into a file" in caught.value.remedy
    assert key not in str(caught.value) + caught.value.remedy


def test_a_secret_stays_one() -> None:
    """A key leaves the process through repr, a copy of the configuration or pickle."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r}{secret}{[secret]}"
    assert (secret == Secret("hunter2"), secret == Secret("other"), secret == "hunter2") == (True, False, False)
    for copier in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(secret)
