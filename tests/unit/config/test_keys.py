"""Key files and the spelling of keys."""

from __future__ import annotations

import base64
import copy
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config.findings import Complaint
from rustun.config.keys import Secret, parse_private_key, parse_public_key, read_key_file


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
    stranger = 12345

    def as_strangers(descriptor: int) -> os.stat_result:
        status = list(real(descriptor))
        status[4] = stranger
        return os.stat_result(status)

    monkeypatch.setattr("os.fstat", as_strangers)
    with pytest.raises(Complaint) as caught:
        read_key_file(path)
    assert caught.value.remedy == f"run: sudo chown {os.geteuid()} {path}"


def test_files_of_the_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential of the service manager is refused for its mode, or a path that only looks like one is taken."""
    credentials, outside = tmp_path / "credentials", tmp_path / "outside"
    for folder in (credentials, outside):
        folder.mkdir()
        (folder / "a.key").write_text("secret")
        (folder / "a.key").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert read_key_file(credentials / "a.key").reveal() == "secret"
    with pytest.raises(Complaint):
        read_key_file(credentials / ".." / "outside" / "a.key")


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


@given(st.text(max_size=60))
def test_a_wrong_private_key_is_not_shown(text: str) -> None:
    """What stands in a key file is shown when it is not a key."""
    try:
        parse_private_key(text)
    except Complaint as complaint:
        assert len(text) < 8 or text not in str(complaint) + complaint.remedy


def test_a_secret_stays_one() -> None:
    """A key leaves the process through repr, a copy of the configuration or pickle."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret!r}{secret}{[secret]}"
    assert (secret == Secret("hunter2"), secret == Secret("other"), secret == "hunter2") == (True, False, False)
    for copier in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(secret)
