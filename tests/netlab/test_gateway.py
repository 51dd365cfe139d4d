"""A gateway's rules and settings on the real kernel: who reaches whom, and with which source.

              10.0.1.1   rustun0   10.0.1.2      eth1  192.168.1.1     192.168.1.7
      member ------------------------ gateway ------------------------------ lan
              fd00:1::1            fd00:1::2    |      fd77::1         fd77::7
                                           eth2 |  172.16.5.1          172.16.5.7
                                                +---------------------------- other
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from ipaddress import ip_interface, ip_network
from pathlib import Path
from time import monotonic

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6ND_RA, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netlab.worlds.host_picture import assert_same, host_picture
from netlab.worlds.site import (
    DEVICE,
    PATIENCE_S,
    Machine,
    Tap,
    arrived_nowhere,
    cable,
    dropped,
    exchange,
    transfer,
    tunnel,
)
from rustun.backends import nft
from rustun.backends.base import Forwarding, HostState
from rustun.backends.firewall import script, table_name
from rustun.backends.forwarding import needed, opened, read_settings, undone, write_setting
from rustun.backends.process import harden
from rustun.backends.rtnetlink import RouteSocket
from rustun.backends.surroundings import survey
from rustun.errors import HostError, RightsError
from tests.netlab.own_world import in_own_world
from tests.netlab.private_namespace import drop_capabilities, in_private_namespace

LANS = (ip_network("192.168.1.0/24"), ip_network("fd77::/64"))
WISH = HostState(DEVICE, 1500, (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")))
GATEWAY = replace(WISH, forwarding=Forwarding(LANS))
LAN_MAC, LAN_LINK_LOCAL = "02:00:00:00:00:77", "fe80::ff:fe00:77"
UNOFFERED, UNASKED, BESIDE, NO_ROUTER = (
    "not offered to members",
    "not from a network that is offered",
    "to a tunnel address beside the tunnel",
    "this host is no router",
)


class Site:
    """The machines of the picture above; the gateway does nothing yet."""

    def __init__(self, tunnel_mtu: int = 1500) -> None:
        self.member, self.gateway = Machine("member"), Machine("gateway")
        self.lan, self.other = Machine("lan"), Machine("other")
        tunnel(self.gateway, self.member, tunnel_mtu)
        cable(self.gateway, "eth1", self.lan, "eth0")
        cable(self.gateway, "eth2", self.other, "eth0")
        self.member.interface(DEVICE, "10.0.1.1/24", "fd00:1::1/64")
        self.gateway.interface(DEVICE, "10.0.1.2/24", "fd00:1::2/64")
        self.gateway.interface("eth1", "192.168.1.1/24", "fd77::1/64")
        self.gateway.interface("eth2", "172.16.5.1/24", "fd88::1/64")
        self.lan.ip(f"link set eth0 address {LAN_MAC}")
        self.lan.interface("eth0", "192.168.1.7/24", "fd77::7/64")
        self.other.interface("eth0", "172.16.5.7/24", "fd88::7/64")
        self.member.routes(**{"default": "10.0.1.2", "::/0": "fd00:1::2"})
        self.lan.routes(**{"default": "192.168.1.1", "::/0": "fd77::1"})
        self.other.routes(**{"default": "172.16.5.1", "::/0": "fd88::1"})


@in_own_world
def test_members_reach_the_lan_and_are_seen_as_they_are(tmp_path: Path) -> None:
    """If this fails, nobody reaches the LAN behind a gateway, or everybody looks the same there."""
    site = Site()
    assert site.gateway.wish(GATEWAY)
    assert exchange(site.member, site.lan, "192.168.1.7") == ("10.0.1.1", "192.168.1.7")
    assert exchange(site.member, site.lan, "fd77::7") == ("fd00:1::1", "fd77::7")
    assert transfer(site.member, site.lan, "192.168.1.7") == ("10.0.1.1", "192.168.1.7")
    assert transfer(site.member, site.lan, "fd77::7") == ("fd00:1::1", "fd77::7")
    assert transfer(site.lan, site.member, "10.0.1.1") == ("192.168.1.7", "10.0.1.1")
    assert exchange(site.lan, site.member, "fd00:1::1") == ("fd77::7", "fd00:1::1")
    assert exchange(site.member, site.gateway, "192.168.1.1") == ("10.0.1.1", "192.168.1.1")
    assert exchange(site.member, site.gateway, "10.0.1.2") == ("10.0.1.1", "10.0.1.2")
    assert exchange(site.gateway, site.lan, "192.168.1.7")[0] == "192.168.1.1"
    site.member.run("ping", "-c1", "-W5", "192.168.1.7")
    site.member.run("ping", "-c1", "-W5", "fd77::7")


@in_own_world
def test_masquerading_hides_members_and_nobody_else(tmp_path: Path) -> None:
    """If this fails, LAN hosts cannot answer, or the LAN's own traffic gets the gateway's address."""
    site = Site()
    site.gateway.set(**{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"})  # it is the LAN's router, too
    site.gateway.wish(replace(GATEWAY, forwarding=Forwarding(LANS, masquerade=True)))
    assert exchange(site.member, site.lan, "192.168.1.7") == ("192.168.1.1", "192.168.1.7")
    assert transfer(site.member, site.lan, "fd77::7") == ("fd77::1", "fd77::7")
    assert exchange(site.lan, site.member, "10.0.1.1") == ("192.168.1.7", "10.0.1.1")
    assert exchange(site.lan, site.other, "172.16.5.7") == ("192.168.1.7", "172.16.5.7")
    assert exchange(site.other, site.lan, "192.168.1.7") == ("172.16.5.7", "192.168.1.7")
    assert transfer(site.other, site.lan, "fd77::7") == ("fd88::7", "fd77::7")


@in_own_world
def test_nothing_else_gets_through(tmp_path: Path) -> None:
    """If this fails, a member reaches networks that are not offered, or the LAN's neighbour the tunnel."""
    site = Site()
    site.gateway.wish(GATEWAY)
    ends = ((site.member, DEVICE), (site.lan, "eth0"), (site.other, "eth0"))
    with ExitStack() as stack:
        taps = [stack.enter_context(Tap(machine, name, incoming=True)) for machine, name in ends]
        itself = stack.enter_context(site.gateway.udp("::", 9000))
        for address in ("172.16.5.7", "172.16.5.1", "fd88::7", "fd88::1"):
            dropped(site.gateway, site.member, address, UNOFFERED)
        for here, address in ((site.lan, "10.0.1.2"), (site.other, "fd00:1::2")):
            dropped(site.gateway, here, address, BESIDE)
        for address in ("172.16.5.7", "fd88::7"):
            dropped(site.gateway, site.lan, address, NO_ROUTER)
        site.gateway.set(**{"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"})
        for address in ("10.0.1.1", "fd00:1::1"):
            dropped(site.gateway, site.other, address, UNASKED)
        site.gateway.wish(GATEWAY)  # the same wish, now that others made it a router
        assert exchange(site.lan, site.other, "172.16.5.7") == ("192.168.1.7", "172.16.5.7")
        assert exchange(site.member, site.lan, "192.168.1.7") == ("10.0.1.1", "192.168.1.7")
        with site.member.udp() as sender:
            sender.sendto(b"for you", ("10.0.1.2", 9000))
        assert itself.recv(100) == b"for you", "the first that the gateway itself was given"
        arrived_nowhere(*taps)


