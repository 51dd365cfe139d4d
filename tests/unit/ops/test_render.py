"""rustun.ops.render: the same bytes each time, whole files, keys kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from ipaddress import ip_network
from pathlib import Path

import pytest

from rustun.config import HostConsent, load_client_config, load_server_config, read_routes
from rustun.config.keys import PrivateKey, encode_key
from rustun.errors import ConfigError, HostError
from rustun.ops import render
from rustun.ops.filenames import STAGING, client_file
from rustun.ops.inventory import Inventory, load_inventory
from rustun.ops.render import plan_render, write_plan
from rustun.protocol.tiers import Tier

DEMO = Path(__file__).resolve().parents[3] / "inventory" / "demo.toml"
FULL = """
[fleet]
name = "full"
servers = [{ address = "192.0.2.1:9000" }, { address = "[2001:db8::1]:9001", ssh = "root@two" }]
cipher = "chacha20"
[cluster."a b"]
network = "10.0.1.0/24"
[cluster."a b".member."m \\"1\\" é/x"]
name = 'Söme "quoted" \\\\ name'
ciders = ["192.168.11.0/24", "fd00:a::/64"]
cider_mapping = { "192.168.11.0/24" = "192.168.10.0/24" }
masquerade = true
expires_at = 2027-06-30
enabled = false
tier = "shared"
mtu = 1400
offload = false
keepalive_interval = 20
keepalive_threshold = 3
accept_routes = ["10.0.0.0/8"]
offer_exit = true
exit_node = "old"
kill_switch = true
names = "hosts"
[cluster."a b".member.old]
tier = "legacy"
exit_node = 'm "1" é/x'
kill_switch = true
"""
KEYED = """
[fleet]
name = "keyed"
servers = [{ address = "vpn.example.org:9000" }]
[cluster.a]
network = "10.0.1.0/24"
[cluster.a.member.m]
key = [1]
[cluster.a.member.own]
"""


def inventory(folder: Path, text: str) -> Inventory:
    """Read an inventory's text."""
    file = folder / "fleet.toml"
    file.write_text(text)
    return load_inventory(file)


def publics(keys: tuple[PrivateKey, ...]) -> tuple[str, ...]:
    """Return the public halves of key pairs."""
    return tuple(key.public for key in keys)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_generated_files_are_what_the_runtime_reads(tmp_path: Path) -> None:
    """The fleet would run with other addresses, keys or servers than its inventory says."""
    write_plan(plan_render(load_inventory(DEMO), tmp_path))
    server = load_server_config(tmp_path / "server.toml")
    assert [str(endpoint) for endpoint in server.listen] == ["0.0.0.0:8080", "[::]:8080"]
    assert (server.method, server.key) == (None, None)
    assert (server.security.minimum_tier, server.security.cipher) == (Tier.KEY, "aes256")
    routes = {member.identity: member for member in read_routes(tmp_path / "routes.json").members}
    assert list(routes) == ["bj-office-gw", "bj-dev", "sh-office-gw", "sh-db"]
    assert str(routes["sh-office-gw"].interface) == "10.0.2.1/24"
    assert routes["sh-office-gw"].ciders == (ip_network("192.168.10.0/24"),)
    for identity in routes:
        client = load_client_config(tmp_path / client_file(identity))
        assert client.identity == identity
        assert (client.tier, client.method, client.key) == (Tier.KEY, None, None)
        assert tuple(encode_key(key) for key in routes[identity].public_keys) == publics(client.private_keys)
        assert str(client.servers[0].endpoint) == "198.18.0.1:8080"
        assert tuple(map(encode_key, client.servers[0].public_keys)) == publics(server.security.private_keys)


def test_every_setting_of_a_member_arrives(tmp_path: Path) -> None:
    """A setting would be written in the inventory and have no effect; or odd characters would break the file."""
    fleet = inventory(tmp_path, FULL)
    write_plan(plan_render(fleet, tmp_path / "out"))
    member = fleet.members[0]
    client = load_client_config(tmp_path / "out" / client_file(member.identity))
    assert client.identity == 'm "1" é/x'
    assert [str(server.endpoint) for server in client.servers] == ["192.0.2.1:9000", "[2001:db8::1]:9001"]
    assert (client.mtu, client.offload, client.legacy) == (1400, False, False)
    assert (client.keepalive_interval, client.keepalive_threshold) == (20, 3)
    assert client.host.gateway == (ip_network("192.168.10.0/24"), ip_network("fd00:a::/64"))
    assert client.host.accept_routes == (ip_network("10.0.0.0/8"),)
    assert client.host.cider_mapping == member.cider_mapping
    assert (client.host.masquerade, client.host.offer_exit, client.host.names) == (True, True, "hosts")
    assert (client.host.exit_node, client.host.kill_switch) == ("", False)  # it is an exit itself
    entry = read_routes(tmp_path / "out" / "routes.json").members[0]
    assert (entry.cluster, entry.name, entry.enabled, entry.tier) == ("a b", member.name, False, Tier.SHARED)
    assert entry.expires_at == member.settings.expires_at
    assert entry.cider_mapping == member.cider_mapping
    old = load_client_config(tmp_path / "out" / client_file("old"))
    assert (old.legacy, old.host) == (True, HostConsent(exit_node=member.identity, kill_switch=True))


