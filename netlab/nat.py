"""What NAT routers do to IPv4, as nft rules.

    kind        mapping (RFC 4787, section 4)       filtering (section 5)
    open        endpoint-independent                endpoint-independent: who knows the mapping gets in
    moderate    endpoint-independent                address- and port-dependent: only who was asked gets in
    strict      address- and port-dependent         the same

Rules of this module
  1. Linux's masquerade keeps a port, for all destinations, while nobody else behind the router has it: moderate.
     A new random port for each connection is strict.
  2. For open, each mapping is noted with its owner when a packet leaves, and what comes in for its port is led there.
     Where two behind the router leave by the same port, the first keeps what comes in.
  3. A mapping ends after silence, on either kernel table: that of connections, and that of an open router's notes.
  4. What comes in unasked is dropped in silence, as most routers do; IPv6 is filtered alike, and not translated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Final

from netlab.errors import EnvironmentLacks
from netlab.namespaces import NetworkNamespace, visit
from netlab.topology import OUTER_INTERFACE, Topology
from rustun.backends import nft
from rustun.errors import RustunError
from rustun.ops.lab.records import LabNat

KERNEL_UDP_TIMEOUT_S: Final = 120  # nf_conntrack_udp_timeout_stream, of a mapping that was answered
KERNEL_TCP_TIMEOUT_S: Final = 432_000  # nf_conntrack_tcp_timeout_established, five days
MOST_MAPPINGS: Final = 65_535  # ports
_EMPTIED: Final = "table inet nat\ndelete table inet nat\n"  # whether or not there was one
_OUTSIDE: Final = f'"{OUTER_INTERFACE}"'


def set_up(topology: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Make routers of all nodes that are planned as such.

    Raises:
        EnvironmentLacks: nft is missing, or the kernel lacks a part of it.
    """
    follow(frozenset(), topology, namespaces)


def follow(routers_before: Collection[LabNat], topology: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Let the routers that are not as they were before do what is planned now. Raises EnvironmentLacks."""
    changed = [(node.name, node.nat) for node in topology.nodes if node.nat and node.nat not in routers_before]
    routers = [(namespaces[name], partial(nft.load, f"{_EMPTIED}{rules(one)}")) for name, one in changed]
    try:
        visit(routers)
    except RustunError as error:
        raise EnvironmentLacks(f"NAT routers: {error.message}", error.remedy) from error


def rules(nat: LabNat) -> str:
    """Return the nft script that makes a router of a node whose way outside is its `eth0`."""
    parts = (*_timeouts(nat), *_translation(nat), *_filtering(nat))
    return "\n".join(("table inet nat {", *parts, "}", ""))


def _timeouts(nat: LabNat) -> Iterator[str]:
    policies = []
    if nat.udp_timeout_s:
        policies.append(("udp", f"unreplied : {nat.udp_timeout_s}, replied : {nat.udp_timeout_s}"))
    if nat.tcp_timeout_s:
        policies.append(("tcp", f"established : {nat.tcp_timeout_s}"))
    for protocol, policy in policies:
        yield f"  ct timeout {protocol}_silence {{ protocol {protocol}; l3proto ip; policy = {{ {policy} }}; }}"
    if policies:
        yield "  chain timeouts {"  # of a connection that is known but not yet confirmed: it keeps them
        yield "    type filter hook prerouting priority mangle;"
        for protocol, _ in policies:
            yield f'    meta nfproto ipv4 meta l4proto {protocol} ct timeout set "{protocol}_silence"'
        yield "  }"


def _translation(nat: LabNat) -> Iterator[str]:
    if nat.kind == "open":
        yield from _notes("udp", nat.udp_timeout_s or KERNEL_UDP_TIMEOUT_S)
        yield from _notes("tcp", nat.tcp_timeout_s or KERNEL_TCP_TIMEOUT_S)
    yield "  chain outwards {"
    yield "    type nat hook postrouting priority srcnat;"
    how = " random,fully-random" if nat.kind == "strict" else ""
    yield f"    oifname {_OUTSIDE} meta nfproto ipv4 masquerade{how}"
    yield "  }"


def _notes(protocol: str, seconds: int) -> Iterator[str]:
    """Yield the table of an open router's mappings for one protocol: port outside -> address and port inside."""
    notes = f"{protocol}_mappings"
    yield f"  map {notes} {{"
    yield f"    type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; size {MOST_MAPPINGS};"
    yield f"    timeout {seconds}s;"
    yield "  }"
    yield f"  chain {protocol}_inwards {{"
    yield "    type nat hook prerouting priority dstnat;"
    yield f"    iifname {_OUTSIDE} meta nfproto ipv4 dnat ip to {protocol} dport map @{notes}"
    yield "  }"
    yield f"  chain {protocol}_noted {{"  # behind the translation: the port is the one outside
    yield "    type filter hook postrouting priority srcnat + 1;"
    for direction in ("original", "reply"):  # of who asked, and of who answers what came in by a mapping
        inside = f"ct {direction} ip saddr . ct {direction} proto-src"
        yield f"    oifname {_OUTSIDE} ct direction {direction} update @{notes} {{ {protocol} sport : {inside} }}"
    yield "  }"


def _filtering(nat: LabNat) -> Iterator[str]:
    yield "  chain through {"
    yield "    type filter hook forward priority filter;"
    if nat.kind == "open":
        yield f"    iifname {_OUTSIDE} ct status dnat accept"
        yield f"    iifname {_OUTSIDE} meta nfproto ipv6 accept"
    yield f"    iifname {_OUTSIDE} ct state {{ new, invalid }} drop"
    yield "  }"
    yield "  chain to_itself {"
    yield "    type filter hook input priority filter;"
    yield f"    iifname {_OUTSIDE} meta l4proto {{ tcp, udp }} ct state {{ new, invalid }} drop"
    yield "  }"