@in_own_world
def test_what_the_host_itself_redirects_from_its_tunnel_address(tmp_path: Path) -> None:
    """If this fails, a container's published port is out of the members' reach on a gateway."""
    site = Site()
    site.gateway.set(**{"net/ipv4/ip_forward": "1"})
    site.gateway.wish(GATEWAY)
    rule = "ip daddr 10.0.1.2 udp dport 9000 dnat ip to 172.16.5.7"
    chain = f"chain c {{\n type nat hook prerouting priority dstnat - 1\n {rule}\n }}"
    site.gateway.run("nft", "-f", "-", text=f"table inet engine {{\n {chain}\n }}\n")
    assert exchange(site.member, site.other, "10.0.1.2", bound="172.16.5.7") == ("10.0.1.1", "10.0.1.2")
    dropped(site.gateway, site.member, "172.16.5.7", UNOFFERED)


@in_own_world
def test_segments_fit_the_tunnel(tmp_path: Path) -> None:
    """If this fails, transfers through a gateway hang where ICMP is lost."""
    site = Site(tunnel_mtu=1300)
    site.gateway.wish(GATEWAY)
    for address, most in (("192.168.1.7", 1260), ("fd77::7", 1240)):
        with Tap(site.lan, "eth0") as at_lan, Tap(site.member, DEVICE) as at_member:
            transfer(site.member, site.lan, address)
            for tap, flags in ((at_lan, "S"), (at_member, "SA")):
                packet = tap.until(partial(is_segment, flags))
                assert dict(option[:2] for option in packet[TCP].options)["MSS"] == most


