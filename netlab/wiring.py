"""Build a planned topology: one netlink batch for all cables, then one batch inside each namespace.

Addresses and routes belong to the namespace of the socket that names them (rtnetlink(7) has no field for another), so
one batch for everything is not to be had. One thread walks through all nodes; a whole laboratory is wired in some
hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from netlab import rtnetlink
from netlab.namespaces import NetworkNamespace, visit
from netlab.topology import LOOPBACK_INDEX, Cable, Node, Port, Topology


def build(topology: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Wire all nodes; `namespaces` holds one empty namespace for each node of the topology.

    Raises:
        LabError: the kernel refused a step; the namespaces are then half built and of no use.
    """
    lay(topology.cables, namespaces)
    visit((namespaces[node.name], partial(furnish, node, topology.ports(node.name))) for node in topology.nodes)


def lay(cables: Iterable[Cable], namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Put cables between nodes; nothing is plugged in or up yet. Raises LabError."""
    rtnetlink.send([rtnetlink.veth(_end(near, namespaces), _end(far, namespaces)) for near, far in cables], "cables")


def _end(port: Port, namespaces: Mapping[str, NetworkNamespace]) -> tuple[int, str, str, int]:
    return port.index, port.name, port.mac, namespaces[port.node].fileno()


def furnish(node: Node, ports: tuple[Port, ...]) -> None:
    """Inside a new node: kernel settings first, for what is made later and for its cables, which are there already."""
    for name, value in _settings(node, [port.name for port in ports]).items():
        Path("/proc/sys/net", name).write_text(value)
    rtnetlink.send(_steps(node, ports), node.name)


def _settings(node: Node, interfaces: Sequence[str]) -> dict[str, str]:
    forwards = "1" if node.forwards else "0"
    settings = {
        "ipv4/ip_forward": forwards,
        "ipv6/conf/all/forwarding": forwards,
        "ipv4/icmp_echo_ignore_broadcasts": "0",  # a broadcast that gets through must show
        "ipv4/icmp_ratelimit": "0",  # probes come faster than a patient kernel answers
        "ipv6/icmp/ratelimit": "0",
        "ipv4/ping_group_range": "0 0",
        "ipv4/tcp_orphan_retries": "3",  # what a dead process left unsent keeps the namespace for seconds, not for 100
    }
    for scope in ("all", "default", *interfaces):
        settings |= {
            f"ipv4/conf/{scope}/rp_filter": "0",  # a spoofed packet must be stopped by rustun, not by the receiver
            f"ipv4/conf/{scope}/send_redirects": "0",
            f"ipv6/conf/{scope}/accept_ra": "0",  # nobody asks for routers, now and then, for ever
            f"ipv6/conf/{scope}/accept_dad": "0",
        }
    return settings


def _steps(node: Node, ports: tuple[Port, ...]) -> list[bytes]:
    steps = [rtnetlink.bridge(bridge.index, bridge.name, bridge.mac) for bridge in node.bridges]
    steps += [rtnetlink.plug(port.index, port.bridge) for port in ports if port.bridge]
    steps.append(rtnetlink.up(LOOPBACK_INDEX))
    steps += [rtnetlink.address(LOOPBACK_INDEX, address) for address in node.loopback]
    for port in (*node.bridges, *ports):
        steps += raised(port)
    return steps + [rtnetlink.route(route.prefix, route.index, route.via) for route in node.routes]


def raised(port: Port) -> list[bytes]:
    """Return the messages that set an interface up and give it its addresses."""
    return [rtnetlink.up(port.index), *(rtnetlink.address(port.index, address) for address in port.addresses)]