def test_the_same_inventory_gives_the_same_bytes_and_touches_nothing(tmp_path: Path) -> None:
    """Every run would show changes in git, restart services and hide the one change that matters."""
    fleet = load_inventory(DEMO)
    write_plan(plan_render(fleet, tmp_path / "one"))
    shutil.copytree(tmp_path / "one" / "secrets", tmp_path / "two" / "secrets")
    write_plan(plan_render(fleet, tmp_path / "two"))
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert {name: data for name, (data, _) in one.items()} == {name: data for name, (data, _) in two.items()}
    before = snapshot(tmp_path / "one")
    plan = plan_render(fleet, tmp_path / "one")
    write_plan(plan)
    assert plan.current
    assert snapshot(tmp_path / "one") == before


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    """Adding one member would rewrite, and so reload, everybody else's files."""
    write_plan(plan_render(load_inventory(DEMO), tmp_path / "out"))
    before = snapshot(tmp_path / "out")
    changed = inventory(tmp_path, DEMO.read_text() + "[cluster.beijing.member.bj-new]\n")
    plan = plan_render(changed, tmp_path / "out")
    kinds = {file.name: file.kind for file in plan.changes}
    page = {"fleet.md": "changed", "topology.svg": "changed"}
    assert kinds == {"routes.json": "changed", "client-bj-new.toml": "new", **page}
    assert '+    "identity": "bj-new",\n' in plan.changes[0].diff()
    write_plan(plan)
    after = snapshot(tmp_path / "out")
    written = {"routes.json", "client-bj-new.toml", "secrets/members/bj-new.key", *page}
    assert {name for name in after if after[name] != before.get(name)} == written


def test_keys_are_made_once_and_guarded(tmp_path: Path) -> None:
    """A second run would lock every member out, or others on the host could read the keys."""
    fleet = inventory(tmp_path, FULL)
    write_plan(plan_render(fleet, tmp_path / "out"))
    secrets = {name: data for name, (data, _) in snapshot(tmp_path / "out").items() if name.startswith("secrets/")}
    assert set(secrets) == {"secrets/shared.key", "secrets/server.key", "secrets/server-2.key"}
    for name in secrets:
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out" / "secrets").stat().st_mode) == 0o700
    assert len(secrets["secrets/shared.key"].strip()) == 32
    (tmp_path / "out" / "server.toml").unlink()
    write_plan(plan_render(fleet, tmp_path / "out"))
    for name, (data, _) in snapshot(tmp_path / "out").items():
        assert data == secrets.get(name, data)
        assert name in secrets or not any(secret.strip() in data for secret in secrets.values())


def test_what_the_parsers_refuse_never_replaces_good_files(tmp_path: Path) -> None:
    """A server would find a broken file at its next start."""
    keyed = inventory(tmp_path, KEYED)
    write_plan(plan_render(keyed, tmp_path / "out"))
    members = tmp_path / "out" / "secrets" / "members"
    shutil.copyfile(members / "own.key", members / "m@2.key")
    (members / "m@2.key").chmod(0o600)
    before = snapshot(tmp_path / "out")
    with pytest.raises(ConfigError, match="public_key") as caught:
        write_plan(plan_render(inventory(tmp_path, KEYED.replace("[1]", "[1, 2]")), tmp_path / "out"))
    assert caught.value.problems[0].file == str(tmp_path / "out" / "routes.json")
    assert snapshot(tmp_path / "out") == before


def test_no_room_leaves_old_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk would leave a half-written routes.json."""
    write_plan(plan_render(load_inventory(DEMO), tmp_path / "out"))
    before = snapshot(tmp_path / "out")
    changed = plan_render(inventory(tmp_path, DEMO.read_text() + "[cluster.beijing.member.bj-new]\n"), tmp_path / "out")

    def no_room(path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(render, "_write", no_room)
    with pytest.raises(HostError, match="No space left on device"):
        write_plan(changed)
    after = snapshot(tmp_path / "out")
    assert after.keys() - before.keys() == {"secrets/members/bj-new.key"}, "a key that was made is kept"
    assert {name: after[name] for name in before} == before
    assert not (tmp_path / "out" / STAGING).exists()


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    """Two editors would each put half of their files in place."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(HostError, match="another gen-config is writing here"):
            write_plan(plan_render(load_inventory(DEMO), tmp_path))
    finally:
        os.close(descriptor)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    """One crash would stop every later run."""
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / "server.toml").write_text("half")
    write_plan(plan_render(load_inventory(DEMO), tmp_path))
    assert not (tmp_path / STAGING).exists()
    load_server_config(tmp_path / "server.toml")


def test_files_of_others_are_reported_and_left(tmp_path: Path) -> None:
    """An operator's own notes would vanish, or a removed member's file would go unnoticed."""
    (tmp_path / "client-gone.toml").write_text("mine")
    plan = plan_render(load_inventory(DEMO), tmp_path)
    write_plan(plan)
    assert plan.unknown == ("client-gone.toml",)
    assert (tmp_path / "client-gone.toml").read_text() == "mine"
