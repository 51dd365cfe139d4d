"""rustun.ops.inventory: files to records, precedence, folders, size."""

from __future__ import annotations

import datetime as dt
import time
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest

from netlab.bench.fleets import write_fleet
from rustun.backends.base import Endpoint
from rustun.errors import ConfigError
from rustun.ops.addresses import Recorded
from rustun.ops.inventory import Inventory, load_inventory
from rustun.ops.recorded import lock_text
from rustun.protocol.tiers import Tier

DEMO = Path(__file__).resolve().parents[3] / "inventory" / "demo.toml"
SLOWEST_SECONDS = 15.0  # of this process; usually under one, but with a debugging interpreter on a busy machine
FLEET = '[fleet]\nname = "acme"\nservers = [{ address = "vpn.example.org:9000" }]\n'


def load(folder: Path, text: str, **recorded: str) -> Inventory:
    """Read one file's text."""
    file = folder / "fleet.toml"
    file.write_text(text)
    given = {who: (IPv4Address(address),) for who, address in recorded.items()}
    return load_inventory(file, Recorded({"a": given}))


def test_the_demo_reads_as_it_is_written() -> None:
    """The demo, the lab and the README would describe another fleet than the file does."""
    inventory = load_inventory(DEMO)
    assert [cluster.name for cluster in inventory.clusters] == ["beijing", "shanghai"]
    assert {member.identity: str(member.interface) for member in inventory.members} == {
        "bj-office-gw": "10.0.1.1/24", "bj-dev": "10.0.1.2/24", "sh-office-gw": "10.0.2.1/24", "sh-db": "10.0.2.2/24",
    }  # fmt: skip
    assert str(inventory.members[0].interface6) == "fd00:1::1/64"
    assert inventory.members[2].ciders == (ip_network("192.168.10.0/24"),)
    assert inventory.servers[0].endpoint == Endpoint("198.18.0.1", 8080)
    assert inventory.lab.hosts[0].behind == "sh-office-gw"
    assert inventory.lab.hosts[0].address == IPv4Address("192.168.10.7")
    assert inventory.notes == ()


# What each level says of one setting (None: nothing) -> what holds. Tags: the member has "slow", then "far".
LEVELS = ("fleet", "cluster", "slow", "far", "member")
PRECEDENCE = [
    ((None, None, None, None, None), None),
    ((1300, None, None, None, None), 1300),
    ((1300, 1310, None, None, None), 1310),
    ((None, 1310, 1320, None, None), 1320),
    ((1300, None, 1320, 1330, None), 1330),
    ((None, None, None, 1330, None), 1330),
    ((1300, 1310, 1320, 1330, 1340), 1340),
    ((None, 1310, None, None, 1340), 1340),
    ((1300, None, None, None, 1340), 1340),
]


@pytest.mark.parametrize(("said", "holds"), PRECEDENCE)
def test_settings_come_from_fleet_cluster_tags_member_in_this_order(
    said: tuple[int | None, ...], holds: int | None, tmp_path: Path
) -> None:
    """A setting of a weaker level would win over what the operator wrote for one member."""
    lines = {level: f"mtu = {value}\n" if value else "" for level, value in zip(LEVELS, said, strict=True)}
    inventory = load(
        tmp_path,
        f"{FLEET}{lines['fleet']}[tag.slow]\n{lines['slow']}[tag.far]\n{lines['far']}[tag.other]\nmtu = 1400\n"
        f'[cluster.a]\nnetwork = "10.0.0.0/24"\n{lines["cluster"]}'
        f'[cluster.a.member.m]\ntags = ["slow", "unknown", "far"]\n{lines["member"]}[cluster.a.member.n]\n',
    )
    assert inventory.members[0].settings.mtu == holds
    assert inventory.members[1].settings.mtu == (said[1] or said[0])


def test_false_is_said_and_what_nobody_says_is_built_in(tmp_path: Path) -> None:
    """A member could not take back what its tag says."""
    text = '[tag.gw]\nmasquerade = true\noffload = false\n[cluster.a]\nnetwork = "10.0.0.0/24"\n'
    members = '[cluster.a.member.m]\ntags = ["gw"]\nmasquerade = false\n[cluster.a.member.n]\n'
    one, other = (member.settings for member in load(tmp_path, FLEET + text + members).members)
    assert (one.masquerade, one.offload, one.key, one.enabled) == (False, False, (1,), True)
    assert (other.masquerade, other.offload, other.offer_exit, other.tier) == (False, True, False, None)


def test_values_of_a_member(tmp_path: Path) -> None:
    """Expiry, tier or mapping read wrongly would let somebody in for too long, too weakly, or to the wrong LAN."""
    member = load(
        tmp_path,
        FLEET + '[cluster.a]\nnetwork = "10.0.0.0/24"\n[cluster.a.member.m]\nexpires_at = 2027-06-30T12:00:00+02:00\n'
        'tier = "key"\nenabled = false\nciders = ["192.168.11.0/24"]\nssh = "root@host"\n'
        'cider_mapping = { "192.168.11.0/24" = "192.168.10.0/24" }\naccept_routes = []\n',
    ).members[0]
    assert member.settings.expires_at == dt.datetime(2027, 6, 30, 10, tzinfo=dt.UTC)
    assert member.settings.tier is Tier.KEY
    assert member.settings.enabled is False
    assert member.settings.accept_routes == ()
    assert member.cider_mapping == ((ip_network("192.168.11.0/24"), ip_network("192.168.10.0/24")),)
    assert member.ssh == "root@host"


