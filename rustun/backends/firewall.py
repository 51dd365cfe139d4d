"""One nftables table of the family inet that holds a wish: its text, a pure function.

Rules of this module
  1. The table is replaced as a whole, in one transaction; nothing outside of it is named. A drop in it is final
     whatever other tables say, and an accept in it only ends our own say: other firewalls go on to judge.
  2. Guard, always: a packet to an own tunnel address that comes by any interface but the tunnel's is dropped
     (CVE-2019-14899; wg-quick does the same). What the host sends to itself comes by `lo`.
  3. From the tunnel only what is offered is reached: `lans` by the interfaces that lead there; what a mapping covers
     by the address that members see, never by the real one; with `offer_exit` global unicast addresses by the
     uplinks, where metadata services and networks that the host is connected to are none. Connections that the host
     itself redirects from its tunnel address (published ports) are the host's own business. Into the tunnel: what the
     LANs send, and replies. All else is dropped. A host that offers nothing gets no such rules: what it forwards is its
     own business.
  4. Where we switched forwarding on, nothing is forwarded but from and to the tunnel. A bridge still passes frames
     between its ports, which this hook sees where br_netfilter is loaded; and another client on this host has a table
     of its own to judge its packets.
  5. Sources are kept, but where masquerading is wished, and always at the uplinks. It is matched by both interfaces:
     what the LAN itself sends is never translated.
  6. Prefix translation is stateful (conntrack), so errors inside ICMP are translated with it.
  7. Kill switch: a packet leaves by the tunnel, to a server's address and TCP port, as DHCP or neighbour discovery, or
     not at all. The last word is at postrouting: there the interface is final, also for packets that another table
     sends elsewhere by a mark. At output programs get an error at once instead of silence.
  8. Names of interfaces are quoted; they are matched by name, since interfaces come and go.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network
from typing import Final

from rustun.backends.base import Endpoint, Forwarding, HostState, Prefix
from rustun.backends.forwarding import EVERY, Opened
from rustun.backends.surroundings import Surroundings
from rustun.errors import HostError

FAMILY: Final = {4: "ip", 6: "ip6"}
# IANA special-purpose registries, what is not globally reachable or leads to an IPv4 address of another's choice
NOT_GLOBAL4: Final = tuple(
    IPv4Network(text)
    for text in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12")
    + ("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24")
    + ("203.0.113.0/24", "224.0.0.0/3", "168.63.129.16/32")  # the last: a cloud's platform service behind any gateway
)
GLOBAL6: Final = IPv6Network("2000::/3")
NOT_GLOBAL6: Final = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo, ORCHID; 6to4
)
MASQUERADE_KERNEL: Final = (5, 7)  # first whose postrouting hook knows the interface that a packet came by
NEIGHBOURS: Final = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report"
KILL_SWITCH: Final = "kill_switch"  # the chain that has the last word
DHCP6_SERVERS: Final = "ff02::1:2, fe80::/10"


def table_name(device: str) -> str:
    """Return the name of the table that belongs to a TUN device."""
    return "rustun-" + re.sub(r"[^A-Za-z0-9_.-]", lambda match: f"_{ord(match[0]):02x}", device)


def script(wished: HostState, around: Surroundings, opened: Opened) -> str:
    """Return what makes the host's table as wished, for `nft -f`; "" when no table is needed.

    Args:
        wished: what the client wants, with the own addresses that are accepted. Prefixes of `mapping` do not overlap.
        around: the host's interfaces.
        opened: where we switched forwarding on.

    Raises: HostError: an interface has a name that nft cannot be told.
    """
    chains = [
        *_chain("guard", "type filter hook prerouting priority raw", _guard(wished)),
        *_forwarding_chains(wished, around, opened),
        *_kill_switch_chains(wished),
    ]
    if not chains:
        return ""
    table = table_name(wished.device)
    return "\n".join(
        [f"add table inet {table}", f"delete table inet {table}", f"table inet {table} {{", *chains, "}", ""]
    )


def without_firewall(wished: HostState) -> tuple[HostState, tuple[str, ...]]:
    """Return what is left of a wish on a host that cannot have the table, and a line for each thing that is not."""
    lost = []
    if wished.addresses:
        lost.append("packets to the tunnel address are taken from every interface")
    if wished.forwarding != Forwarding():
        lost.append("nothing is forwarded: gateway, cider_mapping and offer_exit have no effect")
    if wished.kill_switch:
        lost.append("the kill switch is not in force: packets can leave beside the tunnel")
    return replace(wished, forwarding=Forwarding(), kill_switch=False), tuple(lost)


def warnings(wished: HostState, around: Surroundings, kernel: tuple[int, int]) -> tuple[str, ...]:
    """Return a line for each part of the wish that this host cannot follow; `kernel` is its version."""
    lines = [
        f"no interface of this host leads to {prefix}: nothing is forwarded there until one does"
        for prefix, names in around.ways.items()
        if not names
    ]
    if wished.forwarding.offer_exit and not any(around.uplinks.values()):
        lines.append("this host has no default route: nothing is forwarded as exit node until it has one")
    if (wished.forwarding.masquerade or wished.forwarding.offer_exit) and kernel < MASQUERADE_KERNEL:
        lines.append("masquerading needs Linux 5.7 or newer: packets from the tunnel leave with their own source")
    return tuple(lines)


def _chain(name: str, hook: str, rules: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a chain, of a base chain where it has a hook; none without rules."""
    lines = [f"    {rule}" for rule in rules]
    if lines:
        head = [f"    {hook}; policy accept;"] if hook else []
        yield from (f"  chain {name} {{", *head, *lines, "  }")


