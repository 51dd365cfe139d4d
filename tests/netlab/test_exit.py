"""An exit node, and a kill switch with a leak detector on the outside, on the real kernel.

                 rustun0                        eth0  9.9.9.2           9.9.9.1   8.8.8.8, 10.9.9.9, ...
      member --------------- exit node ------------------------------------------ internet
      10.0.1.1      10.0.1.2        \\                2a00:9::2       2a00:9::1   2001:4860::8, fd99::1, ...
                                     eth1 --- guest 172.16.5.7
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from netlab.worlds.site import DEVICE, Machine, Tap, arrived_nowhere, cable, dropped, exchange, transfer, tunnel
from rustun.backends.base import Endpoint, Forwarding, HostState
from tests.netlab.own_world import in_own_world

SERVER4, SERVER6, PORT = "8.8.4.4", "2a00:8::4", 8080
GLOBAL = ("8.8.8.8", "2001:4860::8")
NOT_GLOBAL = ("10.9.9.9", "169.254.169.254", "168.63.129.16", "192.168.77.7", "100.100.100.200", "fd99::1", "2002:a::1")
WISH = HostState(DEVICE, 1500, (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")))
EXIT = replace(WISH, forwarding=Forwarding(offer_exit=True))
KILL_SWITCH = replace(WISH, kill_switch=True, outside=(Endpoint(SERVER4, PORT), Endpoint(SERVER6, PORT)))
UNOFFERED = "not offered to members"
NODE_MAC = "02:00:00:00:00:09"
REPLACED = 20
LINK_LAYERS = (ARP, ICMPv6ND_RS, ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6MLReport2)


class Internet:
    """The machines of the picture above."""

    def __init__(self) -> None:
        self.member, self.node, self.internet, self.guest = map(Machine, ("member", "node", "internet", "guest"))
        tunnel(self.node, self.member)
        cable(self.node, "eth0", self.internet, "eth0")
        cable(self.node, "eth1", self.guest, "eth0")
        self.member.interface(DEVICE, "10.0.1.1/24", "fd00:1::1/64")
        self.node.interface(DEVICE, "10.0.1.2/24", "fd00:1::2/64")
        self.node.ip(f"link set eth0 address {NODE_MAC}")
        self.node.interface("eth0", "9.9.9.2/24", "2a00:9::2/64")
        self.node.interface("eth1", "172.16.5.1/24")
        self.internet.interface("eth0", "9.9.9.1/24", "2a00:9::1/64")
        self.internet.interface("lo", *(f"{text}/128" if ":" in text else f"{text}/32" for text in everywhere()))
        self.guest.interface("eth0", "172.16.5.7/24")
        self.guest.routes(default="172.16.5.1")
        self.member.routes(**{"default": "10.0.1.2", "::/0": "fd00:1::2"})
        self.node.routes(**{"default": "9.9.9.1", "::/0": "2a00:9::1"})
        self.internet.routes(**{"10.0.1.0/24": "9.9.9.2"})


def everywhere() -> tuple[str, ...]:
    return (*GLOBAL, *NOT_GLOBAL, SERVER4, SERVER6)


@in_own_world
def test_an_exit_node_leads_to_the_internet_alone(tmp_path: Path) -> None:
    """If this fails, members cannot leave by an exit node, or reach the network and the cloud it stands in."""
    world = Internet()
    world.node.wish(EXIT)
    assert exchange(world.member, world.internet, "8.8.8.8") == ("9.9.9.2", "8.8.8.8")
    assert transfer(world.member, world.internet, "8.8.8.8") == ("9.9.9.2", "8.8.8.8")
    assert transfer(world.member, world.internet, "2001:4860::8") == ("2a00:9::2", "2001:4860::8")
    assert exchange(world.member, world.node, "10.0.1.2") == ("10.0.1.1", "10.0.1.2")
    connected = ("9.9.9.1", "9.9.9.2", "172.16.5.7", "172.16.5.1", "2a00:9::1", "2a00:9::2")
    with Tap(world.internet, "eth0", incoming=True) as outside, Tap(world.guest, "eth0", incoming=True) as inside:
        for address in (*NOT_GLOBAL, *connected):
            dropped(world.node, world.member, address, UNOFFERED)
        assert exchange(world.internet, world.node, "9.9.9.2")[0] == "9.9.9.1"
        assert exchange(world.node, world.guest, "172.16.5.7")[0] == "172.16.5.1"
        arrived_nowhere(outside, inside)


@in_own_world
def test_a_network_of_the_exit_node_that_is_offered_sees_members_as_they_are(tmp_path: Path) -> None:
    """If this fails, a gateway that is an exit node as well hides its members in its own LAN."""
    world = Internet()
    world.node.wish(replace(WISH, forwarding=Forwarding((ip_network("9.9.9.0/24"),), offer_exit=True)))
    assert exchange(world.member, world.internet, "9.9.9.1") == ("10.0.1.1", "9.9.9.1")
    assert exchange(world.member, world.internet, "8.8.8.8") == ("9.9.9.2", "8.8.8.8")


@in_own_world
def test_nothing_leaves_beside_the_tunnel(tmp_path: Path) -> None:
    """If this fails, packets leave in clear with the kill switch on."""
    world = Internet()
    node, internet = world.node, world.internet
    route_by_policy(node)
    exchange(node, internet, "9.9.9.1")
    exchange(node, internet, "2a00:9::1")
    with Tap(internet, "eth0") as detector:
        kinds = attempts(node, world.guest)
        for kind in kinds:  # without the kill switch the detector sees each
            detector.until(partial(is_kind, kind))
        node.wish(KILL_SWITCH)
        for device in (True, False):  # the client lives; it was killed, and its device with it
            detector.now().clear()
            assert attempts(node, world.guest) == kinds
            for server in (SERVER4, SERVER6):
                assert transfer(node, internet, server, PORT)[1] == server
            assert {kind_of(packet) for packet in detector.now()} == {"", "dhcp"}
            if device:
                assert exchange(node, world.member, "10.0.1.1")[1] == "10.0.1.1"
                node.ip(f"link del {DEVICE}")


@in_own_world
def test_a_kill_switch_that_is_replaced_has_no_gap(tmp_path: Path) -> None:
    """If this fails, packets leave in clear at each change of what a host with a kill switch wishes."""
    world = Internet()
    node, internet, ended, sent = world.node, world.internet, threading.Event(), [0]
    exchange(node, internet, "9.9.9.1")

    def send() -> None:
        while not ended.is_set():
            send_datagram("9.9.9.1", 5353)
            sent[0] += 1

    with Tap(internet, "eth0") as detector:
        sending = threading.Thread(target=node.do, args=(send,))
        sending.start()
        try:
            detector.until(partial(is_kind, "udp 9.9.9.1 5353"))
            node.wish(KILL_SWITCH)
            detector.now().clear()
            before = sent[0]
            for turn in range(REPLACED):
                node.wish(replace(KILL_SWITCH, outside=KILL_SWITCH.outside[turn % 2 :]))
        finally:
            ended.set()
            sending.join()
        assert sent[0] - before > 10 * REPLACED, "too little was sent for a gap to be seen"
        assert transfer(node, internet, SERVER6, PORT)[1] == SERVER6
        assert {kind_of(packet) for packet in detector.now()} == {""}


@in_own_world
def test_the_kill_switch_tells_programs_at_once_and_spares_a_gateway(tmp_path: Path) -> None:
    """If this fails, programs wait for minutes for what cannot come, or a gateway with a kill switch is none."""
    world = Internet()
    lan = ip_network("172.16.5.0/24")
    world.node.wish(replace(KILL_SWITCH, forwarding=Forwarding((lan,))))
    assert exchange(world.member, world.guest, "172.16.5.7") == ("10.0.1.1", "172.16.5.7")
    assert exchange(world.guest, world.member, "10.0.1.1") == ("172.16.5.7", "10.0.1.1")
    for address in GLOBAL:
        with pytest.raises(OSError, match="refused|unreachable|No route|denied"):
            world.node.connect(address, 443)
    dropped(world.node, world.guest, "8.8.8.8", "this host is no router")


def route_by_policy(node: Machine) -> None:
    """Have the node forward, and send one destination into the tunnel, from which a mark takes it back outside."""
    node.set(**{"net/ipv4/ip_forward": "1"})
    node.ip("route add 8.8.8.9 dev rustun0", "route add default via 9.9.9.1 table 77", "rule add fwmark 7 lookup 77")
    chain = "type route hook output priority mangle\n udp dport 7777 meta mark set 7"
    node.run("nft", "-f", "-", text=f"table ip bypass {{\n chain c {{\n {chain}\n }}\n }}\n")


def attempts(node: Machine, guest: Machine) -> set[str]:
    """Try to leave in every way; return what an observer outside calls these packets."""
    kinds = set()
    datagrams = [("8.8.8.8", 53), ("9.9.9.1", 5353), (SERVER4, PORT), ("255.255.255.255", 999), ("224.0.0.251", 5353)]
    datagrams += [("2001:4860::8", 53), ("2a00:9::1", 5353), (SERVER6, PORT), ("ff02::fb", 5353), ("8.8.8.9", 7777)]
    for address, port in datagrams:
        node.do(partial(send_datagram, address, port))
        kinds.add(f"udp {address} {port}")
    connections = [("8.8.8.8", 443), ("2001:4860::8", 443), (SERVER4, 22), (SERVER6, 22), ("9.9.9.1", PORT)]
    for address, port in connections:
        node.do(partial(start_connecting, address, port))
        kinds.add(f"tcp {address} {port}")
    packets = (
        ("ip 8.8.8.8 1", IP(dst="8.8.8.8", src="9.9.9.2") / ICMP()),
        ("udp 8.8.8.8 1111", IP(dst="8.8.8.8", src="192.0.2.1") / UDP(dport=1111)),
        ("ip 2001:4860::8 58", IPv6(dst="2001:4860::8", src="2a00:9::2") / ICMPv6EchoRequest()),
    )
    for kind, packet in packets:
        node.do(partial(send_as_it_is, packet))
        kinds.add(kind)
    guest.do(partial(send_datagram, "8.8.8.8", 6666))
    node.do(partial(send_datagram, "255.255.255.255", 67, 68))
    return kinds | {"udp 8.8.8.8 6666", "dhcp"}


def send_datagram(address: str, port: int, source_port: int = 0) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.bind(("", source_port))
        scope = (0, socket.if_nametoindex("eth0")) if address.startswith("ff") else ()
        with suppress(PermissionError):  # what the kernel says to whoever is refused
            sender.sendto(b"in clear", (address, port, *scope))


def start_connecting(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.setblocking(False)
        client.connect_ex((address, port))


def send_as_it_is(packet: Packet) -> None:
    """Send a packet as a program does that makes its own headers."""
    family = socket.AF_INET if IP in packet else socket.AF_INET6
    with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender, suppress(PermissionError):
        sender.sendto(bytes(packet), (packet.dst, 0))


def is_kind(kind: str, packet: Packet) -> bool:
    return kind_of(packet) == kind


def kind_of(packet: Packet) -> str:
    """Return what left the node, "" for connections to servers and for what stays on the link."""
    if packet[Ether].src != NODE_MAC or any(packet.haslayer(layer) for layer in LINK_LAYERS):
        return ""
    network = packet[IP] if IP in packet else packet[IPv6]
    if TCP in packet:
        allowed = network.dst in (SERVER4, SERVER6) and packet[TCP].dport == PORT
        return "" if allowed else f"tcp {network.dst} {packet[TCP].dport}"
    if UDP in packet:
        dhcp = (packet[UDP].sport, packet[UDP].dport) == (68, 67)
        return "dhcp" if dhcp else f"udp {network.dst} {packet[UDP].dport}"
    return f"ip {network.dst} {network.proto if IP in packet else network.nh}"
