"""What a client wants of its host: configuration widens, the server's word narrows."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from rustun.backends.base import Endpoint, Forwarding, HostState, Prefix
from rustun.client import host_wish as host_wish_module
from rustun.client.host_wish import HostWish, host_name, host_wish
from rustun.client.peers import OwnEntry
from rustun.config import ClientConfig, HostConsent, ServerAddress
from rustun.protocol.control import DirectoryEntry

LAN, SEEN = ip_network("192.168.10.0/24"), ip_network("192.168.11.0/24")
SERVER = Endpoint("192.0.2.1", 8080)
OWN = OwnEntry("me", (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")), ())
ANY4, ANY6 = ip_network("0.0.0.0/0"), ip_network("::/0")
ROUTES = (ANY4, ip_network("192.168.7.0/24"), ANY6)


def entry(identity: str, address: str = "10.0.1.3", *prefixes: str, six: str = "") -> DirectoryEntry:
    return DirectoryEntry(identity, "", address, six, prefixes, True)


def wish(
    consent: HostConsent, *entries: DirectoryEntry, own: OwnEntry | None = OWN, servers: tuple[str, ...] = ()
) -> HostWish:
    configured = tuple(ServerAddress(Endpoint(host, 8080)) for host in servers)
    config = ClientConfig("me", configured, host=consent)
    found = {each.identity: each for each in entries}
    return host_wish(config, "rustun0", own, found, ROUTES, (SERVER,))


def test_without_consent_there_are_addresses_and_routes_alone() -> None:
    """If this fails, a host does on a server's word what its operator never wrote."""
    own = OwnEntry("me", OWN.addresses, (LAN, ANY4), ((str(SEEN), str(LAN)),))
    found = wish(HostConsent(), entry("gw", "10.0.1.1", "0.0.0.0/0"), own=own)
    assert found.state == HostState("rustun0", 1500, OWN.addresses, ROUTES, (SERVER,))
    mapping, lans = found.warnings
    assert '"192.168.11.0/24" is "192.168.10.0/24" behind this host' in mapping
    assert f'"{LAN}", "0.0.0.0/0" is behind this host: nothing is let in there' in lans


def test_a_host_that_believes_the_server_says_what_it_lets_in() -> None:
    """If this fails, a client without a client.toml opens LANs to members, and nobody is told which."""
    own = OwnEntry("me", OWN.addresses, (LAN, SEEN, ANY4))
    shut, believed = wish(HostConsent(as_told=True), own=own).warnings
    assert 'says that "0.0.0.0/0" is behind this host: nothing is let in' in shut
    assert f'members reach "{LAN}", "{SEEN}", as the server says' in believed
    assert wish(HostConsent(as_told=True)).warnings == ()


def test_what_is_written_is_wished() -> None:
    """If this fails, a key of [host_config] has no effect."""
    mapping = ((SEEN, LAN),)
    consent = HostConsent(
        gateway=(LAN,), masquerade=True, accept_routes=(), cider_mapping=mapping, offer_exit=True, kill_switch=True
    )
    own = OwnEntry("me", OWN.addresses, (SEEN, LAN, ANY6), ((str(SEEN), str(LAN)),))
    found = wish(consent, own=own)
    assert found.warnings == ()
    assert found.state.forwarding == Forwarding((LAN,), True, mapping, True)
    assert (found.state.accept, found.state.kill_switch) == ((), True)


def test_a_kill_switch_does_not_wait_for_a_server() -> None:
    """If this fails, packets leave in clear until the first session stands, or the way to a server is closed."""
    found = wish(HostConsent(exit_node="gw", kill_switch=True), own=None, servers=("192.0.2.9", "2001:db8::1"))
    outside = (SERVER, Endpoint("192.0.2.9", 8080), Endpoint("2001:db8::1", 8080))
    assert found == HostWish(HostState("rustun0", 1500, outside=outside, kill_switch=True))
    assert wish(HostConsent(), own=None, servers=("vpn.example.com",)).state.outside == (SERVER,)


def test_without_a_kill_switch_it_is_said_that_traffic_leaves_until_there_is_an_exit() -> None:
    """If this fails, somebody who chose an exit node believes that nothing leaves before the first session."""
    [warning] = wish(HostConsent(exit_node="gw"), own=None).warnings
    assert warning == 'kill_switch is off: until a server has told of exit_node "gw" all traffic goes in clear'
    config = ClientConfig("me", (), host=HostConsent(exit_node="gw"))
    assert host_wish(config, "rustun0", OWN, None, ROUTES, (SERVER,)).warnings == (warning,)
    assert wish(HostConsent(), own=None).warnings == ()


def test_the_chosen_member_becomes_the_default_route() -> None:
    """If this fails, traffic goes through a member that nobody chose, or nowhere."""
    both = entry("gw", "10.0.1.1", "192.168.7.0/24", "::/0", "0.0.0.0/0")
    consent = HostConsent(exit_node="gw")
    found = wish(consent, both, entry("b"))
    assert (found.state.exits, found.state.routes, found.warnings) == ((ANY4, ANY6), ROUTES[1:2], ())
    found = wish(consent, entry("gw", "10.0.1.1", "0.0.0.0/0"), entry("b", "10.0.1.4", "::/0"))
    assert (found.state.exits, found.state.routes) == ((ANY4,), ROUTES[1:])  # b's stays to be refused


