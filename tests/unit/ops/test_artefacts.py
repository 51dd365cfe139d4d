"""What is generated beside the configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rustun.ops.artefacts import artefacts
from rustun.ops.inventory import load_inventory
from rustun.ops.keyring import gather

FLEET = """
[fleet]
name = "acme"
servers = [{ address = "198.18.0.1:8080" }]
[cluster."red; rm x"]
network = "10.0.1.0/24"
network6 = "fd00:1::/64"
[cluster."red; rm x".member."gate $(id)"]
ciders = ["192.168.1.0/24", "fd00:a::/64"]
[cluster."red; rm x".member.store]
ciders = ["192.168.2.0/24", "0.0.0.0/0"]
offer_exit = true
[cluster.blue]
network = "10.0.2.0/24"
masquerade = true
[cluster.blue.member.hidden]
ciders = ["192.168.3.0/24"]
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Return everything that a fleet with strange names generates."""
    (tmp_path / "acme.toml").write_text(FLEET)
    return dict(artefacts(gather(load_inventory(tmp_path / "acme.toml"), tmp_path / "out")))


def routes(folder: Path, script: bytes, *arguments: str) -> tuple[int, list[str]]:
    """Run a script of routes with an `ip` that writes down what it is told."""
    (folder / "ip").write_text('#!/bin/sh\necho "ip $*"\n')
    (folder / "ip").chmod(0o755)
    (folder / "script.sh").write_bytes(script)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", str(folder / "script.sh"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


def test_a_lan_without_masquerade_gets_its_routes_in_a_script(files: dict[str, bytes], tmp_path: Path) -> None:
    """A gateway would work but for the answers, and nobody would know what the LAN's router lacks."""
    scripts = {name: data for name, data in files.items() if name.endswith(".sh")}
    ((_, script),) = scripts.items()
    code, said = routes(tmp_path, script, "gate $(id)", "192.168.1.1", "fd00:a::1")
    assert (code, said) == (
        0,
        [
            "ip route replace 10.0.1.0/24 via 192.168.1.1",
            "ip -6 route replace fd00:1::/64 via fd00:a::1",
            "ip route replace 192.168.2.0/24 via 192.168.1.1",
        ],
    )
    assert routes(tmp_path, script, "store", "192.168.2.1") == (
        0,
        ["ip route replace 10.0.1.0/24 via 192.168.2.1", "ip route replace 192.168.1.0/24 via 192.168.2.1"],
    )
    assert routes(tmp_path, script, "nobody", "192.168.2.1")[0] == 2


def test_every_file_is_named_for_a_file_system(files: dict[str, bytes]) -> None:
    """A name in the inventory would write outside its folder, or into a shell."""
    for name in files:
        assert not set(name) & set(" ;$()\\") and ".." not in name and not name.startswith("/"), name
