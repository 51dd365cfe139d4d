"""The text of the table; what the kernel makes of it is in tests/netlab test_gateway.py and others."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network
from typing import Any

import pytest

from rustun.backends.base import Endpoint, Forwarding, HostState
from rustun.backends.firewall import NOT_GLOBAL4, NOT_GLOBAL6, script, table_name, warnings, without_firewall
from rustun.backends.forwarding import Opened
from rustun.backends.surroundings import Surroundings
from rustun.errors import HostError

LAN, LAN6 = ip_network("192.168.1.0/24"), ip_network("fd77::/64")
SEEN, REAL = ip_network("192.168.11.0/24"), ip_network("192.168.10.0/24")
AROUND = Surroundings(
    {LAN: ("eth1",), LAN6: ("eth1",), REAL: ("eth2",)},
    {4: ("eth0",), 6: ("eth0",)},
    (LAN, ip_network("8.8.8.0/24"), ip_network("2a00:1::/64")),
)
SERVERS = (Endpoint("203.0.113.7", 8080), Endpoint("2001:db8::7", 443), Endpoint("fe80::1%eth0", 8080))


def wish(**changes: Any) -> HostState:
    return HostState("rustun0", 1500, (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")), **changes)


def chains(wished: HostState, around: Surroundings = AROUND, opened: Opened | None = None) -> dict[str, list[str]]:
    """Return the rules of each chain; a base chain's hook is its first."""
    found: dict[str, list[str]] = {}
    for line in script(wished, around, opened or Opened()).splitlines():
        if line.startswith("  chain "):
            found[line.split()[1]] = rules = []
        elif line.startswith("    "):
            rules.append(line.strip())
    return found


def test_a_wish_for_nothing_needs_no_table() -> None:
    """If this fails, a host without nft is told about a firewall that it does not need."""
    assert script(HostState("rustun0", 1500), Surroundings(), Opened()) == ""


def test_the_table_is_replaced_whole() -> None:
    """If this fails, rules of an earlier wish stay, or there is a moment without any."""
    lines = script(wish(), AROUND, Opened()).splitlines()
    name = "table inet rustun-rustun0"
    assert lines[:3] == [f"add {name}", f"delete {name}", f"{name} {{"]
    assert list(chains(wish())) == ["guard"]


def test_the_guard_is_always_there() -> None:
    """If this fails, a neighbour in a café finds out what this host does inside the tunnel."""
    for state in (wish(), wish(kill_switch=True), wish(forwarding=Forwarding((LAN,)))):
        hook, *rules = chains(state)["guard"]
        assert hook == "type filter hook prerouting priority raw; policy accept;"
        start = 'iifname != { "lo", "rustun0" }'
        assert [rule.partition(" counter drop")[0] for rule in rules] == [
            f"{start} ip daddr {{ 10.0.1.2 }}",
            f"{start} ip6 daddr {{ fd00:1::2 }}",
        ]


def test_sources_are_kept_unless_masquerading_is_wished() -> None:
    """If this fails, LAN hosts see the gateway where they should see members, or the other way round."""
    assert "real_to_seen" not in chains(wish(forwarding=Forwarding((LAN, LAN6))))
    masked = chains(wish(forwarding=Forwarding((LAN, LAN6), masquerade=True)), Surroundings({LAN: ("eth1", "eth3")}))
    assert masked["real_to_seen"][1:] == [
        'iifname "rustun0" oifname { "eth1", "eth3" } ip daddr 192.168.1.0/24 masquerade'
    ]


def test_a_gateway_forwards_to_its_lans_by_their_interfaces_alone() -> None:
    """If this fails, members reach what is not offered, or LAN packets leave by the provider's line."""
    rules = chains(wish(forwarding=Forwarding((LAN,))), Surroundings({LAN: ("eth1",)}))
    from_tunnel = [rule for rule in rules["from_tunnel"] if "ct " not in rule]
    assert from_tunnel == [
        'ip daddr 192.168.1.0/24 oifname { "eth1" } accept',
        'counter drop comment "not offered to members"',
    ]
    assert rules["into_tunnel"] == [
        "ct direction reply accept",
        'iifname { "eth1" } ip saddr 192.168.1.0/24 accept',
        'counter drop comment "not from a network that is offered"',
    ]
    assert rules["to_this_host"][-2:] == [
        "ip daddr 192.168.1.0/24 accept",
        'counter drop comment "not offered to members"',
    ]


def test_a_real_side_is_refused_before_the_lan_that_holds_it() -> None:
    """If this fails, a mapped network is reached by its real addresses, which another site has, too."""
    state = wish(forwarding=Forwarding((ip_network("192.168.0.0/16"),), mapping=((SEEN, REAL),)))
    around = Surroundings({ip_network("192.168.0.0/16"): ("eth1",), REAL: ("eth2",)})
    rules = chains(state, around)
    for chain in ("from_tunnel", "to_this_host"):
        order = [
            next(number for number, rule in enumerate(rules[chain]) if rule.startswith(start))
            for start in (f"ct original ip daddr {SEEN}", f"ip daddr {REAL} counter drop", "ip daddr 192.168.0.0/16")
        ]
        assert order == sorted(order)
    assert rules["seen_to_real"][1] == f'iifname "rustun0" dnat ip prefix to ip daddr map {{ {SEEN} : {REAL} }}'
    assert rules["real_to_seen"][1] == f'oifname "rustun0" snat ip prefix to ip saddr map {{ {REAL} : {SEEN} }}'


