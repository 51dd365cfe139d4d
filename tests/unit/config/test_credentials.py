"""Key files that the service manager hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.config import check_files, load_client_config, load_server_config
from rustun.config.findings import Complaint
from rustun.config.keys import new_private_key, read_key_file

PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
CLIENT = f"""
identity = "bj-dev"
servers = [{{ address = "vpn.example.org:8080", public_key = "{PUBLIC}" }}]
[security_config]
private_key_file = "secrets/members/bj-dev.key"
psk_file = "bj-dev.psk"
"""
SERVER = """
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
aes256_file = "secrets/shared.key"
[route_config]
routes_file = "routes.json"
"""


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def write_key(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o440)  # as the service manager has them
    return text


def test_a_credential_stands_for_the_file_of_its_name(tmp_path: Path, credentials: Path) -> None:
    """A client that may not look into the folder of keys does not start, or takes the file that the unit replaced."""
    write_key(credentials / "a.key", "handed over")
    assert read_key_file(tmp_path / "not" / "there" / "a.key").reveal() == "handed over"
    assert read_key_file(credentials / "a.key").reveal() == "handed over"


def test_other_files_are_judged_as_ever(tmp_path: Path, credentials: Path) -> None:
    """In a service every file is taken for a credential, whoever may read or exchange it."""
    write_key(credentials / "a.key", "handed over")
    write_key(tmp_path / "b.key", "open to others")
    (credentials / "c.key").mkdir()
    for path in (tmp_path / "b.key", credentials / ".." / "b.key", tmp_path / "c.key"):
        with pytest.raises(Complaint):
            read_key_file(path)


@pytest.mark.parametrize("name", ["x" * 300 + ".key", "a\0.key", ".", ".."])
def test_names_that_no_file_has(tmp_path: Path, credentials: Path, name: str) -> None:
    """An odd name ends in a traceback."""
    with pytest.raises(Complaint):
        read_key_file(tmp_path / name)


def test_every_key_of_a_client_may_be_a_credential(tmp_path: Path, credentials: Path) -> None:
    """A member's pre-shared key is left out, or nobody is told where a key came from."""
    private, psk = new_private_key(), new_private_key()
    write_key(credentials / "bj-dev.key", private.reveal())
    write_key(credentials / "bj-dev.psk", psk.reveal())
    file = tmp_path / "client.toml"
    file.write_text(CLIENT)
    config = load_client_config(file)
    assert [key.secret for key in config.private_keys] == [private]
    assert config.psk == psk
    told = [str(note) for note in check_files([file]) if "service manager" in note.reason]
    assert len(told) == 2
    assert f'"secrets/members/bj-dev.key" is taken from the service manager: {credentials}/bj-dev.key' in told[0]


def test_a_shared_key_may_be_a_credential(tmp_path: Path, credentials: Path) -> None:
    """A fleet with a shared key cannot hide it from its services."""
    text = write_key(credentials / "shared.key", "correct horse battery staple")
    file = tmp_path / "server.toml"
    file.write_text(SERVER)
    config = load_server_config(file)
    assert config.key is not None and config.key.reveal() == text
    assert sum("service manager" in note.reason for note in config.notes) == 1
