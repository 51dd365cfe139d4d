"""Steps as commands: what the kernel makes of them is in tests/netlab/test_host_shared.py."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address, ip_network

import pytest

from rustun.backends.host_snapshot import EXIT_TABLE, Link, Route, Rule, device_route
from rustun.backends.host_steps import AddRoute, AddRule, RemoveRoute, RemoveRule, SetUp, WriteHosts

NAMES = {2: "eth0", 7: "rustun0"}
OIF = ("RTA_OIF", (2).to_bytes(4, "little"))
SERVER = ip_network("203.0.113.7/32")
SERVER6 = ip_network("2001:db8::7/128")


def packed(text: str) -> bytes:
    return ip_address(text).packed


def hop(device: int, weight: int, kind: int, payload: bytes) -> bytes:
    attribute = struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)
    return struct.pack("=HBBi", 8 + len(attribute), 0, weight - 1, device) + attribute


FAR = ("RTA_VIA", struct.pack("=H", socket.AF_INET6) + packed("fe80::1"))
HOPS = hop(2, 1, 5, packed("192.168.1.7")) + hop(9, 3, 18, FAR[1])


@pytest.mark.parametrize(
    ("route", "words"),
    [
        (Route(SERVER, 2, 114, path=(OIF, ("RTA_GATEWAY", packed("192.168.1.1")))), "via 192.168.1.1 dev eth0"),
        (Route(SERVER6, 2, 114, path=(OIF, ("RTA_GATEWAY", packed("fe80::1")))), "via fe80::1 dev eth0"),
        (Route(SERVER, 2, 114, path=(OIF, FAR)), "via inet6 fe80::1 dev eth0"),
        (Route(SERVER, 2, 114, path=(OIF, ("RTA_PREFSRC", packed("192.168.1.5")))), "dev eth0 src 192.168.1.5"),
        (Route(SERVER, 2, 114, flags=4, path=(OIF,)), "dev eth0 onlink"),
        (Route(SERVER, 0, 114, path=(("RTA_NH_ID", (9).to_bytes(4, "little")),)), "nhid 9"),
        (
            Route(SERVER, 0, 114, path=(("RTA_MULTIPATH", HOPS),)),
            "nexthop via 192.168.1.7 dev eth0 weight 1 nexthop via inet6 fe80::1 dev if9 weight 3",
        ),
    ],
)
def test_any_path_as_a_person_writes_it(route: Route, words: str) -> None:
    """If this fails, a dry run shows another path to the server than the one that is set."""
    assert AddRoute(route, replace=True).command(NAMES) == f"ip route replace {route.prefix} {words} proto 114"
    assert RemoveRoute(route).command(NAMES) == f"ip route del {route.prefix} {words} proto 114"


def test_an_encapsulation_is_a_comment() -> None:
    """If this fails, a shell takes the word that stands for an encapsulation for a command, or loses it silently."""
    encapsulated = Route(SERVER, 2, 114, path=(OIF, ("RTA_ENCAP", b"any"), ("RTA_ENCAP_TYPE", b"\1\0")))
    command = AddRoute(encapsulated, replace=True).command(NAMES)
    assert command.startswith("# ip route replace 203.0.113.7/32 dev eth0 proto 114  (")
    assert RemoveRoute(encapsulated).command(NAMES) == "ip route del 203.0.113.7/32 dev eth0 proto 114"


def test_a_name_of_an_interface_is_one_word() -> None:
    """If this fails, an interface with a name of any kind is a command of its own to the shell."""
    command = AddRoute(device_route(SERVER, 3, 114)).command({3: "a;b"})
    assert command == "ip route add 203.0.113.7/32 dev 'a;b' proto 114"
    assert SetUp(Link(3, "a;b", "tun", False, 1500), 1400).command({}) == "ip link set dev 'a;b' mtu 1400 up"


def test_exits_and_rules() -> None:
    """If this fails, who types the commands of a dry run sends all traffic elsewhere."""
    route = device_route(ip_network("::/0"), 7, 114, EXIT_TABLE)
    assert AddRoute(route).command(NAMES) == "ip route add ::/0 dev rustun0 table 114 proto 114"
    main, exits = Rule(6, 11400, 254, 0), Rule(4, 11401, 114)
    assert (
        AddRule(main).command(NAMES)
        == "ip -6 rule add priority 11400 table main suppress_prefixlength 0 protocol 114"
    )  # fmt: skip
    assert RemoveRule(exits).command(NAMES) == "ip -4 rule del priority 11401 table 114 protocol 114"


@pytest.mark.parametrize(
    ("before", "after", "command"),
    [
        ("a\n", "a\nb\n", "cat >> /etc/hosts <<'END'\nb\nEND"),
        ("a\nb\n", "a\n", "cat > /etc/hosts <<'END'\na\nEND"),
    ],
)
def test_the_hosts_file_grows_or_is_written_anew(before: str, after: str, command: str) -> None:
    """If this fails, a dry run prints ten thousand lines of a list of blocked names, or loses them."""
    assert WriteHosts("/etc/hosts", before, before, after).command(NAMES) == command
