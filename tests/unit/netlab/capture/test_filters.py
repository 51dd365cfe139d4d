"""Filters: what the kernel would run decides as the words say."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from ctypes import addressof, create_string_buffer
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from netlab.capture import filters
from netlab.errors import BadInput
from netlab.isolation.packets import udp

MOST = 200
ADDRESSES = ("10.0.1.1", "10.0.1.2", "192.168.10.7", "fd00:1::1", "fd00:1::2", "fd00:2::1")


@dataclass(frozen=True)
class Sent:
    """What a packet is, in words, and its bytes from the network header on."""

    ethertype: int
    protocol: int = 0
    source: str = ""
    destination: str = ""
    ports: tuple[int, ...] = ()
    data: bytes = b""


def packet(chosen: random.Random) -> Sent:
    """Return some packet: ARP, or IP of either version, with options, fragments, protocols that have ports or not."""
    version = chosen.choice((4, 6))
    same = [address for address in ADDRESSES if ip_address(address).version == version]
    source, destination = chosen.choice(same), chosen.choice(same)
    packed = ip_address(source).packed, ip_address(destination).packed
    if version == 4 and chosen.random() < 0.1:
        data = bytes.fromhex("0001080006040001") + bytes(6) + packed[0] + bytes(6) + packed[1]
        return Sent(0x0806, 0, source, destination, (), data)
    protocol = chosen.choice((1, 6, 17, 58))
    ports = chosen.choice((53, 80, 443)), chosen.choice((53, 80, 443))
    inside = udp(*packed, ports, b"x" * 24)
    if version == 6:
        header = struct.pack("!IHBB", 6 << 28, len(inside), protocol, 64) + packed[0] + packed[1]
        return Sent(0x86DD, protocol, source, destination, ports if protocol in (6, 17) else (), header + inside)
    options = 4 * chosen.randint(0, 3)
    fragment = chosen.choice((0, 0, 0x2000, 0x2005, 7))  # whole, first, later ones
    fields = (0x45 + options // 4, 0, 20 + options + len(inside), 1, fragment, 64, protocol, 0)
    header = struct.pack("!BBHHHBBH", *fields) + packed[0] + packed[1] + bytes(options)
    seen = ports if protocol in (6, 17) and not fragment & 0x1FFF else ()
    return Sent(0x0800, protocol, source, destination, seen, header + inside)


Predicate = Callable[[Sent], bool]


def expression(chosen: random.Random, depth: int = 0) -> tuple[str, Predicate]:
    """Return some expression, and what it says about packets in the most obvious way."""
    kind = chosen.choice(("and", "or", "not", "plain", "plain", "plain")) if depth < 4 else "plain"
    if kind == "not":
        words, holds = expression(chosen, depth + 1)
        return f"not ({words})", lambda sent: not holds(sent)
    if kind == "plain":
        return primitive(chosen)
    parts = [expression(chosen, depth + 1) for _ in range(chosen.randint(2, 3))]
    decide = all if kind == "and" else any
    return f" {kind} ".join(f"({words})" for words, _ in parts), lambda sent: decide(one(sent) for _, one in parts)


def primitive(chosen: random.Random) -> tuple[str, Predicate]:
    """Return a primitive of the language and what it says."""
    types = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}
    protocols = {"tcp": {(0x0800, 6), (0x86DD, 6)}, "udp": {(0x0800, 17), (0x86DD, 17)}}
    protocols |= {"icmp": {(0x0800, 1)}, "icmp6": {(0x86DD, 58)}}
    word = chosen.choice((*types, *protocols, "host", "net", "port", "host", "net", "port"))
    if word in types:
        return word, lambda sent: sent.ethertype == types[word]
    if word in protocols:
        return word, lambda sent: (sent.ethertype, sent.protocol) in protocols[word]
    side = chosen.choice(("", "src ", "dst "))
    ends = {"": (0, 1), "src ": (0,), "dst ": (1,)}[side]
    if word == "port":
        port = chosen.choice((53, 80))
        name, numbers = chosen.choice((("", (6, 17)), ("tcp ", (6,)), ("udp ", (17,))))
        return (
            f"{name}{side}port {port}",
            lambda sent: sent.protocol in numbers and any(sent.ports[i : i + 1] == (port,) for i in ends),
        )
    known = (*ADDRESSES, "10.0.1.0/24", "192.168.0.0/16", "0.0.0.0/0", "fd00::/14", "fd00:1::/64", "::/0")
    prefix = ip_network(chosen.choice(known[: len(ADDRESSES)] if word == "host" else known))
    text = str(prefix.network_address) if word == "host" else str(prefix)
    return f"{side}{word} {text}", lambda sent: any(
        ip_address((sent.source, sent.destination)[i]) in prefix for i in ends
    )


def run(program: bytes, sent: Sent) -> int:
    """Run a program as the kernel does: a load beyond the packet ends it with 0."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = a = x = 0
    while True:
        code, true, false, k = instructions[at]
        at += 1
        if code == 0x06:
            return int(k)
        if code == 0x15:
            at += true if a == k else false
        elif code == 0x54:
            a &= k
        elif code == 0x20 and k == 0xFFFFF000:
            a = sent.ethertype
        else:
            size = {0x20: 4, 0x28: 2, 0x30: 1, 0x48: 2, 0xB1: 1}[code]
            place = k - 0xFFF00000 + (x if code == 0x48 else 0)
            if place + size > len(sent.data):
                return 0
            value = int.from_bytes(sent.data[place : place + size], "big")
            a, x = (a, 4 * (value & 15)) if code == 0xB1 else (value, x)


