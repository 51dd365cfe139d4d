"""Where packets are sent and seen."""

from __future__ import annotations

from dataclasses import dataclass

from netlab.lab import TUN, Laboratory
from netlab.topology import OUTER_INTERFACE


@dataclass(frozen=True, slots=True)
class Tap:
    """An interface of a node.

    Attributes:
        gateway: the MAC address to send to, if any.
        sends: whether probes of this node leave here.
        counts: whether a probe that is seen here has come to this node.
        tunnel: whether it is a member's TUN device.
    """

    node: str
    interface: str
    gateway: bytes = b""
    sends: bool = False
    counts: bool = True
    tunnel: bool = False

    def __str__(self) -> str:
        return f"{self.node}:{self.interface}"


def inner_taps(lab: Laboratory) -> tuple[Tap, ...]:
    """Return a tap on each member's TUN device, and on both ends of each LAN host's cable.

    The gateway's end, not its bridge: a kernel with br_netfilter lets the firewall drop packets before the bridge.
    """
    taps = []
    for node in lab.topology.nodes:
        if node.role == "member":
            taps.append(Tap(node.name, TUN, sends=True, tunnel=True))
            taps += [Tap(node.name, port.name) for port in lab.topology.ports(node.name) if port.bridge]
        elif node.role == "host":
            behind = next(host.behind for host in lab.spec.hosts if host.name == node.name)
            taps.append(Tap(node.name, OUTER_INTERFACE, _gateway_mac(lab, node.name, behind), sends=True))
    return tuple(taps)


def outer_taps(lab: Laboratory) -> tuple[Tap, ...]:
    """Return a tap on each end of each cable of the outside, where packets are sealed."""
    hosts = {host.name for host in lab.spec.hosts}
    ends = (end for cable in lab.topology.cables if not any(end.node in hosts for end in cable) for end in cable)
    return tuple(Tap(end.node, end.name, counts=False) for end in ends)


def _gateway_mac(lab: Laboratory, host: str, behind: str) -> bytes:
    port = next(port for cable in lab.topology.cables for port, end in (cable,) if end.node == host)
    bridge = next(bridge for bridge in lab.topology.node(behind).bridges if bridge.index == port.bridge)
    return bytes.fromhex(bridge.mac.replace(":", ""))
