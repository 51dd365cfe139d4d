"""Where packets go when prefixes move, gateways send them back, and tunnels run in tunnels; with real processes.

The relay has a machine of its own, and two also offers the outside itself, 198.18.0.0/24: so each client keeps its way
to the relay outside of the tunnel by a route of its own.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from time import monotonic

from pyroute2 import NFCTSocket

from netlab.namespaces import NetworkNamespace
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER as OUTSIDE
from netlab.topology import HostSpec, outside_addresses
from netlab.worlds.carrying import datagrams, ping, run, streams
from netlab.worlds.forgeries import packed
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.leftovers import hosts_as_before, nothing_left
from netlab.worlds.running import KEY, SERVER, SERVER_TOML, Running
from netlab.worlds.running import PORT as SERVER_PORT
from netlab.worlds.traffic import Pings, Tap, addresses

RELAY = "relay"
WIDE, NARROW, AROUND = "10.9.0.0/16", "10.9.1.0/24", "198.18.0.0/24"
ONE, TWO, THREE, FOUR, FIVE = (f"10.0.1.{number}" for number in range(1, 6))
AWAKE, ASLEEP = "10.0.2.1", "10.0.2.2"
MEMBERS = (
    KeyedMember("one", "blue", ONE),
    KeyedMember("two", "blue", TWO, (WIDE, AROUND)),
    KeyedMember("three", "blue", THREE),
    KeyedMember("four", "blue", FOUR),
    KeyedMember("five", "blue", FIVE),
    KeyedMember("awake", "home", AWAKE),
    KeyedMember("asleep", "home", ASLEEP),
)
NAMES = tuple(member.identity for member in MEMBERS)
MOVING, STAYING = "10.9.1.7", "10.9.2.7"
HOSTS = (
    HostSpec("lan-two", "two", (ip_address(MOVING),)),
    HostSpec("lan-three", "three", (ip_address(MOVING),)),
)
PORT, LOOP_PORT = 7000, 9
PATIENCE_S = 10.0  # only reached where something hangs
ASK_S = 0.05
MOVED_S = 3.0  # a second until the file is seen, and one until the news is told; the rest is for a busy machine
HOPS, LOOPED = 64, 20
MORE = 20  # echoes after which something counts as over
REPAIRED_S = 5.0
MOST_LOOPED = 200  # packets of the tunnel itself that go into the tunnel until its way is there again
TRIES = 5  # where the client is quicker than the next packet, nothing is shown
NAT_S = 2  # until the NAT box forgets
INTERVALS_S = {"awake": 1, "asleep": 30}  # between proofs of life
MENDED_S = 7.0  # two and a half seconds until a standstill is one; the rest is for a busy machine
INNER_PORT = 8081
INNER = ("10.0.7.1", "10.0.7.2")
INNER_BYTES = 300_000


def udp(namespace: NetworkNamespace, address: str, port: int = 0) -> socket.socket:
    """Return a UDP socket of an address."""

    def bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE_S)
        made.bind((address, port))
        return made

    return namespace.run(bound)


class Hosts(ExitStack):
    """Sockets of the two hosts of one address, and of the member that asks for it."""

    def __init__(self, site: KeyedLab) -> None:
        super().__init__()
        spaces = site.lab.namespaces
        run(spaces["lan-two"], "ip", "address", "add", f"{STAYING}/16", "dev", "eth0")
        self.asking = self.enter_context(udp(spaces["one"], ONE, PORT))
        self.lans = {name: self.enter_context(udp(spaces[f"lan-{name}"], MOVING, PORT)) for name in ("two", "three")}
        ping(spaces["lan-three"], "10.9.1.1", 100)  # from now on it knows its gateway, and packets keep their order
        markers = {"two": udp(spaces["lan-two"], STAYING, PORT), "three": udp(spaces["three"], THREE, PORT)}
        self._markers = {name: self.enter_context(marker) for name, marker in markers.items()}

    def until_reached(self, name: str) -> float:
        """Ask for the address until the host behind this member has heard; return the seconds."""
        began = monotonic()
        listening = self.lans[name]
        listening.settimeout(ASK_S)
        while True:
            self.asking.sendto(question := str(monotonic()).encode(), (MOVING, PORT))
            try:
                while listening.recv(100) != question:
                    continue
            except TimeoutError:
                assert monotonic() - began < PATIENCE_S, f"nothing arrives behind {name}"
                continue
            return monotonic() - began

    def heard_until(self, name: bytes) -> set[bytes]:
        """Let both hosts say who they are from the address; return who is heard until this one and all markers are.

        A marker follows behind each, on the same way, from an address that always may.
        """
        missing = {name}
        heard = set()
        for where, lan in self.lans.items():
            lan.sendto(where.encode(), (ONE, PORT))
            self._markers[where].sendto(marker := f"marker {where}".encode(), (ONE, PORT))
            missing.add(marker)
        while missing:
            heard.add(said := self.asking.recv(100))
            missing.discard(said)
        return {one for one in heard if not one.startswith(b"marker")}


def a_prefix_moves(site: KeyedLab) -> None:
    """Give three a part of what two has, then take it back: packets, and the right to send, follow."""
    with Hosts(site) as hosts:
        for name, ciders in (("two", ()), ("three", (NARROW,)), ("two", ())):
            site.change("three", ciders=ciders)
            took = hosts.until_reached(name)
            assert took < MOVED_S, f"{took:.3f} s until packets took another way"
            heard = hosts.heard_until(name.encode())
            assert heard == {name.encode()}, f"{name} is reached at the address, and it is {heard} that speaks from it"


@contextmanager
def passing_on(site: KeyedLab, here: str, there: str) -> Iterator[None]:
    """Let a member pass on to another one what it gets at a port, as its own."""
    space = site.lab.namespaces[here]
    rules = f"""table ip loop {{
        chain in {{ type nat hook prerouting priority dstnat; iifname rustun0 udp dport {LOOP_PORT} dnat to {there}; }}
        chain out {{ type nat hook postrouting priority srcnat; oifname rustun0 udp dport {LOOP_PORT} masquerade; }}
    }}"""
    forwarding = partial(Path("/proc/sys/net/ipv4/ip_forward").write_text)
    run(space, "nft", rules)
    space.run(partial(forwarding, "1"))
    try:
        yield
    finally:
        space.run(partial(forwarding, "0"))
        run(space, "nft", "delete table ip loop")


def a_loop_ends(site: KeyedLab) -> None:
    """Send packets to one who passes them on to one who passes them back: each goes round until its hops end."""
    spaces = site.lab.namespaces
    with (
        passing_on(site, "four", FIVE),
        passing_on(site, "five", FOUR),
        Tap(spaces["four"]) as four,
        Tap(spaces["five"]) as five,
        Tap(spaces["three"]) as three,
        Pings(spaces["one"], THREE) as innocent,
        udp(spaces["one"], ONE) as sender,
    ):
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, HOPS)

        def passes() -> int:
            return sum(packet[9] == socket.IPPROTO_UDP for tap in (four, five) for packet in tap.packets)

        for number in (1, LOOPED):  # the first one makes all the kernels know the connections
            for size in range(number):  # each is larger than the one before: equal ones may travel as one packet
                sender.sendto(bytes(size), (FOUR, LOOP_PORT))
            end = HOPS if number == 1 else HOPS * (1 + LOOPED)
            assert four.until(lambda end=end: passes() >= end), f"{passes()}: no loop, nothing is shown here"  # type: ignore[misc]
        assert three.until_more(packed(ONE), MORE)
        echoes = innocent.stop()
        assert passes() == HOPS * (1 + LOOPED)
        assert echoes.missing == ()


def the_way_to_the_relay_is_lost(site: KeyedLab) -> None:
    """Take away what keeps the relay outside of the tunnel, and see that the client sets it again."""
    space = site.lab.namespaces["one"]
    relay = site.servers[RELAY][0]
    assert relay in run(space, "ip", "route", "show", "proto", "114"), "no way of its own, nothing is shown here"
    with (
        Pings(space, TWO) as pings,
        Tap(site.lab.namespaces["two"]) as far,
        Tap(space, both_ways=True) as near,
    ):
        assert far.until_more(packed(ONE))
        looped = 0
        for _ in range(TRIES):
            run(space, "ip", "route", "del", f"{relay}/32")
            assert far.until_more(packed(ONE), MORE)
            looped = sum(addresses(packet)[1] == packed(relay) for packet in near.packets)
            if looped:
                break
        echoes = pings.stop(patience_s=0.2)
    assert echoes.silence < REPAIRED_S, f"{echoes.silence:.3f} s"
    assert 0 < looped < MOST_LOOPED, looped
    assert relay in run(space, "ip", "route", "show", "proto", "114")
    assert site.status("one")["reconnects"] == 0


class InnerTunnel(ExitStack):
    """A relay at an address of two, and clients of one and two that reach it through the tunnel."""

    def __init__(self, site: KeyedLab, folder: Path) -> None:
        super().__init__()
        self._site, self._folder = site, folder
        folder.mkdir()
        (folder / "server.toml").write_text(SERVER_TOML.replace(f"{SERVER}:{SERVER_PORT}", f"{TWO}:{INNER_PORT}"))
        common = {"cluster": "inner", "mask": "255.255.255.0", "gateway": "10.0.7.254", "ciders": []}
        entries = [{**common, "identity": f"m{n}", "private_ip": address} for n, address in enumerate(INNER)]
        (folder / "routes.json").write_text(json.dumps(entries))
        (folder / "key").write_text(f"chacha20:{KEY}\n")
        (folder / "key").chmod(0o600)
        processes = [self._start("server", ["serve"], "two")]
        for name, at in (("m0", "one"), ("m1", "two")):
            where = ["-s", f"{TWO}:{INNER_PORT}", "-i", name, "--crypto-file", "key", "--tun", "rustun1"]
            processes.append(self._start(name, ["connect", *where], at))
        for client in processes[1:]:
            client.until_online()
        self._processes = processes

    def _start(self, name: str, arguments: list[str], at: str) -> Running:
        running = Running(name, self._folder, arguments, self._site.lab.namespaces[at])
        self.callback(running.kill)
        return running

    def end(self) -> None:
        """End all in order."""
        for process in reversed(self._processes):
            assert process.end(signal.SIGTERM) == 0, process.log


def a_tunnel_in_the_tunnel(site: KeyedLab) -> None:
    """Let another tunnel run through this one, and see that what it carries is carried twice."""
    one, two = (site.lab.namespaces[name] for name in ("one", "two"))
    with InnerTunnel(site, site.folder / "inner") as inner:
        before = site.status("one")["sent_bytes"]
        ping(one, INNER[1], 1500)
        ping(two, INNER[0], 1500)
        datagrams(one, two, INNER[1], (0, 1400, 9000))
        streams(one, two, INNER[1], 2, INNER_BYTES)
        assert site.status("one")["sent_bytes"] - before > 2 * INNER_BYTES, "it did not go through the outer tunnel"
        inner.end()


def before_the_nat_box() -> dict[str, str]:
    """Return the addresses of awake and asleep before it."""
    return {name: str(outside_addresses(NAMES.index(name) + 1)[0].ip) for name in INTERVALS_S}


def nat_box(site: KeyedLab) -> None:
    """Put awake and asleep behind a NAT box."""
    ours = f"ip saddr {{ {', '.join(before_the_nat_box().values())} }}"
    rules = f"""table ip nat {{
        chain out {{ type nat hook postrouting priority srcnat; {ours} masquerade; }}
        chain forward {{ type filter hook forward priority filter; {ours} ct state invalid drop; }}
    }}"""
    space = site.lab.namespaces[OUTSIDE]
    run(space, "nft", rules)
    for name, value in {"timeout_established": NAT_S, "loose": 0}.items():
        path = Path(f"/proc/sys/net/netfilter/nf_conntrack_tcp_{name}")
        space.run(partial(path.write_text, str(value)))


def known_connections(site: KeyedLab) -> set[str]:
    """Return the sources of all connections that the NAT box knows."""

    def dump() -> set[str]:
        with NFCTSocket() as conntrack:
            tuples = [entry.get_attr("CTA_TUPLE_ORIG") for entry in conntrack.dump()]
        return {one.get_nested("CTA_TUPLE_IP", "CTA_IP_V4_SRC") for one in tuples}

    return site.lab.namespaces[OUTSIDE].run(dump)


def a_nat_box_forgets(site: KeyedLab) -> None:
    """Let two members be silent until the NAT box has forgotten one of them, then let that one speak."""
    inside = before_the_nat_box()
    site.until("awake", lambda status: status["age_s"] > 2 * NAT_S)
    site.lab.wait_until(lambda: inside["asleep"] not in known_connections(site), "the NAT box forgets nobody")
    assert inside["awake"] in known_connections(site), "who proves its life often is forgotten"
    spaces = site.lab.namespaces
    with Tap(spaces["awake"]) as tap, Pings(spaces["asleep"], AWAKE):
        began = monotonic()
        assert tap.until_more(packed(ASLEEP))
        took = monotonic() - began
    assert took < MENDED_S, f"{took:.3f} s"
    assert site.status("awake")["reconnects"] == 0
    assert site.status("asleep")["reconnects"] > 0, "nothing was forgotten, nothing is shown here"


@scenario(a_prefix_moves, a_loop_ends, the_way_to_the_relay_is_lost, a_tunnel_in_the_tunnel, a_nat_box_forgets)
def ways(folder: Path) -> Iterator[KeyedLab]:
    """Packets go where they belong when prefixes move, members loop, tunnels nest and NAT forgets.

                         relay
                           |
                        outside, with a NAT box that forgets connections after two silent seconds
      ________________ ____|____________ ________________
     |                |                 |                |
    one 10.0.1.1     two 10.0.1.2      three 10.0.1.3   awake, asleep: behind the NAT box
    four, five:       | 10.9.0.0/16     | 10.9.1.0/24
    pass on what      |                 |
    they get         lan-two           lan-three        both at 10.9.1.7
    """
    with nothing_left(), KeyedLab(folder, MEMBERS, relays=(RELAY,), hosts=HOSTS) as site:
        for name, prefix in (("two", WIDE), ("three", NARROW)):
            site.write_client(name, more=f'[host_config]\ngateway = ["{prefix}"]\n')
        for name, seconds in INTERVALS_S.items():
            site.write_client(name, more=f"keepalive_interval = {seconds}\n")
        nat_box(site)
        site.lab.start_server(RELAY)
        with hosts_as_before(site, NAMES[:-1]):  # of asleep the kernel keeps a connection that the NAT box forgot
            site.start(*NAMES)
            yield site
