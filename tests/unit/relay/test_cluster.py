"""One tenant: who gets a packet, and what members are told of each other."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import cast

import pytest

from rustun.protocol.control import MAX_CONTROL_BYTES, Directory, DirectoryEntry, decode
from rustun.protocol.routing import Prefix, PrefixTable
from rustun.relay.cluster import Cluster
from rustun.relay.directory import PRESENCE_MEMBERS, Cursor
from rustun.relay.session import RelaySession
from tests.members import member


@dataclass(eq=False)
class Online:
    """What a cluster looks at in a session."""

    identity: str


def online(cluster: Cluster, identity: str) -> RelaySession:
    session = cast(RelaySession, Online(identity))
    cluster.add_session(session)
    return session


def key(source: str, destination: str) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed


def told(cluster: Cluster) -> dict[str, DirectoryEntry]:
    """Return the directory as a new member reads it."""
    if cluster.directory.has_news:
        cluster.directory.publish()
    cursor, entries = Cursor(), dict[str, DirectoryEntry]()
    while (page := cursor.next_page(cluster.directory)) is not None:
        message = decode(page, MAX_CONTROL_BYTES)
        assert isinstance(message, Directory)
        entries.update((entry.identity, entry) for entry in message.members)
    return entries


def test_a_packet_goes_to_its_owner_or_nowhere() -> None:
    """If this fails, packets reach the wrong member, or a member speaks for another."""
    cluster = Cluster("beijing")
    cluster.replace_members(
        [
            member("a", "10.0.1.2", "192.168.0.0/16", six="fd00::2/64"),
            member("b", "10.0.1.3", "192.168.7.0/24", six="fd00::3/64"),
            member("c", "10.0.1.4"),
        ]
    )
    a, b = online(cluster, "a"), online(cluster, "b")
    assert cluster.route(a, key("10.0.1.2", "10.0.1.3")) is b
    assert cluster.route(b, key("10.0.1.3", "192.168.8.1")) is a
    assert cluster.route(a, key("192.168.8.1", "192.168.7.1")) is b
    assert cluster.route(a, key("fd00::2", "fd00::3")) is b
    assert cluster.route(a, key("192.168.7.1", "10.0.1.3")) == "bad-source"  # the longer prefix is b's
    assert cluster.route(a, key("10.0.1.3", "10.0.1.2")) == "bad-source"
    assert cluster.route(a, key("172.16.0.1", "10.0.1.3")) == "bad-source"
    assert cluster.route(a, key("10.0.1.2", "172.16.0.1")) == "no-route"
    assert cluster.route(a, key("10.0.1.2", "224.0.0.1")) == "no-route"
    assert cluster.route(a, key("10.0.1.2", "192.168.8.1")) == "to-sender"
    assert cluster.route(a, key("10.0.1.2", "10.0.1.4")) == "offline"


def test_two_clusters_share_addresses_and_nothing_else() -> None:
    """If this fails, one tenant's packets reach another tenant."""
    clusters = [Cluster("one"), Cluster("two")]
    for cluster in clusters:
        cluster.replace_members([member("a", "10.0.1.2"), member("b", "10.0.1.3")])
    sessions = [(online(cluster, "a"), online(cluster, "b")) for cluster in clusters]
    for cluster, (a, b) in zip(clusters, sessions, strict=True):
        assert cluster.route(a, key("10.0.1.2", "10.0.1.3")) is b


def test_whatever_changes_who_gets_a_packet_raises_the_epoch() -> None:
    """If this fails, senders go on with what they remember: to sessions that closed, or to former owners."""
    cluster = Cluster("beijing")
    epochs = [cluster.epoch]

    def note() -> None:
        epochs.append(cluster.epoch)

    cluster.replace_members([member("a"), member("b", "10.0.1.3")])
    note()
    first = online(cluster, "a")
    note()
    assert cluster.remove_session(first)
    note()
    second = online(cluster, "a")
    note()
    cluster.replace_members([member("a")])
    note()
    assert epochs == sorted(set(epochs))
    assert not cluster.remove_session(first)  # another one has its place
    assert cluster.sessions == {"a": second}


def test_routes_agree_with_a_scan_of_all_prefixes() -> None:
    """If this fails, a reload leaves a route behind, or loses one."""
    rng = random.Random(8)
    cluster = Cluster("beijing")
    for _ in range(40):
        lans = [f"192.168.{number}.0/24" for number in rng.sample(range(12), 6)]
        members = [member(name, f"10.0.1.{number}", *lans[number::3]) for number, name in enumerate("abc")]
        cluster.replace_members(members)
        a = online(cluster, "a")
        for _ in range(30):
            destination = f"192.168.{rng.randrange(12)}.{rng.randrange(256)}"
            owners = [
                each.identity for each in members for lan in each.ciders if ip_address(destination) in ip_network(lan)
            ]
            found = cluster.route(a, key("10.0.1.0", destination))
            expected = {(): "no-route", ("a",): "to-sender"}.get(tuple(owners), "offline")
            assert found == expected
        cluster.remove_session(a)


def test_one_change_in_a_large_cluster_touches_one_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, each change among 10,000 members stops every packet for a third of a second."""
    cluster = Cluster("beijing")
    crowd = [member(f"m{number}", f"10.0.{number // 250}.{number % 250 + 1}") for number in range(2000)]
    cluster.replace_members(crowd)
    touched: list[str] = []
    insert = PrefixTable.insert

    def counted(table: PrefixTable[str], prefix: Prefix, value: str) -> None:
        touched.append(value)
        insert(table, prefix, value)

    monkeypatch.setattr(PrefixTable, "insert", counted)
    cluster.replace_members([*crowd[1:], member("new", "10.0.0.1", "192.168.7.0/24")])
    assert touched == ["new", "new"]
    new, other = online(cluster, "new"), online(cluster, "m1")
    assert cluster.route(other, key("10.0.0.2", "192.168.7.9")) is new
    assert cluster.route(new, key("10.0.0.1", "10.0.0.2")) is other


def test_the_directory_follows_members_and_sessions() -> None:
    """If this fails, members see who is not there, or do not see who is."""
    cluster = Cluster("beijing")
    cluster.replace_members([member("a"), member("b", "10.0.1.3", "192.168.7.0/24", six="fd00::3/64")])
    session = online(cluster, "b")
    assert told(cluster) == {
        "a": DirectoryEntry("a", "A", "10.0.1.2", "", (), False),
        "b": DirectoryEntry("b", "B", "10.0.1.3", "fd00::3", ("192.168.7.0/24",), True),
    }
    cluster.remove_session(session)
    cluster.replace_members([replace(member("b", "10.0.1.9"), name="new")])
    assert told(cluster) == {"b": DirectoryEntry("b", "new", "10.0.1.9", "", (), False)}


def test_a_large_cluster_is_not_told_who_is_online() -> None:
    """If this fails, 5,000 members that come and go cost everybody, or a cluster that grew shows stale presence."""
    cluster = Cluster("beijing")
    crowd = [member(f"m{number}", f"10.0.{number // 250}.{number % 250 + 1}") for number in range(PRESENCE_MEMBERS)]
    cluster.replace_members(crowd)
    online(cluster, "m0")
    assert {entry.online for entry in told(cluster).values()} == {True, False}
    cluster.replace_members([*crowd, member("one more", "10.9.9.9")])
    assert {entry.online for entry in told(cluster).values()} == {None}
    online(cluster, "m1")
    assert not cluster.directory.has_news
    cluster.replace_members(crowd)
    presence = told(cluster)
    assert [presence[f"m{number}"].online for number in range(3)] == [True, True, False]
