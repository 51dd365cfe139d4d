"""A world with a second server: its own address and keys, the same members.

Rules of this module
  1. Both read one routes.json; a test that wants them to differ writes another one beside it.
  2. Server 1 is the world's own. `kill` is what SIGKILL does: resets, and not a word.
"""

from __future__ import annotations

import json
from pathlib import Path

from netlab.worlds.ip_packets import udp_packet
from rustun.backends.base import Endpoint
from rustun.config import load_server_config
from rustun.config.client import load_client_config
from rustun.protocol.tiers import Tier
from rustun.relay.server import RelayServer
from tests.simulation.world import SERVER, Entry, Host, RecordedLog, World, public_text

SECOND = Endpoint("192.0.2.2", 8080)
BOTH = (SERVER, SECOND)
KEY_NAMES = {SERVER: "server", SECOND: "second"}


def numbered(number: int, source: str = "10.0.1.1", destination: str = "10.0.1.2") -> bytes:
    """Return the packet of that number."""
    return udp_packet(source, destination, (1, 2), number.to_bytes(4, "big"))


def kill(server: RelayServer) -> None:
    """End a server as SIGKILL does."""
    for session in list(server.core.sessions):
        session.stream.reset()
        session.close("stopping")
    server.stop("killed", lambda: None)


class TwoServers(World):
    """Two servers of the key tier, and members that know both.

    Args: as for World, and
        second_entries: of the routes.json that only the second server reads.
    """

    def __init__(self, folder: Path, entries: list[Entry], second_entries: list[Entry] | None = None) -> None:
        super().__init__(folder, entries, tier=Tier.KEY)
        self.second_log = RecordedLog()
        self.second_network = self.network.host(SECOND.host)
        routes = "routes.json"
        if second_entries is not None:
            routes = "second-routes.json"
            (folder / routes).write_text(json.dumps(second_entries))
        self._second_file = folder / "second.toml"
        self._second_file.write_text(
            f'[server_config]\nlisten_addr = "{SECOND}"\n[route_config]\nroutes_file = "{routes}"\n'
            f'[security_config]\nprivate_key_file = "{self.key_file("second").name}"\n'
            'known_keys_file = "second-known.json"\n'
        )
        self.start_second()

    def start_second(self) -> None:
        """Start the second server, also again."""
        config = load_server_config(self._second_file)
        self.second = RelayServer(
            config, self.reactor, self.second_network, self.random_bytes, self.second_log, aes_is_fast=True
        )
        self.second.start()

    def write_client(self, identity: str, servers: tuple[Endpoint, ...] = BOTH, **keys: str) -> Path:
        """Write the client.toml of a member with these servers; `keys` as server=age names another pinned key."""
        path = self.folder / f"client-{identity}.toml"
        listed = [
            f'{{ address = "{one}", public_key = "{public_text(KEY_NAMES[one], keys.get(KEY_NAMES[one], ""))}" }}'
            for one in servers
        ]
        path.write_text(
            f"identity = {json.dumps(identity)}\nservers = [{', '.join(listed)}]\n"
            f'[security_config]\nprivate_key_file = "{self.key_file(identity).name}"\n'
        )
        return path

    def member(self, identity: str, servers: tuple[Endpoint, ...] = BOTH, **keys: str) -> Host:
        """Start a client that knows these servers."""
        path = self.write_client(identity, servers, **keys)
        host = self.host_of(load_client_config(path))
        host.client.settings.read = lambda: load_client_config(path)
        return host

    def members(self, count: int) -> list[Host]:
        """Start the first members of `office`, each on both servers, and let them find each other."""
        hosts = [self.member(f"m{number}") for number in range(count)]
        self.run(3.0)
        assert self.at_second == self.present == {host.identity for host in hosts}
        return hosts

    @property
    def at_second(self) -> set[str]:
        """Identities with a confirmed session at the second server."""
        return {session.identity for session in self.second.core.sessions if session.confirmed}

    def part(self, host: Host, server: Endpoint) -> None:
        """Let nothing pass between a host and a server."""
        self.faults.parted.add(frozenset({host.network.address, server.host}))

    def relayed(self) -> tuple[int, int]:
        """Return how many packets each server has taken from members that are there now."""
        first, second = (
            sum(session.traffic.received_packets for session in server.core.sessions)
            for server in (self.server, self.second)
        )
        return first, second

    def finish(self) -> None:
        """As for World, with the second server."""
        faults = self.second_log.texts("internal-error")
        assert not faults, faults
        for host in self.hosts:
            host.client.stop("the test is over", lambda: None)
        self.second.stop("the test stops it", lambda: None)
        super().finish()
        assert not self.second.core.sessions