def _guard(wished: HostState) -> Iterator[str]:
    others = f'iifname != {{ "lo", {_quoted(wished.device)} }}'
    for match in _daddr(interface.ip for interface in wished.addresses):
        yield f'{others} {match} counter drop comment "to a tunnel address beside the tunnel"'


def _forwarding_chains(wished: HostState, around: Surroundings, opened: Opened) -> Iterator[str]:
    if wished.forwarding == Forwarding():
        return
    device = _quoted(wished.device)
    yield from _chain("seen_to_real", "type nat hook prerouting priority dstnat", _seen_to_real(wished))
    yield from _chain("from_tunnel", "", _from_tunnel(wished, around))
    yield from _chain("into_tunnel", "", _into_tunnel(around))
    yield from _chain("to_this_host", "", _to_this_host(wished))
    yield from _chain("forward", "type filter hook forward priority filter", _forward(wished, around, opened))
    yield from _chain("input", "type filter hook input priority filter", [f"iifname {device} goto to_this_host"])
    yield from _chain("real_to_seen", "type nat hook postrouting priority srcnat", _leaving(wished, around))


def _seen_to_real(wished: HostState) -> Iterator[str]:
    for version, family in FAMILY.items():
        if pairs := _pairs(wished, version, reverse=False):
            yield f"iifname {_quoted(wished.device)} dnat {family} prefix to {family} daddr map {{ {pairs} }}"


def _leaving(wished: HostState, around: Surroundings) -> Iterator[str]:
    """Yield the rules for sources: real to seen into the tunnel, and masquerading out of it."""
    device, forwarding = _quoted(wished.device), wished.forwarding
    for version, family in FAMILY.items():
        if pairs := _pairs(wished, version, reverse=True):
            yield f"oifname {device} snat {family} prefix to {family} saddr map {{ {pairs} }}"
    if not (forwarding.masquerade or forwarding.offer_exit):
        return
    verdict = "masquerade" if forwarding.masquerade else "accept"
    for prefix, names in _reachable(around):
        yield f"iifname {device} oifname {_set(names)} {_family(prefix)} daddr {prefix} {verdict}"
    for version, names in around.uplinks.items():
        if forwarding.offer_exit and names:
            yield f"iifname {device} oifname {_set(names)} meta nfproto ipv{version} masquerade"


def _from_tunnel(wished: HostState, around: Surroundings) -> Iterator[str]:
    yield "ct direction reply accept"
    for match in _daddr(interface.ip for interface in wished.addresses):
        yield f'ct status dnat ct original {match} accept comment "this host redirects it"'
    for match, real in _mapped(wished.forwarding):
        if names := around.ways.get(real):
            yield f"{match} oifname {_set(names)} accept"
    yield from _not_by_real_address(wished.forwarding)
    for prefix, names in _reachable(around, wished.forwarding.lans):
        yield f"{_family(prefix)} daddr {prefix} oifname {_set(names)} accept"
    for version, names in around.uplinks.items():
        if wished.forwarding.offer_exit and names:
            yield f"oifname {_set(names)} {_global(version, around.connected)} accept"
    yield 'counter drop comment "not offered to members"'


def _to_this_host(wished: HostState) -> Iterator[str]:
    """Yield what members reach on the host itself: its other addresses only as far as they are offered."""
    yield "ct direction reply accept"
    for match in _daddr(interface.ip for interface in wished.addresses):
        yield f"{match} accept"
    for match, _ in _mapped(wished.forwarding):
        yield f"{match} accept"
    yield from _not_by_real_address(wished.forwarding)
    for prefix in wished.forwarding.lans:
        yield f"{_family(prefix)} daddr {prefix} accept"
    yield 'counter drop comment "not offered to members"'


def _into_tunnel(around: Surroundings) -> Iterator[str]:
    yield "ct direction reply accept"
    for prefix, names in _reachable(around):
        yield f"iifname {_set(names)} {_family(prefix)} saddr {prefix} accept"
    yield 'counter drop comment "not from a network that is offered"'