def test_an_exit_node_leads_to_the_internet_and_to_nothing_else() -> None:
    """If this fails, a member reaches the exit node's own network, or its cloud's metadata service."""
    rules = chains(wish(forwarding=Forwarding(offer_exit=True)))
    exits = [rule for rule in rules["from_tunnel"] if rule.startswith('oifname { "eth0" } ip')]
    assert len(exits) == 2
    excluded = exits[0].partition("!= { ")[2].partition(" }")[0].split(", ")
    networks = [ip_network(text) for text in excluded]
    for text in ("10.1.2.3", "169.254.169.254", "168.63.129.16", "100.100.100.200", "8.8.8.8", "255.255.255.255"):
        assert any(IPv4Address(text) in network for network in networks), text
    assert not any(IPv4Address(text) in network for network in networks for text in ("1.1.1.1", "9.9.9.9", "8.8.4.4"))
    assert "ip6 daddr 2000::/3 ip6 daddr != { 2001::/23, 2001:db8::/32, 2002::/16, 2a00:1::/64, 3fff::/20 }" in exits[1]
    assert [rule for rule in rules["real_to_seen"] if rule.endswith("masquerade")] == [
        f'iifname "rustun0" oifname {{ "eth0" }} meta nfproto ipv{version} masquerade' for version in (4, 6)
    ]


def test_what_is_global_agrees_with_the_standard_library() -> None:
    """If this fails, a range that IANA keeps for other things is forwarded as the Internet, or too much is refused."""
    numbers = random.Random(5)
    for _ in range(3000):
        address = IPv4Address(numbers.getrandbits(32))
        ours = not any(address in network for network in NOT_GLOBAL4)
        assert ours == (address.is_global and not address.is_multicast) or address in ip_network("192.88.99.0/24")
        address6 = IPv6Address((1 << 125) + numbers.getrandbits(125))
        assert not any(address6 in network for network in NOT_GLOBAL6) or not address6.is_global, address6
    texts6 = ("2001::1", "2001:2::1", "2001:db8::1", "2002:a00:1::1", "3fff::1")
    assert all(any(IPv6Address(text) in network for network in NOT_GLOBAL6) for text in texts6)


def test_interfaces_that_we_opened_forward_for_the_tunnel_only() -> None:
    """If this fails, the host becomes a router between its other networks by the way."""
    state = wish(forwarding=Forwarding((LAN,)))
    around = Surroundings({LAN: ("br0",)}, bridges=frozenset({"br0"}))
    *_, own, last4, last6 = chains(state, around, Opened(frozenset({"br0"}), frozenset({"all"})))["forward"]
    assert own == 'iifname "br0" oifname "br0" accept'
    assert last4.startswith('iifname { "br0" } meta nfproto ipv4 counter drop')
    assert last6.startswith("meta nfproto ipv6 counter drop")
    assert chains(state, around)["forward"][-1] == 'oifname "rustun0" goto into_tunnel'


def test_what_another_client_forwards_is_not_judged() -> None:
    """If this fails, two gateways on one host silence each other: a drop in any table is final."""
    state, opened = wish(forwarding=Forwarding(lans=(LAN,))), Opened(frozenset({"br0"}))
    around = Surroundings({LAN: ("br0",)}, clients=frozenset({"site1"}))
    forward = chains(state, around, opened)["forward"]
    theirs = [number for number, line in enumerate(forward) if '{ "site1" } accept' in line]
    assert [forward[number].split()[0] for number in theirs] == ["iifname", "oifname"]
    assert "drop" in forward[-1]
    assert max(theirs) < len(forward) - 1


def test_the_kill_switch_lets_out_what_is_listed() -> None:
    """If this fails, a packet leaves in clear, or the server cannot be reached."""
    rules = chains(HostState("rustun0", 1500, outside=SERVERS, kill_switch=True))
    assert rules["outside"] == [
        'oifname { "lo", "rustun0" } accept',
        "ip daddr . tcp dport { 203.0.113.7 . 8080 } accept",
        "ip6 daddr . tcp dport { 2001:db8::7 . 443, fe80::1 . 8080 } accept",
        "udp sport 68 udp dport 67 accept",
        "ip6 daddr { ff02::1:2, fe80::/10 } udp sport 546 udp dport 547 accept",
        "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } accept",
    ]
    assert rules["kill_switch"][1:] == ["jump outside", 'counter drop comment "beside the tunnel"']
    gateway = chains(wish(outside=SERVERS, kill_switch=True, forwarding=Forwarding((LAN,))))["outside"]
    assert gateway[1].startswith('iifname "rustun0" accept')


def test_names_cannot_become_rules() -> None:
    """If this fails, a device with a star in its name matches others, or a strange name is read as rules."""
    assert table_name("rustun0") == "rustun-rustun0"
    assert table_name("a;b{*") == "rustun-a_3bb_7b_2a"
    text = script(HostState("tun*", 1500, (ip_interface("10.0.1.2/24"),)), Surroundings(), Opened())
    assert '{ "lo", "tun\\*" }' in text
    with pytest.raises(HostError, match="nft cannot be told"):
        script(HostState('a"b', 1500, (ip_interface("10.0.1.2/24"),)), Surroundings(), Opened())


def test_what_a_host_cannot_do_is_said() -> None:
    """If this fails, an administrator does not learn why nothing is forwarded, or that packets leak."""
    full = wish(forwarding=Forwarding((LAN,), masquerade=True, offer_exit=True), kill_switch=True)
    rest, lost = without_firewall(full)
    assert rest == wish()
    assert len(lost) == 3
    assert any("kill switch is not in force" in line for line in lost)
    assert without_firewall(HostState("rustun0", 1500)) == (HostState("rustun0", 1500), ())
    said = warnings(full, Surroundings({LAN: ()}), (5, 4))
    for word in ("leads to 192.168.1.0/24", "has no default route", "Linux 5.7"):
        assert any(word in line for line in said), word
    assert warnings(full, AROUND, (5, 7)) == ()
