"""What a client believes of its cluster, routes into the tunnel and lets out of it."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from rustun.backends.base import HostReport, Prefix
from rustun.client import peers as peers_module
from rustun.client.peers import OwnEntry, Peers, own_entry
from rustun.config.consent import HostConsent
from rustun.errors import ProtocolError
from rustun.protocol.control import Directory, DirectoryEntry
from rustun.protocol.routing import never_inside


def entry(identity: str, address: str, *prefixes: str, six: str = "") -> DirectoryEntry:
    return DirectoryEntry(identity, "", address, six, prefixes, True)


def key(source: str, destination: str) -> bytes:
    return ip_address(source).packed + ip_address(destination).packed


def snapshot(*entries: DirectoryEntry, generation: int = 1) -> Directory:
    return Directory(generation, 0, 0, 1, entries, ())


A, B, C = entry("a", "10.0.1.3"), entry("b", "10.0.1.4"), entry("c", "10.0.1.5")


def test_news_replace_what_was_known_when_they_are_complete() -> None:
    """If this fails, a client shows and routes half of a cluster."""
    peers = Peers("me")
    assert peers.receive(snapshot(A, B))
    assert not peers.receive(Directory(2, 1, 0, 2, (C,), ()))
    assert set(peers.entries) == {"a", "b"}
    assert peers.receive(Directory(2, 1, 1, 2, (), ("a",)))
    assert set(peers.entries) == {"b", "c"}
    assert not peers.receive(Directory(3, 2, 0, 1, (B,), ("nobody",)))  # nothing new
    assert peers.receive(snapshot(A, generation=9))
    assert set(peers.entries) == {"a"}


def test_a_member_is_not_its_own_peer() -> None:
    """If this fails, a client routes its own address into the tunnel."""
    peers = Peers("a")
    peers.receive(snapshot(A, B))
    assert set(peers.entries) == {"b"}
    peers.replace([A, C])
    assert set(peers.entries) == {"c"}


@pytest.mark.parametrize(
    "pages",
    [
        [Directory(2, 1, 0, 1, (), ())],
        [snapshot(A), Directory(3, 2, 0, 1, (), ())],
        [Directory(1, 0, 1, 2, (), ())],
        [Directory(1, 0, 0, 2, (), ()), Directory(1, 0, 0, 2, (), ())],
        [Directory(1, 0, 0, 2, (), ()), Directory(2, 0, 1, 2, (), ())],
        [Directory(1, 0, 0, 2, (), ()), Directory(1, 0, 1, 3, (), ())],
        [snapshot(A), Directory(2, 1, 0, 2, (), ()), Directory(2, 0, 1, 2, (), ())],
    ],
)
def test_pages_out_of_order_are_refused(pages: list[Directory]) -> None:
    """If this fails, differences are applied to what they do not belong to."""
    peers = Peers("me")
    for page in pages[:-1]:
        peers.receive(page)
    with pytest.raises(ProtocolError):
        peers.receive(pages[-1])


def test_a_new_session_counts_anew_and_keeps_what_is_known() -> None:
    """If this fails, a reconnect drops all routes for a moment, or refuses the new server's first page."""
    peers = Peers("me")
    peers.receive(snapshot(A, generation=50))
    peers.receive(Directory(51, 50, 0, 2, (B,), ()))
    peers.forget_generation()
    assert set(peers.entries) == {"a"}
    told = [(peers.current, peers.receive(snapshot(A))) for _ in range(2)]
    assert told == [(False, True), (True, False)], "the same entries, and now they are this session's"


def own(*offered: str) -> OwnEntry:
    return OwnEntry("me", (ip_interface("10.0.1.2/24"), ip_interface("fd00::2/64")), tuple(map(ip_network, offered)))