@pytest.mark.parametrize(
    ("entries", "kill_switch", "words"),
    [
        ((), False, '"gw" is no member of this cluster: all traffic beside the cluster goes in clear'),
        ((entry("gw"),), False, "offers no default route: all traffic beside the cluster goes in clear"),
        ((entry("gw"),), True, "offers no default route: nothing leaves this host"),
        ((entry("gw", "10.0.1.1", "::/0"), entry("b", "10.0.1.4", "::/0")), False, '"b" offers ::/0 as "gw" does'),
    ],
)
def test_an_exit_that_cannot_be_had_is_told(entries: tuple[DirectoryEntry, ...], kill_switch: bool, words: str) -> None:
    """If this fails, somebody believes that his traffic goes through the tunnel, and it does not."""
    found = wish(HostConsent(exit_node="gw", kill_switch=kill_switch), *entries)
    [warning] = found.warnings
    assert words in warning
    assert found.state.kill_switch is kill_switch


def test_a_mapping_that_the_cluster_does_not_see_is_told() -> None:
    """If this fails, two sites are wired up and nobody says why the one does not reach the other."""
    consent = HostConsent(gateway=(LAN,), cider_mapping=((SEEN, LAN),))
    [warning] = wish(consent).warnings
    assert warning.startswith(f"cider_mapping: nobody is told of {SEEN} ({LAN}): it is not among this member's ciders")
    other = OwnEntry("me", OWN.addresses, (SEEN,), ((str(SEEN), "192.168.99.0/24"),))
    [warning] = wish(consent, own=other).warnings
    assert "nothing is translated on the server's word" in warning


@pytest.mark.parametrize("told", [(ip_network("192.168.0.0/16"),), (ip_network("192.168.10.128/25"),), (ANY4,)])
def test_a_lan_that_nobody_is_told_of_is_told(told: tuple[Prefix, ...]) -> None:
    """If this fails, a gateway is set up in client.toml alone, nobody reaches its LAN, and nothing says why."""
    other = ip_network("192.168.99.0/24")
    [lan, way_out] = wish(HostConsent(gateway=(LAN, other), offer_exit=True), own=OWN).warnings
    assert lan.startswith(f'gateway: nobody is told of "{LAN}", "{other}": nothing of it is among')
    assert way_out.startswith("offer_exit: nobody is told of it: neither 0.0.0.0/0 nor ::/0 is among")
    found = wish(HostConsent(gateway=(LAN,), offer_exit=ANY4 in told), own=OwnEntry("me", OWN.addresses, told))
    assert not any("nobody is told" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("bj-dev", "bj-dev"),
        ("github.com", "github-com"),
        ("Zhang's Laptop", "zhang-s-laptop"),
        ("-.x.-", "x"),
        ("a\n127.0.0.1 evil", "a-127-0-0-1-evil"),
        ("北京", ""),
        ("a" * 62 + "-b", "a" * 62),
        ("x" * 200, "x" * 63),
    ],
)
def test_an_identity_becomes_a_label(identity: str, name: str) -> None:
    """If this fails, a member writes a line of its own into a hosts file, or takes a name of the internet."""
    assert host_name(identity) == name


def test_members_have_names() -> None:
    """If this fails, `names = "hosts"` leads nowhere, or a name leads to this host itself."""
    consent = HostConsent(names="hosts")
    found = wish(consent, entry("b", "10.0.1.4/24", six="fd00:1::4"), entry("a"), entry("evil", "127.0.0.1"))
    four, six = ip_address("10.0.1.4"), ip_address("fd00:1::4")
    me = tuple(address.ip for address in OWN.addresses)
    assert found.state.names == (("a", (ip_address("10.0.1.3"),)), ("b", (four, six)), ("me", me))
    assert found.warnings == ()
    assert wish(HostConsent(), entry("b")).state.names == ()


def test_who_would_share_a_name_has_none() -> None:
    """If this fails, a member gets another's connections by choosing an identity like it."""
    consent = HostConsent(names="hosts")
    found = wish(consent, entry("sh-db"), entry("sh.db"), entry("Me"), entry("北京"))
    assert found.state.names == ()
    assert found.warnings == (
        'names: "北京": no letter a-z and no digit to make a name of',
        'names: "me", "Me" would all be me: none of them has a name',
        'names: "sh-db", "sh.db" would all be sh-db: none of them has a name',
    )
    crowd = [entry(f"{number}{sign}") for number in range(9) for sign in ".-"]
    assert wish(consent, *crowd).warnings[3:] == ("names: 6 more like these",)


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a hostile server makes every look-up on this host slow."""
    monkeypatch.setattr(host_wish_module, "MAX_NAMES", 2)
    found = wish(HostConsent(names="hosts"), entry("a"), entry("b"))
    assert found.state.names == ()
    assert found.warnings == ("names: 3 members, over 2: none is written",)
