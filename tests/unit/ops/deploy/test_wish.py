"""What each host shall have: its own files, with the rights and the effects that each has."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.config.keys import new_private_key, public_key_of
from rustun.ops.deploy.records import HostWish
from rustun.ops.deploy.wish import wish_hosts
from rustun.ops.ending import InputError
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan
from tests.unit.ops.deploy.fleet import NOW, Fleet

PUBLIC = public_key_of(new_private_key())
SECRETS = "/etc/rustun/secrets"
ONE_HOST = """\
[fleet]
name = "acme"
minimum_tier = "shared"
servers = [{ name = "hk", address = "192.0.2.1:8080", ssh = "root@one" }]
[cluster.beijing]
network = "10.0.1.0/24"
"""


def wishes(folder: Path, members: str, head: str = ONE_HOST) -> dict[str, HostWish]:
    """Return the wishes of an inventory, by `ssh`."""
    path = folder / "acme.toml"
    path.write_text(head + members)
    rendered = plan_render(load_inventory(path), folder / "build")
    write_plan(rendered)
    found = wish_hosts(plan_render(load_inventory(path), folder / "build"), NOW)
    for wish, contents in found.values():
        assert {file.digest for file in wish.files.values()} <= contents.keys()
    return {ssh: wish for ssh, (wish, _) in found.items()}


def member(name: str, ssh: str, more: str = "") -> str:
    """Return a member's table."""
    return f'[cluster.beijing.member.{name}]\nssh = "{ssh}"\n{more}\n'


def test_a_host_with_a_server_and_two_members(tmp_path: Path) -> None:
    """Members beside a server could not read their keys, or it not its own."""
    wish = wishes(tmp_path, member("a", "root@one", 'tier = "key"') + member("b", "root@one"))["root@one"]
    assert wish.names == ("hk", "a", "b")
    assert list(wish.services) == ["rustun-server.service", "rustun-client@a.service", "rustun-client@b.service"]
    shared = wish.files[f"{SECRETS}/shared.key"]
    assert (shared.mode, shared.owner, shared.group) == ("0640", "root", "rustun")
    assert shared.reload == ("rustun-server.service",)
    assert "rustun-client@b.service" in shared.restart
    unit = wish.files["/etc/systemd/system/rustun-client@.service"]
    assert unit.restart == ("rustun-client@a.service", "rustun-client@b.service")
    assert "/etc/rustun/hk.toml" in wish.files
    assert "/etc/systemd/system/rustun-server.service.d/hk.conf" in wish.files
    assert wish.folders["/etc/systemd/system/rustun-server.service.d"].mode == "0755"
    assert (wish.folders[SECRETS].mode, wish.folders[SECRETS].group) == ("0750", "rustun")
    assert (wish.folders[f"{SECRETS}/members"].mode, wish.folders[f"{SECRETS}/members"].group) == ("0700", "root")


def test_a_member_of_the_key_tier(tmp_path: Path) -> None:
    """A key would lie open on a host, or be one that is not its own."""
    head = ONE_HOST.replace('minimum_tier = "shared"\n', "")
    wish = wishes(tmp_path, member("a", "root@a") + member("b", "root@b"), head)["root@a"]
    assert {path: (file.mode, file.group) for path, file in wish.files.items()} == {
        "/etc/rustun/client-a.toml": ("0644", "root"),
        f"{SECRETS}/members/a.key": ("0600", "root"),
        "/etc/systemd/system/rustun-client@.service": ("0644", "root"),
    }
    assert (wish.folders[SECRETS].mode, wish.user) == ("0700", False)


def test_who_is_off_and_whose_time_is_over(tmp_path: Path) -> None:
    """A member that may not come would fail every deployment, or one that is off would run on."""
    found = wishes(tmp_path, member("a", "x", "enabled = false") + member("b", "y", "expires_at = 2020-01-01"))
    off = found["x"].services["rustun-client@a.service"]
    over = found["y"].services["rustun-client@b.service"]
    assert (off.runs, off.verify) == (False, False)
    assert (over.runs, over.verify) == (True, False)


def test_who_brought_a_public_key(tmp_path: Path) -> None:
    """A service would start without its key, and the host be put back without a word on why."""
    wish = wishes(tmp_path, member("a", "x", f'public_key = "{PUBLIC}"'))["x"]
    assert wish.needs == ("/etc/rustun/client-a.key",)
    assert not any(path.endswith(".key") for path in wish.files)


def test_a_pre_shared_key_is_for_two(tmp_path: Path) -> None:
    """A member could not come in for want of its key, or would have that of another."""
    head = ONE_HOST.replace('minimum_tier = "shared"', "psk = true")
    own = f'public_key = "{PUBLIC}"\nenabled = false'
    found = wishes(tmp_path, member("a", "root@a") + member("b", "root@b", own) + member("c", "root@one"), head)
    psks = {ssh: {path: one for path, one in wish.files.items() if ".psk" in path} for ssh, wish in found.items()}
    assert {ssh: list(files) for ssh, files in psks.items()} == {
        "root@one": [f"{SECRETS}/psks/{name}.psk" for name in "abc"],
        "root@a": [f"{SECRETS}/psks/a.psk"],
        "root@b": [f"{SECRETS}/psks/b.psk"],
    }
    at_server, at_member = psks["root@one"][f"{SECRETS}/psks/a.psk"], psks["root@a"][f"{SECRETS}/psks/a.psk"]
    assert at_server.digest == at_member.digest
    assert (at_server.mode, at_server.group, at_server.reload) == ("0640", "rustun", ("rustun-server.service",))
    assert (at_member.mode, at_member.group, at_member.reload) == ("0600", "root", ())
    assert at_member.restart == ("rustun-client@a.service",)
    beside = psks["root@one"][f"{SECRETS}/psks/c.psk"]
    assert (beside.mode, beside.reload, beside.restart) == ("0640", at_server.reload, ("rustun-client@c.service",))
    folders = {ssh: wish.folders[f"{SECRETS}/psks"] for ssh, wish in found.items()}
    assert {ssh: (one.mode, one.group) for ssh, one in folders.items()} == {
        "root@one": ("0750", "rustun"), "root@a": ("0700", "root"), "root@b": ("0700", "root"),
    }  # fmt: skip
    assert found["root@b"].needs == ("/etc/rustun/client-b.key",)


