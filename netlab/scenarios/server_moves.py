"""A server that is known by its name alone, and moves: real processes, both IP versions, a tap as witness."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from netlab.namespaces import replace_hosts_file
from netlab.scenarios.scenario import scenario
from netlab.worlds.host_picture import assert_same, host_picture, settle
from netlab.worlds.running import PORT, SERVER, SERVER_TOML, Running, write_client_toml
from netlab.worlds.site import Machine, Tap, cable

NAME, HOSTS = "vpn.example", Path("/run/hosts")
NOWHERE, SECOND4, SECOND6 = "2a00:8::7", "203.0.113.8", "2a00:8::8"
SECOND = (SECOND6, SECOND4)  # which of them is met depends on which listens first while the server starts
RESOLVER_S = 10.0  # until one that is out of reach is given up
COVERED = ["203.0.113.0/24", "2a00:8::/32"]
REFUSED = {
    "198.51.100.0/24": "outside accept_routes",
    "2001:db8::/32": "outside accept_routes",
    "198.18.1.0/24": "is directly connected at eth0",
    "2a00:1::/64": "is directly connected at eth0",
    "198.18.1.1/32": "lies inside 198.18.1.0/24, directly connected at eth0",
}
ACCEPT = 'accept_routes = ["10.0.1.0/24", "fd00:1::/64", "203.0.113.0/24", "2a00::/16", "198.18.0.0/15"]'
COMMON = {"cluster": "acme", "mask": "255.255.255.0", "gateway": "10.0.1.254"}


class World(ExitStack):
    """The machines of the picture, and what runs there; use as a context.

    Attributes:
        before: the client's host without it.
        server, running: the server and the client, once they run.
    """

    nodes = ("client", "world")
    server: Running
    running: Running

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        replace_hosts_file({})
        self.client, self.world = Machine("client"), Machine("world")
        cable(self.client, "eth0", self.world, "eth0")
        self.client.interface("eth0", "198.18.1.2/24", "2a00:1::2/64")
        self.world.interface("eth0", "198.18.1.1/24", "2a00:1::1/64")
        self.world.interface("lo", f"{SERVER}/32", f"{SECOND4}/32", f"{SECOND6}/128")
        self.world.ip(f"route add blackhole {NOWHERE}")
        self.client.routes(**{"default": "198.18.1.1", "::/0": "2a00:1::1"})
        self.name()
        self.client.do(settle)
        self.before = self.client.do(host_picture)
        self.tap = self.enter_context(Tap(self.world, "eth0"))

    def name(self, *addresses: str) -> None:
        """Let the server's name lead to these addresses; with none, a resolver is asked that is out of reach."""
        HOSTS.write_text("".join(f"{address} {NAME}\n" for address in addresses))

    def serve(self, number: int, *addresses: str) -> Running:
        """Start a server at these addresses; `number` is that of the client's tunnel addresses."""
        entries = [
            {**COMMON, "identity": "m0", "private_ip": f"10.0.1.{number}", "private_ip6": f"fd00:1::{number}/64"},
            {**COMMON, "identity": "m1", "private_ip": "10.0.1.9", "ciders": [*COVERED, *REFUSED]},
        ]
        (self._folder / "routes.json").write_text(json.dumps(entries))
        listening = json.dumps([f"[{one}]:{PORT}" if ":" in one else f"{one}:{PORT}" for one in addresses])
        (self._folder / "server.toml").write_text(SERVER_TOML.replace(f'"{SERVER}:{PORT}"', listening))
        return self._keep(Running("server", self._folder, ["serve"], self.world.namespace))

    def connect(self) -> Running:
        """Start the client, which knows the server's name."""
        file = write_client_toml(self._folder, "m0", ACCEPT)
        file.write_text(file.read_text().replace(SERVER, NAME))
        return self._keep(Running("client", self._folder, ["connect", "--config", file.name], self.client.namespace))

    def is_set_up(self, client: Running, number: int, *remotes: str) -> None:
        """Wait until a session with one of these addresses stands, and see that the host has what belongs to it."""
        own = [f"10.0.1.{number}/24", f"fd00:1::{number}/64"]
        met = client.until(lambda status: status["addresses"] == own and any(at in status["remote"] for at in remotes))
        found = client.until(lambda status: set(COVERED) <= set(status["routes"]))
        assert found["refused_routes"] == REFUSED
        addresses = self.client.run("ip", "-o", "address", "show", "rustun0")
        assert addresses.count("inet ") == addresses.count("inet6 ") == 1, addresses
        assert all(one in addresses for one in own), addresses
        assert {self.way(remote) for remote in remotes if remote in met["remote"]} == {"eth0"}
        assert {self.way("203.0.113.99"), self.way("2a00:8::99")} == {"rustun0"}
        elsewhere = ("198.51.100.9", "2001:db8::9", "198.18.1.9", "2a00:1::9", "198.18.1.1")
        assert {self.way(address) for address in elsewhere} == {"eth0"}

    def way(self, address: str) -> str:
        """Return the interface that the client's host uses for an address."""
        words = self.client.run("ip", "route", "get", address).split()
        return words[words.index("dev") + 1]

    def _keep(self, running: Running) -> Running:
        self.callback(running.kill)
        return running