def _forward(wished: HostState, around: Surroundings, opened: Opened) -> Iterator[str]:
    device = _quoted(wished.device)
    for side in ("iifname", "oifname"):
        yield f"{side} {device} tcp flags & (syn|rst) == syn tcp option maxseg size set rt mtu"
    yield f"iifname {device} goto from_tunnel"
    yield f"oifname {device} goto into_tunnel"
    if opened != Opened():
        for name in sorted(around.bridges):
            yield f"iifname {_quoted(name)} oifname {_quoted(name)} accept"
        for side in ("iifname", "oifname") if around.clients else ():
            yield f'{side} {_set(sorted(around.clients))} accept comment "judged by the table of that client"'
    for version, names in ((4, opened.ipv4), (6, opened.ipv6)):
        where = "" if EVERY in names else f"iifname {_set(sorted(names))} "
        if names:
            yield f'{where}meta nfproto ipv{version} counter drop comment "this host is no router"'


def _kill_switch_chains(wished: HostState) -> Iterator[str]:
    if not wished.kill_switch:
        return
    yield from _chain("outside", "", _outside(wished))
    refuse = ["jump outside", "counter reject with icmpx type admin-prohibited"]
    drop = ["jump outside", 'counter drop comment "beside the tunnel"']
    yield from _chain("kill_switch_output", "type filter hook output priority filter", refuse)
    yield from _chain(KILL_SWITCH, "type filter hook postrouting priority filter", drop)


def _outside(wished: HostState) -> Iterator[str]:
    device = _quoted(wished.device)
    yield f'oifname {{ "lo", {device} }} accept'
    if wished.forwarding != Forwarding():
        yield f'iifname {device} accept comment "judged by from_tunnel"'
    for version, family in FAMILY.items():
        if servers := _servers(wished.outside, version):
            yield f"{family} daddr . tcp dport {{ {servers} }} accept"
    yield "udp sport 68 udp dport 67 accept"
    yield f"ip6 daddr {{ {DHCP6_SERVERS} }} udp sport 546 udp dport 547 accept"
    yield f"icmpv6 type {{ {NEIGHBOURS} }} accept"


def _servers(servers: Iterable[Endpoint], version: int) -> str:
    found = [(ip_address(server.host.partition("%")[0]), server.port) for server in servers]
    return ", ".join(dict.fromkeys(f"{address} . {port}" for address, port in found if address.version == version))


def _mapped(forwarding: Forwarding) -> Iterator[tuple[str, Prefix]]:
    """Yield the match for packets that were addressed to the seen side, and the real side."""
    for seen, real in forwarding.mapping:
        yield f"ct original {_family(seen)} daddr {seen} {_family(real)} daddr {real}", real


def _not_by_real_address(forwarding: Forwarding) -> Iterator[str]:
    for _, real in forwarding.mapping:
        yield f'{_family(real)} daddr {real} counter drop comment "real side of a mapping"'


def _reachable(
    around: Surroundings, only: Collection[Prefix] | None = None
) -> Iterator[tuple[Prefix, tuple[str, ...]]]:
    """Yield the prefixes, of `only` where given, that some interface leads to."""
    for prefix, names in around.ways.items():
        if names and (only is None or prefix in only):
            yield prefix, names


def _global(version: int, connected: Iterable[Prefix]) -> str:
    """Return the match for addresses of the Internet, without networks that this host is connected to."""
    own = [prefix for prefix in connected if prefix.version == version]
    if version == 4:
        excluded: Iterable[Prefix] = collapse_addresses([*NOT_GLOBAL4, *own])  # type: ignore[type-var]  # one version
        return f"ip daddr != {{ {_list(excluded)} }}"
    inside = [prefix for prefix in own if prefix.subnet_of(GLOBAL6)]  # type: ignore[arg-type]
    excluded = collapse_addresses([*NOT_GLOBAL6, *inside])  # type: ignore[type-var]
    return f"ip6 daddr {GLOBAL6} ip6 daddr != {{ {_list(excluded)} }}"


def _pairs(wished: HostState, version: int, reverse: bool) -> str:
    pairs = [pair for pair in wished.forwarding.mapping if pair[0].version == version]
    return ", ".join(f"{real} : {seen}" if reverse else f"{seen} : {real}" for seen, real in pairs)


def _daddr(addresses: Iterable[object]) -> Iterator[str]:
    """Yield a match for destinations of each version among the addresses."""
    networks = [ip_network(str(address)) for address in addresses]
    for version, family in FAMILY.items():
        if own := [str(network.network_address) for network in networks if network.version == version]:
            yield f"{family} daddr {{ {', '.join(own)} }}"


def _family(prefix: Prefix) -> str:
    return FAMILY[prefix.version]


def _list(prefixes: Iterable[Prefix]) -> str:
    return ", ".join(str(prefix) for prefix in prefixes)


def _set(names: Iterable[str]) -> str:
    return f"{{ {', '.join(_quoted(name) for name in names)} }}"


def _quoted(name: str) -> str:
    """Return an interface's name as nft reads it: a last * would stand for any letters."""
    if '"' in name or "\\" in name:
        raise HostError(f"nft cannot be told the interface {name}", "give it a name of letters and digits")
    return f'"{name[:-1]}\\*"' if name.endswith("*") else f'"{name}"'
