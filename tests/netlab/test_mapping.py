"""Two sites with one range of addresses in one cluster: prefix translation on the real kernel, errors included.

      a   192.168.10.5                                              192.168.10.7  b
      seen as 192.168.11.5, fd11::5                  seen as 192.168.12.7, fd12::7
          |                                                              |
       site-a  10.0.1.1  ----------------- rustun0 ----------------- 10.0.1.2  site-b
"""

from __future__ import annotations

from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, IPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPerror6, IPv6
from scapy.packet import Packet

from netlab.worlds.site import DEVICE, Machine, Tap, cable, exchange, transfer, tunnel
from rustun.backends.base import Forwarding, HostState
from tests.netlab.own_world import in_own_world

CLOSED_PORT = 9
REAL_SIDE = "real side of a mapping"


def wish(number: int) -> HostState:
    """Return what the gateway of a site wants: it stands in front of the range, seen by a number of its own."""
    real = ip_network("192.168.10.0/24"), ip_network("fd10::/64")
    seen = ip_network(f"192.168.1{number}.0/24"), ip_network(f"fd1{number}::/64")
    second = ip_network(f"192.168.2{number}.0/28"), ip_network("192.168.20.0/28")
    addresses = ip_interface(f"10.0.1.{number}/24"), ip_interface(f"fd00:1::{number}/64")
    mapping = (*zip(seen, real, strict=True), second)
    return HostState(DEVICE, 1500, addresses, forwarding=Forwarding((*real, second[1]), mapping=mapping))


class Sites:
    """The machines of the picture above."""

    def __init__(self) -> None:
        self.gateways = Machine("site-a"), Machine("site-b")
        self.a, self.b = Machine("a"), Machine("b")
        tunnel(*self.gateways)
        for number, gateway, host in ((1, self.gateways[0], self.a), (2, self.gateways[1], self.b)):
            cable(gateway, "eth1", host, "eth0")
            gateway.interface(DEVICE, f"10.0.1.{number}/24", f"fd00:1::{number}/64")
            gateway.interface("eth1", "192.168.10.1/24", "192.168.20.1/28", "fd10::1/64")
            last = 5 if host is self.a else 7
            host.interface("eth0", f"192.168.10.{last}/24", f"192.168.20.{last}/28", f"fd10::{last}/64")
            host.routes(**{"default": "192.168.10.1", "::/0": "fd10::1"})
            far = 3 - number
            for prefix in (f"192.168.1{far}.0/24", f"192.168.2{far}.0/28"):
                gateway.routes(**{prefix: f"10.0.1.{far}"})
            gateway.routes(**{f"fd1{far}::/64": f"fd00:1::{far}"})
            gateway.wish(wish(number))


@in_own_world
def test_two_sites_of_one_range_reach_each_other(tmp_path: Path) -> None:
    """If this fails, two offices whose routers came with the same addresses cannot be in one cluster."""
    sites = Sites()
    for seen, real, source in (
        ("192.168.12.7", "192.168.10.7", "192.168.11.5"),
        ("fd12::7", "fd10::7", "fd11::5"),
        ("192.168.22.7", "192.168.20.7", "192.168.11.5"),
    ):
        assert exchange(sites.a, sites.b, seen, bound=real) == (source, seen)
        assert transfer(sites.a, sites.b, seen, bound=real) == (source, seen)
        sites.a.run("ping", "-c1", "-W5", seen)
    assert transfer(sites.b, sites.a, "192.168.11.5", bound="192.168.10.5") == ("192.168.12.7", "192.168.11.5")
    assert exchange(sites.b, sites.a, "fd11::5", bound="fd10::5") == ("fd12::7", "fd11::5")
    gateway = sites.gateways[1]
    assert exchange(sites.a, gateway, "192.168.12.1", bound="192.168.10.1") == ("192.168.11.5", "192.168.12.1")


@in_own_world
def test_errors_inside_icmp_speak_of_the_addresses_that_the_receiver_knows(tmp_path: Path) -> None:
    """If this fails, a closed port is a timeout, and a narrow path swallows transfers, between mapped sites."""
    sites = Sites()
    for address, source in (("192.168.12.7", "192.168.10.5"), ("fd12::7", "fd10::5")):
        seen = source.replace("192.168.10.", "192.168.11.").replace("fd10:", "fd11:")
        with Tap(sites.a, "eth0") as at_a, Tap(sites.gateways[0], DEVICE) as between:
            with sites.a.udp("::" if ":" in address else "0.0.0.0") as client:
                client.connect((address, CLOSED_PORT))
                client.send(b"is anybody there?")
                with pytest.raises(ConnectionRefusedError):
                    client.recv(1)
            assert quoted(at_a.until(is_unreachable)) == (address, source, source, address, CLOSED_PORT)
            assert quoted(between.until(is_unreachable)) == (address, seen, seen, address, CLOSED_PORT)


def is_unreachable(packet: Packet) -> bool:
    return (ICMP in packet and packet[ICMP].type == 3) or ICMPv6DestUnreach in packet


def quoted(packet: Packet) -> tuple[str, str, str, str, int]:
    """Return source and destination of an error, then source, destination and port of the packet inside it."""
    outer, inner = (packet[IP], packet[IPerror]) if IP in packet else (packet[IPv6], packet[IPerror6])
    fresh = outer.copy()
    if IP in packet:
        del fresh.chksum, fresh[ICMP].chksum, fresh[IPerror].chksum
        parts = [(layer.chksum, IP(bytes(fresh))[type(layer)].chksum) for layer in (outer, packet[ICMP], inner)]
    else:
        del fresh[ICMPv6DestUnreach].cksum
        parts = [(packet[ICMPv6DestUnreach].cksum, IPv6(bytes(fresh))[ICMPv6DestUnreach].cksum)]
    assert all(found == right for found, right in parts), parts
    return outer.src, outer.dst, inner.src, inner.dst, inner[UDPerror].dport


@in_own_world
def test_the_real_side_is_not_reached_by_its_own_address(tmp_path: Path) -> None:
    """If this fails, a hostile server reaches a LAN by addresses that its gateway offers to nobody."""
    sites = Sites()
    sender, gateway = sites.gateways
    sender.run("nft", "delete", "table", "inet", f"rustun-{DEVICE}")
    sender.ip("address flush dev eth1")
    sender.routes(**{"192.168.10.0/24": "10.0.1.2", "fd10::/64": "fd00:1::2"})
    with Tap(sites.b, "eth0") as at_b:
        for address in ("192.168.10.7", "fd10::7", "192.168.10.1"):
            seen = "fd12::7" if ":" in address else "192.168.12.7"
            before = gateway.counted(REAL_SIDE)
            with sender.udp("::" if ":" in address else "0.0.0.0") as client:
                client.sendto(b"directly", (address, CLOSED_PORT))
                client.sendto(after := f"after {address}".encode(), (seen, CLOSED_PORT))
            at_b.until(partial(ends_with, after))
            assert gateway.counted(REAL_SIDE) == before + 1
        assert not any(b"directly" in bytes(packet) for packet in at_b.now())


def ends_with(end: bytes, packet: Packet) -> bool:
    return bytes(packet).endswith(end)