def begins(address: str, packet: Packet) -> bool:
    """Return whether a connection to this address begins."""
    network = packet.getlayer(IPv6 if ":" in address else IP)
    return network is not None and network.dst == address and TCP in packet and packet[TCP].flags == "S"


def one_address_is_dead(world: World) -> None:
    """Let the name lead to an IPv6 address that is dead and to the server: both are tried side by side."""
    world.name(NOWHERE, SERVER)
    world.server, world.running = world.serve(1, SERVER), world.connect()
    world.is_set_up(world.running, 1, SERVER)
    world.tap.until(partial(begins, SERVER))
    asked = [to for packet in world.tap.seen for to in (NOWHERE, SERVER) if begins(to, packet)]
    assert asked == [NOWHERE, SERVER], "side by side: before the kernel repeats the first, a second later"


def the_server_moves(world: World) -> None:
    """Let the server move to other addresses, and the name with it: the client finds it there."""
    world.server.end(signal.SIGKILL)
    world.name(SECOND6, SECOND4)
    world.server = world.serve(2, SECOND4, SECOND6)
    world.is_set_up(world.running, 2, *SECOND)


def the_resolver_is_dead(world: World) -> None:
    """Let no resolver answer while the server restarts: the addresses known from earlier are tried, without waiting."""
    world.name()
    world.server.end(signal.SIGKILL)
    world.running.until_logged("trying again")
    world.tap.now().clear()
    world.serve(3, SECOND4, SECOND6)
    began = monotonic()
    world.is_set_up(world.running, 3, *SECOND)
    assert monotonic() - began < RESOLVER_S / 2, "it waited for the resolver"
    assert "trying the addresses known from earlier" in world.running.log
    world.tap.until(lambda packet: any(begins(address, packet) for address in SECOND))


def the_client_ends(world: World) -> None:
    """End the client: its host is as before."""
    assert world.running.end(signal.SIGTERM) == 0, world.running.log
    assert_same(world.before, world.client.do(host_picture), "the client's host")


@scenario(one_address_is_dead, the_server_moves, the_resolver_is_dead, the_client_ends, rows="32")
def server_moves(folder: Path) -> Iterator[World]:
    """A server that moves is found by its name, a dead IPv6 address or resolver keeps nobody out, and routes follow.

                 198.18.1.2            198.18.1.1
    client eth0 ---------------------------------- eth0 world   203.0.113.7, .8; 2a00:8::8: the server at its time
                 2a00:1::2             2a00:1::1                2a00:8::7: leads nowhere

    A member offers 203.0.113.0/24 and 2a00:8::/32, so that each of these addresses has to be kept outside of the
    tunnel, and what the client's host never agreed to, or has itself.
    """
    with World(folder) as world:
        yield world
