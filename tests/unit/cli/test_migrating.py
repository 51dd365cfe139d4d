"""docs/migrating.md step by step, with the files of the seed's examples: each step is a server that starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rustun.cli import main
from rustun.config import load_server_config, read_routes
from rustun.protocol.tiers import Tier
from tests.shown import ROOT, blocks

SERVER = """\
[server_config]
listen_addr = "0.0.0.0:8080"

[crypto_config]
chacha20poly1305 = "my-secret-key-of-32-characters.."

[route_config]
routes_file = "routes.json"
"""
CONTROL_PLANE = """
[conf_agent]
control_plane_url = "https://control.example.org"
api_token = "token-of-the-control-plane"
routes_file = "routes.json"
poll_interval = 60
report_interval = 30
"""
MEMBERS = {
    "bj-office-gw": ("beijing", 1, 1, ["192.168.1.0/24", "192.168.2.0/24"]),
    "bj-dev-server": ("beijing", 1, 2, []),
    "sh-office-gw": ("shanghai", 2, 1, ["192.168.10.0/24"]),
    "sh-db-server": ("shanghai", 2, 2, []),
}


def entry(identity: str) -> dict[str, Any]:
    """Return a member's entry as the seed has it."""
    cluster, network, host, ciders = MEMBERS[identity]
    addresses = {"private_ip": f"10.0.{network}.{host}", "mask": "255.255.255.0", "gateway": f"10.0.{network}.254"}
    return {"name": identity, "cluster": cluster, "identity": identity, **addresses, "ciders": ciders}


class Migration:
    """The files of a server that changes over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = folder / "server.toml"
        self.entries = {identity: entry(identity) for identity in MEMBERS}
        self.server.write_text(SERVER + CONTROL_PLANE)
        self.write_routes()

    def write_routes(self) -> None:
        """Write routes.json as the entries are now."""
        (self.folder / "routes.json").write_text(json.dumps(list(self.entries.values()), indent=2))

    def exchange(self, old: str, new: str) -> None:
        """Edit server.toml."""
        text = self.server.read_text()
        assert old in text
        self.server.write_text(text.replace(old, new))

    def check(self) -> str:
        """Return what `rustun check` says of files that can be used."""
        return typed("check", str(self.server))

    def minimum_tier(self) -> Tier:
        """Return the tier below which nobody comes in."""
        return load_server_config(self.server).security.minimum_tier


def typed(*words: str) -> str:
    """Return what a command of rustun says that ends with 0."""
    done = CliRunner().invoke(main, list(words), prog_name="rustun")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migration:
    """The seed's files, in the folder where somebody works."""
    monkeypatch.chdir(tmp_path)
    return Migration(tmp_path)


def test_each_step_of_migrating_leaves_files_that_a_server_takes(migration: Migration) -> None:
    """Somebody who comes from the seed would stand before a server that does not start, or shuts everybody out."""
    [(_, old_way_in)] = [block for block in blocks(ROOT / "docs" / "migrating.md") if block[0] == "toml"]
    security = f'{old_way_in}known_keys_file = "known-keys.json"\n'
    assert migration.check().count("error") == 0  # 1. Judge the files
    assert migration.minimum_tier() is Tier.SHARED
    migration.server.write_text(f"{migration.server.read_text()}\n{security}")  # 2. Exchange the server
    assert "4 members can come in by the seed's wire" in migration.check()
    assert migration.minimum_tier() is Tier.LEGACY
    migration.exchange('minimum_tier = "legacy"\n', "")  # 4. Close the old way in
    migration.check()
    assert migration.minimum_tier() is Tier.SHARED
    public = typed("keygen", "--out", "server.key").strip()  # 5. Give each member a key of its own
    keys = 'private_key_file = "server.key"\nminimum_tier = "shared"'
    migration.exchange("[security_config]", f"[security_config]\n{keys}")
    assert public in migration.check()
    for identity, its in migration.entries.items():
        its["public_key"] = typed("keygen", "--out", f"{identity}.key").strip()
        migration.write_routes()
        migration.check()
        members = {member.identity: member for member in read_routes(migration.folder / "routes.json").members}
        assert members[identity].public_keys, identity
    migration.exchange('minimum_tier = "shared"\n', "")  # 6. Forget the key string
    migration.exchange('[crypto_config]\nchacha20poly1305 = "my-secret-key-of-32-characters.."\n', "")
    assert "cannot come in" not in migration.check()
    assert migration.minimum_tier() is Tier.KEY
