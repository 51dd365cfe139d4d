"""Configuration files as they may be shown: what is known to be harmless, and nothing else."""

from __future__ import annotations

import json
import random
import re
from base64 import b64encode
from pathlib import Path

import pytest

from rustun.cli.shown_files import KNOWN, SHOWN, TABLES, shown_routes, shown_toml
from rustun.config.member import KNOWN_KEYS

SECRET = "marked-secret-of-32-bytes-length"
KEY = b64encode(bytes(range(32))).decode()
SERVER = f"""
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
chacha20poly1305 = "{SECRET}"
[route_config]
routes_file = "routes.json"
[security_config]
private_key_file = ["server.key", "new.key"]
minimum_tier = "shared"
[limit_config]
handshake_seconds = 2.5
[conf_agent]
api_token = "another-marked-secret"
[some_table]
unheard = "a-third-marked-secret"
"""
CLIENT = f"""
identity = "bj-dev"
servers = [{{ address = "vpn.example:8080", public_key = "{KEY}" }}]
[security_config]
private_key_file = "client.key"
[host_config]
gateway = ["192.168.1.0/24"]
cider_mapping = {{ "192.168.11.0/24" = "192.168.10.0/24" }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.toml").write_text(SERVER)
    (tmp_path / "client.toml").write_text(CLIENT)
    (tmp_path / "server.key").write_text(f"# of the server\n{KEY}\n")
    (tmp_path / "client.key").write_text("chacha20:a-fourth-marked-secret\n")
    return tmp_path


def test_a_server_file(folder: Path) -> None:
    """If this fails, a report holds a key, or nothing that helps; or its maker does not know what to look for."""
    found = shown_toml(folder / "server.toml")
    values = json.loads(found.text)
    assert values["server_config"] == {"listen_addr": "0.0.0.0:8080"}
    assert values["crypto_config"] == {"chacha20poly1305": "(left out)"}
    assert values["security_config"] == {"private_key_file": ["server.key", "new.key"], "minimum_tier": "shared"}
    assert values["limit_config"] == {"handshake_seconds": 2.5}
    assert values["conf_agent"] == {"api_token": "(left out)"}
    assert values["keys that are not known"] == 1
    assert "secret" not in found.text
    assert {SECRET, "another-marked-secret", "a-third-marked-secret", KEY} <= set(found.secrets)


def test_a_client_file(folder: Path) -> None:
    """If this fails, a report of a client holds its key, or not what its host agrees to."""
    found = shown_toml(folder / "client.toml")
    values = json.loads(found.text)
    assert values["servers"] == [{"address": "vpn.example:8080", "public_key": "(left out)"}]
    assert values["host_config"]["cider_mapping"] == {"192.168.11.0/24": "192.168.10.0/24"}
    assert {"chacha20:a-fourth-marked-secret", "a-fourth-marked-secret"} <= set(found.secrets)
    assert KEY not in found.text


def test_members(folder: Path) -> None:
    """If this fails, routes.json goes out with keys, or without the entries that a fault is looked for in."""
    entry = {"cluster": "c", "identity": "m", "private_ip": "10.0.0.1", "ciders": ["192.168.0.0/24"], "enabled": True}
    keys = {"public_key": [KEY], "psk_file": "m.psk", "comment": SECRET, "psk": {"deep": [SECRET]}}
    (folder / "routes.json").write_text(json.dumps([{**entry, **keys}, SECRET, [SECRET]]))
    (folder / "m.psk").write_text(KEY)
    found = shown_routes(folder / "routes.json")
    shown = {"public_key": "(left out)", "psk_file": "m.psk", "psk": "(left out)", "keys that are not known": 1}
    assert json.loads(found.text) == [{**entry, **shown}, "(left out)", ["(left out)"]]
    assert {SECRET, KEY} <= set(found.secrets)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b"x = " + b"[" * 50_000, b'crypto_config = "aes256:s3"'])
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes) -> None:
    """If this fails, a broken file ends the report, or its broken line is shown with the key that stands in it."""
    for shown in (shown_toml, shown_routes):
        (tmp_path / "f").write_bytes(content)
        assert "s3" not in shown(tmp_path / "f").text
        assert "there is no such file" in shown(tmp_path / "missing").text


def test_hostile_shapes_hide_everything(tmp_path: Path) -> None:
    """If this fails, a secret shows that stands where it does not belong."""
    rng = random.Random(11)

    def anything(depth: int) -> object:
        kind = rng.randrange(5 if depth else 2)
        if kind == 0:
            return SECRET
        if kind == 1:
            return {"cider_mapping": {SECRET: SECRET}, "servers": SECRET, SECRET: 1}
        if kind == 2:
            return [anything(depth - 1) for _ in range(rng.randrange(4))]
        names = [*TABLES, *KNOWN, "unheard", *rng.sample(sorted(SHOWN), 3)]
        return {rng.choice(names): {SECRET: anything(depth - 1)} for _ in range(4)}

    for _ in range(300):
        (tmp_path / "f.json").write_text(json.dumps({"cluster": "c", "x": anything(5), "servers": anything(5)}))
        found = shown_routes(tmp_path / "f.json")
        assert SECRET not in found.text
        json.loads(found.text)


def test_every_documented_key_of_a_member_has_its_place() -> None:
    """If this fails, a new key of routes.json is missing in reports, or is shown unasked."""
    assert KNOWN_KEYS - {"cider_mapping"} <= SHOWN | KNOWN
    assert not {name for name in SHOWN if re.search(r"(key|token|secret|psk)$", name)}
