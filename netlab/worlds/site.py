"""Machines and cables for one test, wired by `ip`, with packet sockets as witnesses.

Rules of this module
  1. A machine is a network namespace of this process's own world (own_world.py); cables are veth pairs.
  2. A cable called `rustun0` stands where a client's TUN device would; like that, it knows no neighbours.
  3. What arrived is told by the receiver's socket, or by a tap: a packet socket below everything that a kernel does
     with a packet. That something did not arrive is told after a later packet did, on the same way.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netlab.namespaces import NetworkNamespace
from rustun.backends import nft
from rustun.backends.base import HostState
from rustun.backends.firewall import script
from rustun.backends.forwarding import Change, needed, opened, read_settings, write_setting
from rustun.backends.rtnetlink import RouteSocket
from rustun.backends.surroundings import survey

T = TypeVar("T")
PATIENCE_S = 10.0  # only reached where something hangs
ETH_P_ALL = 3
PACKET_OUTGOING = 4  # linux/if_packet.h
BUFFER_BYTES = 4 << 20
TRANSFER_BYTES = 20_000
DEVICE = "rustun0"
UNWANTED = b"not for you"


class Machine:
    """One network namespace, with its sockets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.namespace = NetworkNamespace()
        quiet = "net/ipv6/conf/{}/accept_dad", "net/ipv6/conf/{}/router_solicitations"
        self.set(**{pattern.format(scope): "0" for scope in ("all", "default") for pattern in quiet})
        self.set(**{"net/ipv4/icmp_ratelimit": "0", "net/ipv6/icmp/ratelimit": "0"})
        self.ip("link set lo up")

    def do(self, work: Callable[[], T]) -> T:
        """Run `work` inside."""
        return self.namespace.run(work)

    def run(self, *command: str, text: str = "", descriptors: Iterable[int] = ()) -> str:
        """Run a program inside; fail with its words."""
        run = partial(subprocess.run, command, input=text, capture_output=True, text=True, pass_fds=tuple(descriptors))
        done = self.do(partial(run, check=False, timeout=PATIENCE_S))
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.stderr}"
        return str(done.stdout)

    def ip(self, *lines: str) -> None:
        """Do what `ip` does with each line."""
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def set(self, **settings: str) -> None:
        """Write settings, by their names under /proc/sys."""

        def write() -> None:
            for name, value in settings.items():
                Path("/proc/sys", name).write_text(value)

        self.do(write)

    def interface(self, name: str, *addresses: str) -> None:
        """Give an interface its addresses, and set it up."""
        given = [f"address add {text} dev {name}{' nodad' if ':' in text else ''}" for text in addresses]
        self.ip(f"link set {name} up", *given)

    def routes(self, **ways: str) -> None:
        """Make routes: prefix -> router."""
        self.ip(*(f"route add {prefix} via {router}" for prefix, router in ways.items()))

    def udp(self, address: str = "", port: int = 0) -> socket.socket:
        """Return a UDP socket, bound to an address of this machine."""
        return self._socket(socket.SOCK_DGRAM, address, port)

    def listener(self, address: str, port: int) -> socket.socket:
        """Return a listening TCP socket."""
        listening = self._socket(socket.SOCK_STREAM, address, port)
        listening.listen()
        return listening

    def connect(self, address: str, port: int) -> socket.socket:
        """Return a TCP connection."""
        return self.do(lambda: socket.create_connection((address, port), PATIENCE_S))

    def _socket(self, kind: socket.SocketKind, address: str, port: int) -> socket.socket:
        def bound() -> socket.socket:
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
            made.settimeout(PATIENCE_S)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
            return made

        return self.do(bound)

    def wish(self, wished: HostState) -> tuple[Change, ...]:
        """Make settings and table as a client would; return the changes of settings."""

        def make() -> tuple[Change, ...]:
            with RouteSocket() as netlink:
                around = survey(wished, netlink.snapshot())
            changes = needed(wished, around, read_settings())
            nft.load(script(wished, around, opened(changes, wished.device)))
            for change in changes:
                write_setting(change)
            return changes

        return self.do(make)

    def counted(self, comment: str) -> int:
        """Return how many packets the drops of that comment took."""
        listing = json.loads(self.run("nft", "-j", "list", "table", "inet", f"rustun-{DEVICE}"))
        rules = [item["rule"] for item in listing["nftables"] if "rule" in item]
        counters = [part["counter"] for rule in rules if rule.get("comment") == comment for part in rule["expr"][-2:-1]]
        return sum(counter["packets"] for counter in counters)