def test_prefixes_are_what_the_device_does_not_already_reach() -> None:
    """If this fails, a peer's LAN is unreachable, or the own LAN is sent into the tunnel."""
    peers = Peers("me")
    peers.own = own("192.168.5.0/24")
    peers.replace(
        [
            entry("a", "10.0.1.3", "192.168.7.0/24", "192.168.5.0/24", six="fd00::3"),
            entry("b", "10.9.0.1", "192.168.7.0/24", "0.0.0.0/0", "fd07::/64", six="fd01::3"),
        ]
    )
    names = {str(prefix) for prefix in peers.prefixes(peers.own)}
    assert names == {"0.0.0.0/0", "10.9.0.1/32", "192.168.7.0/24", "fd01::3/128", "fd07::/64"}


def longest(address: str, told: list[tuple[Prefix, bool]]) -> bool:
    """Return what is told of the longest prefix around an address, the last of several; nothing is told of most."""
    number = ip_address(address)
    found = [pair for pair in told if pair[0].version == number.version and number in pair[0]]
    most = max((prefix.prefixlen for prefix, _ in found), default=0)
    return [value for prefix, value in found if prefix.prefixlen == most][-1] if found else False


@pytest.mark.parametrize("as_told", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_verdicts_agree_with_a_scan(seed: int, as_told: bool) -> None:
    """If this fails, the kernel sees packets from addresses that nobody in the tunnel has, or for others than us."""
    rng = random.Random(seed)
    peers = Peers("me")
    peers.own = own("192.168.5.0/24", "fd05::/64")
    routed: tuple[Prefix, ...] = tuple(
        ip_network(text) for text in ("192.168.7.0/24", "10.9.0.1/32", "fd07::/64", "10.64.0.0/10")
    )
    if seed == 0:  # an exit: everything is inside, but what has no business in any tunnel
        routed = (*routed, ip_network("0.0.0.0/0"), ip_network("::/0"))
    peers.replace([entry("lan", "", *map(str, routed))])
    alone = [ip_network(address.ip) for address in peers.own.addresses]
    report = HostReport(
        (*routed, *(address.network for address in peers.own.addresses)),
        {ip_network("10.66.0.0/16"): "is directly connected at eth1"},
        peers.own.addresses,
        elsewhere=tuple(map(ip_network, ("10.65.1.0/24", "192.168.7.128/25", "fd07::6/128", "8.8.0.0/16"))),
        local=tuple(map(ip_address, ("192.168.5.1", "10.66.0.1", "fd05::5"))),
    )
    consent = HostConsent(as_told=as_told, gateway=() if as_told else (ip_network("192.168.5.0/24"),))
    peers.set_routed(report, consent, peers.own)
    local = [(ip_network(address), False) for address in report.local]
    inside = [(prefix, False) for prefix in (*peers.own.offered, *report.refused)]
    inside += [(prefix, True) for prefix in report.routed]
    inside += [*local, *((prefix, False) for prefix in (*report.elsewhere, *alone))]
    ours = [(prefix, as_told or prefix.version == 4) for prefix in peers.own.offered]
    ours += [*(local if as_told else ()), *((prefix, True) for prefix in alone)]
    fours = ("10.0.1.2", "10.0.1.9", "192.168.5.1", "192.168.5.7", "192.168.7.7", "192.168.7.200", "10.9.0.1",
             "10.9.0.2", "10.100.0.1", "10.65.1.1", "10.66.0.1", "8.8.8.8", "1.1.1.1", "127.0.0.1",
             "224.0.0.5")  # fmt: skip
    sixes = ("fd00::2", "fd00::9", "fd05::1", "fd05::5", "fd07::1", "fd07::6", "2001:db8::1", "fe80::1", "ff02::1",
             "::1")  # fmt: skip
    for _ in range(1000):
        group = rng.choice((fours, sixes))
        source, destination = rng.choice(group), rng.choice(group)
        if not longest(source, inside) or never_inside(int(ip_address(source)), ip_address(source).version):
            expected = "bad-source"
        else:
            expected = "" if longest(destination, ours) else "bad-destination"
        assert peers.judge(key(source, destination)) == expected, (source, destination)


def test_nothing_is_delivered_before_the_host_is_set_up() -> None:
    """If this fails, a packet is delivered on the word of its sender alone."""
    peers = Peers("me")
    assert peers.judge(key("10.0.1.3", "10.0.1.2")) == "bad-source"
    peers.set_routed(HostReport(), HostConsent(), own())
    assert peers.judge(key("10.0.1.3", "10.0.1.2")) == "bad-source"


def test_what_the_host_refused_opens_nothing() -> None:
    """If this fails, a server that names an odd own address turns off the checks of sources and destinations."""
    peers = Peers("me")
    peers.own = OwnEntry("me", (ip_interface("10.0.1.1/0"), ip_interface("10.0.1.2/24")), ())
    peers.replace([entry("lan", "", "10.0.3.0/24")])
    report = HostReport((ip_network("10.0.3.0/24"),), addresses=peers.own.addresses[1:])
    peers.set_routed(report, HostConsent(), peers.own)
    assert peers.judge(key("8.8.8.8", "10.0.1.2")) == "bad-source"
    assert peers.judge(key("10.0.1.9", "10.0.1.2")) == "bad-source"  # its network is not routed
    assert peers.judge(key("10.0.3.9", "10.0.1.1")) == "bad-destination"
    assert peers.judge(key("10.0.3.9", "10.0.1.2")) == ""


EVERYTHING = ("0.0.0.0/0", "128.0.0.0/1", "192.168.5.0/24", "192.168.6.0/24", "fd05::/64", "127.0.0.0/8")


@pytest.mark.parametrize(
    ("consent", "reached"),
    [
        (HostConsent(), set()),
        (HostConsent(as_told=True), {"192.168.5.7", "192.168.6.7", "fd05::1"}),
        (HostConsent(gateway=(ip_network("192.168.4.0/23"),)), {"192.168.5.7"}),
        (HostConsent(gateway=(ip_network("192.168.5.0/25"),)), set()),
        (HostConsent(gateway=(ip_network("fd05::/48"),)), {"fd05::1"}),
        (HostConsent(offer_exit=True), {"192.168.5.7", "192.168.6.7", "172.16.5.5", "203.0.113.1"}),
    ],
)
def test_a_host_forwards_for_what_it_agreed_to(consent: HostConsent, reached: set[str]) -> None:
    """If this fails, a server makes a host forward packets to where its operator never let it."""
    peers = Peers("me")
    peers.own = own(*EVERYTHING)
    routed = (ip_network("10.0.1.0/24"), ip_network("fd00::/64"))
    local = (ip_address("192.168.5.1"),)
    report = HostReport(routed, addresses=peers.own.addresses, local=local, offers_exit=consent.offer_exit)
    peers.set_routed(report, consent, peers.own)
    assert bool(peers.judge(key("10.0.1.9", "192.168.5.1"))) is (consent.as_told or "192.168.5.7" not in reached)
    fours = ("192.168.5.7", "192.168.6.7", "172.16.5.5", "203.0.113.1", "127.0.0.1", "224.0.0.5")
    found = {address for address in fours if not peers.judge(key("10.0.1.9", address))}
    found |= {address for address in ("fd05::1", "fd06::1") if not peers.judge(key("fd00::9", address))}
    assert found == reached


def test_an_exit_without_a_firewall_is_none() -> None:
    """If this fails, members reach the private networks of a host that could not set up what keeps them out."""
    peers = Peers("me")
    peers.own = own("0.0.0.0/0")
    report = HostReport((ip_network("10.0.1.0/24"),), addresses=peers.own.addresses)
    peers.set_routed(report, HostConsent(offer_exit=True), peers.own)
    assert peers.judge(key("10.0.1.9", "8.8.8.8")) == "bad-destination"


def test_behind_a_mapping_what_the_cluster_sees_is_delivered() -> None:
    """If this fails, a gateway with a mapping drops everything that comes for its LAN."""
    seen, real = ip_network("192.168.11.0/24"), ip_network("192.168.10.0/24")
    peers = Peers("me")
    peers.own = own(str(seen), "192.168.12.0/24")
    report = HostReport((ip_network("10.0.1.0/24"),), addresses=peers.own.addresses)
    peers.set_routed(report, HostConsent(gateway=(real,), cider_mapping=((seen, real),)), peers.own)
    assert peers.judge(key("10.0.1.9", "192.168.11.7")) == ""
    assert peers.judge(key("10.0.1.9", "192.168.10.7")) == "bad-destination"
    assert peers.judge(key("10.0.1.9", "192.168.12.7")) == "bad-destination"


def test_what_the_host_refused_stays_outside_an_exit_too() -> None:
    """If this fails, an exit node speaks for hosts of this host's own LAN."""
    peers = Peers("me")
    peers.own = own()
    peers.replace([entry("gw", "10.0.1.1", "0.0.0.0/0", "192.168.1.0/24")])
    refused = {ip_network("192.168.1.0/24"): "is directly connected at eth0"}
    routed = (ip_network("0.0.0.0/0"), ip_network("10.0.1.0/24"))
    peers.set_routed(HostReport(routed, refused, peers.own.addresses), HostConsent(exit_node="gw"), peers.own)
    assert peers.judge(key("8.8.8.8", "10.0.1.2")) == ""
    assert peers.judge(key("10.0.1.1", "10.0.1.2")) == ""
    assert peers.judge(key("192.168.1.1", "10.0.1.2")) == "bad-source"


def test_pages_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a hostile server fills a client's memory with pages of a directory that never comes."""
    monkeypatch.setattr(peers_module, "MAX_DIRECTORY_BYTES", 1 << 20)
    peers = Peers("me")
    strangers = tuple(f"stranger-{number}" for number in range(500))
    for number in range(1000):
        told = (entry(f"m{number}", "10.0.1.3", *("192.168.7.0/24",) * 100),)
        try:
            peers.receive(Directory(1, 0, number, 1000, told if number % 2 else (), () if number % 2 else strangers))
        except ProtocolError as error:
            assert "over 1 MiB" in str(error)
            break
    assert 20 < number < 100
    peers.forget_generation()
    assert peers.receive(snapshot(A, B))


def test_news_that_only_add_are_refused_at_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a hostile server fills a client's memory with one small piece of news after the other."""
    monkeypatch.setattr(peers_module, "MAX_DIRECTORY_BYTES", 1 << 20)
    peers = Peers("me")
    with pytest.raises(ProtocolError, match="over 1 MiB"):
        for number in range(3000):
            peers.receive(Directory(number + 1, number, 0, 1, (entry(f"m{number}", "10.0.1.3"),), ()))
    assert 1000 < len(peers.entries) < 3000


@pytest.mark.parametrize(
    ("address", "address6", "prefixes"),
    [
        ("host/24", "", ()),
        ("10.0.1.2/64", "", ()),
        ("10.0.1.2/24", "fd00::/200", ()),
        ("10.0.1.2/24", "", ("10.0.0.1/8",)),
        ("10.0.1.2/24", "", ("-j ACCEPT",)),
        ("10.0.1.2/24", "fd00::2%eth0/64", ()),
        ("10.0.1.2/24", "", ("fd00:1::%\x1b[31m/64",)),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(address: str, address6: str, prefixes: tuple[str, ...]) -> None:
    """If this fails, a server's odd answer ends the client's process, or reaches the host's routes."""
    with pytest.raises(ProtocolError):
        own_entry("me", address, address6, prefixes)


def test_the_own_entry_is_read_as_it_was_told() -> None:
    """If this fails, the device gets another address than the server routes."""
    assert own_entry("me", "10.0.1.2/24", "fd00::2/64", ("192.168.5.0/24",)) == own("192.168.5.0/24")
    assert own_entry("me", "10.0.1.2/24", "", ()).addresses == (ip_interface("10.0.1.2/24"),)
