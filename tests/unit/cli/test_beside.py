"""Whose place on this host a client would take; tests/netlab/test_dry_run.py has real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.cli import beside
from rustun.config import ClientConfig, ServerAddress
from rustun.config.keys import encode_key
from rustun.errors import HostError

SERVER, KEY = Endpoint("192.0.2.1", 8080), bytes(range(32))
CONFIG = ClientConfig("m0", (ServerAddress(Endpoint("vpn.example.org", 8080)), ServerAddress(SERVER, (KEY,))))


def running(identity: str, server: str, key: str = "", role: str = "client") -> dict[str, object]:
    servers = [{"server": "198.51.100.1:8080", "server_public_key": ""}, {"server": server, "server_public_key": key}]
    return {"role": role, "identity": identity, "pid": 7, "servers": servers}


@pytest.mark.parametrize(
    ("document", "refused"),
    [
        (running("m0", str(SERVER)), True),
        (running("m0", "192.0.2.9:80", encode_key(KEY)), True),
        (running("m1", str(SERVER), encode_key(KEY)), False),
        (running("m0", "192.0.2.9:80", encode_key(bytes(32))), False),
        ({"role": "server", "pid": 7}, False),
        ({"role": "client", "identity": "m0", "pid": 7}, False),
        (HostError("its process is gone"), False),
    ],
)
def test_one_identity_at_one_server_is_one_client(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, object] | HostError, refused: bool
) -> None:
    """If this fails, a client started by hand puts the service out, or one for another relay is not let in."""

    def read(path: Path) -> dict[str, object]:
        assert path == Path("client.sock")
        if isinstance(document, HostError):
            raise document
        return document

    monkeypatch.setattr(beside, "find_sockets", list[Path])
    monkeypatch.setattr(beside, "read_status", read)
    beside.refuse_beside_another(CONFIG, None)
    if refused:
        with pytest.raises(HostError, match=r'"m0" runs on this host already \(pid 7\)'):
            beside.refuse_beside_another(CONFIG, Path("client.sock"))
    else:
        beside.refuse_beside_another(CONFIG, Path("client.sock"))


@pytest.mark.parametrize(("owner", "refused"), [(0, True), (os.geteuid(), True), (os.geteuid() + 4711, False)])
def test_a_foreign_socket_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch, owner: int, refused: bool) -> None:
    """If this fails, whoever may make files in /run/rustun says "I am that client", and it never starts again."""
    status = os.stat_result((0o140660, 0, 0, 1, owner, 0, 0, 0, 0, 0))
    monkeypatch.setattr(Path, "lstat", lambda self: status)
    monkeypatch.setattr(beside, "find_sockets", lambda: [Path("client-x.sock")])
    monkeypatch.setattr(beside, "read_status", lambda path: running("m0", str(SERVER)))
    if refused:
        with pytest.raises(HostError, match="runs on this host already"):
            beside.refuse_beside_another(CONFIG, None)
    else:
        beside.refuse_beside_another(CONFIG, None)