def is_segment(flags: str, packet: Packet) -> bool:
    return TCP in packet and packet[TCP].flags == flags


@in_own_world
def test_everything_goes_as_it_came(tmp_path: Path) -> None:
    """If this fails, a host forwards long after its client."""
    come_and_go()


@in_own_world
def test_everything_goes_as_it_came_on_older_kernels(tmp_path: Path) -> None:
    """If this fails, a host takes no router advertisements any more, where it takes force_forwarding (Linux 6.17)."""
    come_and_go("/force_forwarding")


def come_and_go(*unknown: str) -> None:
    """Set a gateway up and take it down, by the settings that the kernel of the test knows."""
    site = Site()
    site.gateway.set(**{"net/ipv6/conf/eth2/forwarding": "1"})
    site.lan.do(advertise)
    limit = monotonic() + PATIENCE_S
    while not (advertised := site.gateway.run("ip", "-6", "route", "show", "default", "proto", "ra")):
        assert monotonic() < limit, "no default route by the advertisement"

    def known() -> dict[str, str]:
        return {name: value for name, value in read_settings().items() if not name.endswith(unknown)}

    def work() -> None:
        before = host_picture()
        with RouteSocket() as netlink:
            around = survey(GATEWAY, netlink.snapshot())
        changes = needed(GATEWAY, around, known())
        nft.load(script(GATEWAY, around, opened(changes, DEVICE)))
        for change in changes:
            write_setting(change)
        assert needed(GATEWAY, around, known()) == ()
        assert exchange(site.member, site.lan, "192.168.1.7")[0] == "10.0.1.1"
        assert exchange(site.member, site.lan, "fd77::7")[0] == "fd00:1::1"
        dropped(site.gateway, site.lan, "fd88::7", NO_ROUTER)
        assert site.gateway.run("ip", "-6", "route", "show", "default", "proto", "ra")[:40] == advertised[:40]
        back, left = undone(changes, known())
        assert left == ()
        for change in back:
            write_setting(change)
        nft.delete(table_name(DEVICE))
        assert_same(before, host_picture())

    site.gateway.do(work)


def advertise() -> None:
    """Offer the LAN a router, as its own one would."""
    packet = Ether(src=LAN_MAC, dst="33:33:00:00:00:01") / IPv6(src=LAN_LINK_LOCAL, dst="ff02::1", hlim=255)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as cable_end:
        cable_end.bind(("eth0", 0))
        cable_end.send(bytes(packet / ICMPv6ND_RA(routerlifetime=1800)))


@in_private_namespace
def test_the_program_and_the_kernel_say_what_is_wrong() -> None:
    """If this fails, a client takes a table that was refused for one that stands, or tells nobody why."""
    nft.load("table inet rustun-a {\n  chain b {\n  }\n}\n")
    listing = nft.listed("rustun-a")
    assert listing is not None
    with pytest.raises(HostError, match="nft refused `oifname"):
        nft.load('delete table inet rustun-a\ntable inet x {\n chain y {\n oifname "a" jump nowhere\n }\n}\n')
    assert (nft.listed("rustun-a"), nft.listed("x")) == (listing, None)
    nft.delete("rustun-a")
    nft.delete("rustun-a")
    assert nft.listed("rustun-a") is None
    harden()  # or root gets its rights back with every program that it starts
    drop_capabilities()
    with pytest.raises(RightsError, match="no permission"):
        nft.load("add table inet x\n")
    with pytest.raises(RightsError, match="no permission"):
        nft.listed("x")