class Tap:
    """Sees every packet that comes in at an interface, or leaves by it; `incoming` ones alone where that is said."""

    def __init__(self, machine: Machine, interface: str, *, incoming: bool = False) -> None:
        def open_tap() -> socket.socket:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            tap.bind((interface, ETH_P_ALL))
            return tap

        self._socket = machine.do(open_tap)
        self._incoming = incoming
        self.seen: list[Packet] = []

    def until(self, holds: Callable[[Packet], bool]) -> Packet:
        """Wait for a packet like that among all that were seen; fail where none comes."""
        checked = 0
        while True:
            for packet in self.seen[checked:]:
                if holds(packet):
                    return packet
            checked = len(self.seen)
            ready, _, _ = select.select([self._socket], [], [], PATIENCE_S)
            assert ready, f"no such packet among {[packet.summary() for packet in self.seen]}"
            self._take()

    def now(self) -> list[Packet]:
        """Return all that was seen until now."""
        while select.select([self._socket], [], [], 0)[0]:
            self._take()
        return self.seen

    def _take(self) -> None:
        packet, (_, _, kind, *_) = self._socket.recvfrom(1 << 16)
        if not (self._incoming and kind == PACKET_OUTGOING):
            self.seen.append(Ether(packet))

    def __enter__(self) -> Tap:
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()


def cable(near: Machine, near_name: str, far: Machine, far_name: str) -> None:
    """Connect two machines."""
    there = far.namespace.fileno()
    command = f"link add {near_name} type veth peer name {far_name} netns /proc/self/fd/{there}"
    near.run("ip", *command.split(), descriptors=[there])


def tunnel(near: Machine, far: Machine, mtu: int = 1500) -> None:
    """Connect two machines by their `rustun0`."""
    cable(near, DEVICE, far, DEVICE)
    for machine in (near, far):  # one address for both: whatever one sends is for the other
        machine.ip(f"link set {DEVICE} address 02:00:00:00:00:01 arp off mtu {mtu} addrgenmode none")


def exchange(here: Machine, there: Machine, address: str, port: int = 9000, *, bound: str = "") -> tuple[str, str]:
    """Send a datagram and get an answer; return the source that the far end saw, and who answered."""
    with there.udp(bound or address, port) as server, here.udp("::" if ":" in address else "0.0.0.0") as client:
        client.sendto(os.urandom(8), (address, port))
        data, source = server.recvfrom(100)
        server.sendto(data, source)
        answer, answerer = client.recvfrom(100)
        assert answer == data
        return str(source[0]), str(answerer[0])


def transfer(here: Machine, there: Machine, address: str, port: int = 9000, *, bound: str = "") -> tuple[str, str]:
    """Connect by TCP and send something both ways; return the sources as each end sees the other."""
    with there.listener(bound or address, port) as server, here.connect(address, port) as client:
        far, source = server.accept()
        with far:
            for sender, receiver in ((client, far), (far, client)):
                sender.sendall(bytes(TRANSFER_BYTES))
                left = TRANSFER_BYTES
                while left:
                    assert (received := len(receiver.recv(left))) > 0
                    left -= received
            return str(source[0]), str(client.getpeername()[0])


def dropped(gateway: Machine, here: Machine, address: str, comment: str) -> None:
    """Send a datagram that the gateway has to drop, and wait for the drop of that comment to count it.

    That it went nowhere is told by taps (`arrived_nowhere`), after something that may pass has come by them.
    """
    before = gateway.counted(comment)
    with here.udp("::" if ":" in address else "0.0.0.0") as sender:
        sender.sendto(UNWANTED, (address, 9000))
    limit = monotonic() + PATIENCE_S
    while gateway.counted(comment) == before:  # each look takes some milliseconds
        assert monotonic() < limit, f"nothing dropped: {address}, {comment}"


def arrived_nowhere(*taps: Tap) -> None:
    """Fail where something that was to be dropped has come by one of these taps, or where one has seen nothing."""
    for tap in taps:
        seen = tap.now()
        assert seen, "this tap was shown nothing: its silence says nothing"
        assert not [packet.summary() for packet in seen if UNWANTED in bytes(packet)]