def test_a_bare_date_means_its_first_moment_in_utc(tmp_path: Path) -> None:
    """Two operators in two time zones would read two different ends from one date."""
    text = FLEET + 'expires_at = 2027-06-30\n[cluster.a]\nnetwork = "10.0.0.0/24"\n[cluster.a.member.m]\n'
    assert load(tmp_path, text).members[0].settings.expires_at == dt.datetime(2027, 6, 30, tzinfo=dt.UTC)


def test_listening_follows_the_ports_that_clients_are_told(tmp_path: Path) -> None:
    """Clients would knock at a port where no server listens."""
    fleet = load(tmp_path, FLEET)
    assert fleet.listen_of(fleet.servers[0]) == (Endpoint("0.0.0.0", 9000), Endpoint("::", 9000))
    fleet = load(tmp_path, FLEET + 'listen = ["192.0.2.1:7"]\n')
    assert fleet.listen_of(fleet.servers[0]) == (Endpoint("192.0.2.1", 7),)


def test_addresses_that_are_not_written_are_the_lowest_free(tmp_path: Path) -> None:
    """The same inventory would give other addresses on another machine, or one address twice."""
    text = FLEET + (
        '[cluster.a]\nnetwork = "10.0.0.0/29"\nnetwork6 = "fd00::/64"\n[cluster.a.member.x]\n'
        '[cluster.a.member.y]\naddress = "10.0.0.1"\n[cluster.a.member.z]\naddress6 = "fd00::2"\n[cluster.a.member.w]\n'
    )
    members = {member.identity: (str(member.address), str(member.address6)) for member in load(tmp_path, text).members}
    assert members == {
        "x": ("10.0.0.2", "fd00::3"),
        "y": ("10.0.0.1", "fd00::1"),
        "z": ("10.0.0.3", "fd00::2"),
        "w": ("10.0.0.4", "fd00::4"),
    }


def test_recorded_addresses_are_kept_where_they_fit(tmp_path: Path) -> None:
    """A member added in the middle would move everybody behind it."""
    members_text = "".join(f"[cluster.a.member.{identity}]\n" for identity in ("new", "old", "gone"))
    text = FLEET + '[cluster.a]\nnetwork = "10.0.0.0/24"\n' + members_text
    members = load(tmp_path, text, old="10.0.0.1", gone="10.9.9.9").members
    assert {member.identity: str(member.address) for member in members} == {
        "new": "10.0.0.2", "old": "10.0.0.1", "gone": "10.0.0.3",
    }  # fmt: skip


def test_a_folder_reads_as_one_file(tmp_path: Path) -> None:
    """Splitting a large inventory would change it."""
    clusters = '[cluster.a]\nnetwork = "10.0.0.0/24"\n', "[cluster.a.member.m]\n", "[cluster.a.member.n]\n"
    whole = load(tmp_path, FLEET + "".join(clusters))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number, text in enumerate((FLEET, *clusters)):
        (folder / f"{number}.toml").write_text(text)
    assert load_inventory(folder) == whole


def test_a_table_in_two_files_is_named_with_both_places(tmp_path: Path) -> None:
    """The later file would silently win."""
    (tmp_path / "a.toml").write_text(FLEET + '[cluster.a]\nnetwork = "10.0.0.0/24"\n[cluster.a.member.m]\n')
    (tmp_path / "b.toml").write_text('\n[cluster.a.member.m]\naddress = "10.0.0.9"\n')
    with pytest.raises(ConfigError) as caught:
        load_inventory(tmp_path)
    expected = f"{tmp_path}/b.toml:2: cluster.a.member.m: stands in {tmp_path}/a.toml:6 as well\n  keep one of the two"
    assert str(caught.value) == expected


def test_ten_thousand_members_have_addresses_of_their_own(tmp_path: Path) -> None:
    """A large fleet would be refused, get one address twice, or take minutes where a second will do."""
    started = time.process_time()
    inventory = load_inventory(write_fleet(tmp_path))
    assert time.process_time() - started < SLOWEST_SECONDS
    assert len(inventory.clusters) == 200
    assert len({member.address for member in inventory.members}) == 10_000
    assert len({member.address6 for member in inventory.members}) == 10_000
    assert inventory.notes == ()
    (tmp_path / "inventory.lock").write_text(lock_text(inventory.to_record))
    again = load_inventory(tmp_path)
    assert again == inventory
    assert again.to_record is again.recorded


def test_a_fleet_of_any_size_is_the_same_each_time(tmp_path: Path) -> None:
    """A figure or a failing test could not be had again."""
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    for folder, seed in ((one, 7), (two, 7), (other, 8)):
        folder.mkdir()
        write_fleet(folder, 3, 250, seed=seed)
    assert load_inventory(one) == load_inventory(two)
    assert load_inventory(one) != load_inventory(other)
    assert {path.name for path in one.iterdir()} == {"fleet.toml", "site-000.toml", "site-001.toml", "site-002.toml"}


@pytest.mark.parametrize("said", ["name = 'hk-1'", "name = 'hk.example-1_a'"])
def test_servers_have_names_and_hosts(said: str, tmp_path: Path) -> None:
    """A server could not be deployed, or its files would be those of another."""
    fleet = load(tmp_path, FLEET.replace(" }]", f", {said}, ssh = 'root@hk:2222' }}, {{ address = 'b:2' }}]"))
    assert [(server.name, server.ssh) for server in fleet.servers] == [
        (said.split("'")[1], "root@hk:2222"), ("server-2", ""),
    ]  # fmt: skip