def test_programs_decide_as_the_words_say() -> None:
    """A filter that takes other packets than it says shows a picture of the network that is not true."""
    chosen = random.Random(4)
    packets = [packet(chosen) for _ in range(60)]
    taken = 0
    for _ in range(400):
        words, holds = expression(chosen)
        program = filters.compiled(words, MOST)
        for sent in packets:
            assert run(program, sent) == (MOST if holds(sent) else 0), (words, sent)
            taken += holds(sent)
    assert 5_000 < taken < 19_000  # neither all nor nothing


def test_binding_is_as_everywhere() -> None:
    """Who writes `tcp and port 80 or icmp` means what tcpdump means by it."""
    pairs = (
        ("tcp and port 80 or icmp", "(tcp and port 80) or icmp"),
        ("icmp or tcp and port 80", "icmp or (tcp and port 80)"),
        ("not tcp and port 80", "(not tcp) and port 80"),
        ("! tcp && port 80 || !(icmp)", "((not tcp) and port 80) or not icmp"),
    )
    chosen = random.Random(5)
    packets = [packet(chosen) for _ in range(200)]
    for loose, clear in pairs:
        assert [run(filters.compiled(loose, 1), p) for p in packets] == [
            run(filters.compiled(clear, 1), p) for p in packets
        ]


def test_nothing_said_takes_all() -> None:
    """A capture without a filter must show everything."""
    chosen = random.Random(6)
    assert all(run(filters.compiled("", MOST), packet(chosen)) == MOST for _ in range(50))


def test_the_kernel_takes_the_programs() -> None:
    """A program that the kernel refuses would end the capture before it began."""
    chosen = random.Random(7)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(100):
            program = filters.compiled(expression(chosen)[0], MOST)
            kept = create_string_buffer(program, len(program))
            header = struct.pack("HP", len(program) // 8, addressof(kept))
            sock.setsockopt(socket.SOL_SOCKET, 26, header)  # SO_ATTACH_FILTER


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hots 10.0.1.1", 'expected not, src, dst, host, net, port, ip, ip6, arp, tcp, udp, icmp, icmp6, found "hots"'),
        ("host", 'expected an address behind "host", found the end'),
        ("host 10.0.1.0/24", 'expected an address behind "host", found "10.0.1.0/24"'),
        ("net 10.0.1.1/24", 'expected a prefix such as 10.0.1.0/24 behind "net", found "10.0.1.1/24"'),
        ("port http", 'expected a port from 0 to 65535 behind "port", found "http"'),
        ("tcp icmp", 'expected and, or, or the end behind "tcp", found "icmp"'),
        ("src tcp", 'expected host or net or port behind "src", found "tcp"'),
        ("tcp src host 10.0.1.1", 'expected port behind "tcp src", found "host"'),
        ("(tcp or udp", 'expected ")" behind "( tcp or udp", found the end'),
        ("tcp and", "expected not, src"),
        ("(" * 100, "at most 30 levels"),
        ("not " * 100 + "tcp", "at most 30 levels"),
        ("tcp or " * 200 + "tcp", "401 words, at most 300"),
        (" or ".join(f"host 10.0.0.{n}" for n in range(90)), "too long for the kernel"),
    ],
)
def test_what_cannot_be_read_is_told(words: str, message: str) -> None:
    """A slip in a filter has to say where it is; a capture of the wrong packets costs an afternoon."""
    with pytest.raises(BadInput) as told:
        filters.compiled(words, MOST)
    assert message in str(told.value)