def test_who_has_no_ssh(tmp_path: Path) -> None:
    """Keys would be sent to a host that nobody named."""
    assert list(wishes(tmp_path, "[cluster.beijing.member.a]\n")) == ["root@one"]


@pytest.mark.parametrize(
    ("change", "same"), [("mtu = 1400", False), ("keepalive_interval = 7", True), ("names = 'hosts'", True)]
)
def test_what_a_client_reads_only_at_its_start(tmp_path: Path, change: str, same: bool) -> None:
    """A session would end for what a reload can do, or a reload change nothing."""
    before = wishes(tmp_path, member("a", "x"))["x"].files["/etc/rustun/client-a.toml"]
    after = wishes(tmp_path, member("a", "x", change))["x"].files["/etc/rustun/client-a.toml"]
    assert after.digest != before.digest
    assert (after.fixed == before.fixed) is same


@pytest.mark.parametrize(
    ("keys", "same"),
    [("key = [2, 1]", True), ("key = 2", True), (f'public_key = "{PUBLIC}"', False)],
    ids=["switched", "retired", "brought"],
)
def test_a_drop_in_that_hands_out_one_key_less(tmp_path: Path, keys: str, same: bool) -> None:
    """A rotation would end each session thrice, or a client run on without a key that only its drop-in names."""
    head = ONE_HOST.replace('minimum_tier = "shared"\n', "")
    drop_in = "/etc/systemd/system/rustun-client@a.service.d/rustun.conf"
    before = wishes(tmp_path, member("a", "x", "key = [1, 2]"), head)["x"].files[drop_in]
    after = wishes(tmp_path, member("a", "x", keys), head)["x"].files[drop_in]
    assert (after.fixed == before.fixed) is same
    assert (after.restart, after.reload) == ((), ("rustun-client@a.service",))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ('listen = ["0.0.0.0:9"]', False),
        ("server_key = [1, 2]", True),
        ('dashboard = "127.0.0.1:8081"', True),
        ('metrics = "127.0.0.1:9101"', True),
    ],
)
def test_what_a_server_reads_only_at_its_start(tmp_path: Path, change: str, same: bool) -> None:
    """All sessions would end for a key, or a new port stay without effect."""
    key_tier = ONE_HOST.replace('minimum_tier = "shared"\n', "")
    before = wishes(tmp_path, "", key_tier)["root@one"].files["/etc/rustun/hk.toml"]
    after = wishes(tmp_path, "", key_tier.replace("[cluster", f"{change}\n[cluster"))["root@one"]
    assert after.files["/etc/rustun/hk.toml"].digest != before.digest
    assert (after.files["/etc/rustun/hk.toml"].fixed == before.fixed) is same


def test_two_servers_on_one_host_are_refused(tmp_path: Path) -> None:
    """One of the two would never run, and the deployment be called a success."""
    head = ONE_HOST.replace(" }]", ' }, { name = "us", address = "192.0.2.2:8080", ssh = "root@one" }]')
    with pytest.raises(InputError, match='servers "hk" and "us" have one ssh, "root@one"'):
        wishes(tmp_path, member("bj-a", "root@bj-a"), head)


def test_two_names_of_one_machine(tmp_path: Path) -> None:
    """Each deployment would take away what the one before put there for the other name."""
    fleet = Fleet(tmp_path, "bj-a", "bj-b")
    fleet.hosts["bj-b"] = fleet.host("bj-a")
    with pytest.raises(InputError, match='"root@bj-b" and "root@bj-a" are one machine'):
        fleet.look()


def test_a_server_gets_the_dashboards_token_and_its_packages(tmp_path: Path) -> None:
    """A deployed server refuses its file, cannot read the token, or members' hosts carry what they have no use for."""
    key_tier = ONE_HOST.replace('minimum_tier = "shared"\n', 'dashboard = "127.0.0.1:8081"\n')
    found = wishes(tmp_path, member("a", "x"), key_tier)
    token = found["root@one"].files[f"{SECRETS}/dashboard.token"]
    assert (token.mode, token.group, token.reload, token.restart) == ("0640", "rustun", ("rustun-server.service",), ())
    assert (found["root@one"].web, found["x"].web) == (True, False)
    assert f"{SECRETS}/dashboard.token" not in found["x"].files
    assert "web" not in found["root@one"].manifest()


def test_hosts_with_a_web_process_have_a_release_of_their_own(tmp_path: Path) -> None:
    """A server that gets a dashboard keeps its release, and does not start for want of packages."""
    fleet = Fleet(tmp_path, "bj-a")
    fleet.settings = 'metrics = "127.0.0.1:9101"'
    found = fleet.look()
    found.close()
    releases = {known.wish.ssh: known.wish.release for known in found.hosts}
    assert releases == {"root@server": "release1-web", "root@bj-a": "release1"}
