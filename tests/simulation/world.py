"""A whole relay with its clients in one process: the real RelayServer and TunnelClients over the in-memory twins.

Rules of this module
  1. Files are real (server.toml, routes.json), network, devices and time are not: hours pass in a moment, and the same
     seed gives the same run.
  2. Every host has an address of its own on one fabric; a test cuts, slows or floods it there.
  3. Whatever a test did, `finish` looks for what it must never leave: a fault of our own code, a watched source, a
     session, a queued byte.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from rustun.backends.base import Endpoint
from rustun.backends.memory import MemoryHostNetwork, MemoryNetwork, MemoryTun, VirtualReactor
from rustun.backends.memory.host import NO_OFFLOAD
from rustun.client.client import TunnelClient
from rustun.config import load_server_config
from rustun.config.client import ClientOptions, client_config_from_options
from rustun.errors import RustunError
from rustun.relay.server import RelayServer
from rustun.relay.session import RelaySession

KEY = "marked-secret-of-32-bytes-length"
SERVER = Endpoint("192.0.2.1", 8080)
ROUND_TRIPS_S = 0.1  # enough for a dozen messages to and fro
FIRST_HOST = int(ip_address("198.18.0.1"))
OPTION_NAMES = {"chacha20poly1305": "chacha20", "aes256": "aes256", "xor": "xor", "plain": "plain"}

Entry = dict[str, Any]


def entry(identity: str, address: str, cluster: str = "beijing", **more: object) -> Entry:
    """Return an entry of routes.json."""
    bare = {"cluster": cluster, "identity": identity, "private_ip": address, "mask": "255.255.255.0", "ciders": []}
    return {**bare, **more}


def office(count: int) -> list[Entry]:
    """Return entries of `count` members m0, m1, ... of one cluster, at 10.0.1.1 and on, and fd00:1::1 and on."""
    first = int(ip_address("10.0.1.1"))
    return [
        entry(
            f"m{number}", str(ip_address(first + number)), mask="255.255.0.0", private_ip6=f"fd00:1::{number + 1:x}/64"
        )
        for number in range(count)
    ]


class RecordedLog:
    """An EventLog that keeps everything."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str, dict[str, object]]] = []

    def event(self, level: str, reason: str, message: str, **fields: object) -> None:
        """Keep one event."""
        self.events.append((level, reason, message, fields))

    def texts(self, reason: str) -> list[str]:
        """Return the messages of one reason."""
        return [message for _, found, message, _ in self.events if found == reason]


class Host:
    """A host with a TunnelClient; the test plays its applications."""

    def __init__(self, world: World, identity: str, options: ClientOptions) -> None:
        self.identity = identity
        self.network = world.new_host()
        self.host_network = MemoryHostNetwork(world.reactor)
        self.log = RecordedLog()
        self.failures: list[RustunError] = []
        config = client_config_from_options(options)
        self.client = TunnelClient(
            config, world.reactor, self.network, self.host_network, world.random_bytes, self.log, aes_is_fast=True
        )
        self.client.on_failure = self.failures.append

    @property
    def tun(self) -> MemoryTun:
        """The device that is there now."""
        return self.host_network.tuns[-1]

    @property
    def packets(self) -> list[bytes]:
        """Packets that came out of all devices, as they were written."""
        return [packet for tun in self.host_network.tuns for _, packet in tun.received]

    @property
    def drops(self) -> Counter[str]:
        """What the client dropped, by reason."""
        return self.client.pump.drops

    def send(self, *packets: bytes, header: bytes = NO_OFFLOAD) -> None:
        """Let an application on this host send packets into the tunnel."""
        for packet in packets:
            assert self.tun.send(packet, header), "the device's queue is full: let the world run in between"


class World:
    """A relay, its files, and any number of hosts.

    Args:
        folder: for server.toml and routes.json.
        entries: of routes.json.
        method: of crypto_config.
        security, limits, queues: what stands in these tables.
        seed: of everything random.
    """

    def __init__(
        self,
        folder: Path,
        entries: list[Entry],
        *,
        method: str = "chacha20poly1305",
        security: dict[str, object] | None = None,
        limits: dict[str, object] | None = None,
        queues: dict[str, object] | None = None,
        seed: int = 1,
    ) -> None:
        self.method = method
        self.reactor = VirtualReactor(seed)
        self.network = MemoryNetwork(self.reactor, seed, SERVER.host)
        self.faults = self.network.faults
        self.random_bytes = random.Random(seed).randbytes
        self.log = RecordedLog()
        self.hosts: list[Host] = []
        self.routes_file = folder / "routes.json"
        self.write_routes(entries)
        self._made_hosts = 0
        self._config_file = folder / "server.toml"
        crypto = 'crypto_config = "plain"' if method == "plain" else f'[crypto_config]\n{method} = "{KEY}"'
        tables = {"security_config": security or {}, "limit_config": limits or {}, "queue_config": queues or {}}
        text = [crypto, f'[server_config]\nlisten_addr = "{SERVER}"', '[route_config]\nroutes_file = "routes.json"']
        for name, values in tables.items():
            text.append(f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        self._config_file.write_text("\n".join(text))
        self.start_server()

    # --- the server --------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the relay; also a second time, after `stop_server` or `kill_server`."""
        config = load_server_config(self._config_file)
        self.server = RelayServer(config, self.reactor, self.network, self.random_bytes, self.log, aes_is_fast=True)
        self.core = self.server.core
        self.server.start()

    def stop_server(self) -> None:
        """Stop the relay in order."""
        self.server.stop("the test stops it", lambda: None)

    def write_routes(self, entries: list[Entry] | bytes) -> None:
        """Replace routes.json as a careful tool does: written aside, then renamed."""
        aside = self.routes_file.with_suffix(".new")
        aside.write_bytes(entries if isinstance(entries, bytes) else json.dumps(entries).encode())
        os.rename(aside, self.routes_file)

    def session(self, identity: str) -> RelaySession:
        """Return the confirmed session of a member."""
        return next(one for one in self.core.sessions if one.identity == identity and one.confirmed)

    def drops(self, identity: str) -> Counter[str]:
        """Return what the relay dropped of a member that is online, by reason."""
        return self.session(identity).traffic.drops

    # --- hosts -------------------------------------------------------------------------------------------------------

    def new_host(self) -> MemoryNetwork:
        """Return the network as a new host sees it."""
        self._made_hosts += 1
        return self.network.host(str(ip_address(FIRST_HOST + self._made_hosts)))

    def host(self, identity: str, *, key: str = KEY, method: str = "", **options: Any) -> Host:
        """Start a client on a host of its own; `options` as those of `rustun connect`."""
        method = method or self.method
        crypto = "plain" if method == "plain" else f"{OPTION_NAMES[method]}:{key}"
        options = {"server": str(SERVER), "crypto": crypto, **options}
        host = Host(self, identity, ClientOptions(identity=identity, **options))
        self.hosts.append(host)
        host.client.start()
        return host

    def online(self, *identities: str, **options: Any) -> list[Host]:
        """Start clients and let time pass until all of them are online and know of each other."""
        hosts = [self.host(identity, **options) for identity in identities]
        self.run_until_online(*identities)
        self.run(2.0)
        return hosts

    def run_until_online(self, *identities: str, limit_s: float = 120.0) -> None:
        """Let time pass until these members have confirmed sessions."""
        self.reactor.run_until_true(lambda: set(identities) <= self.present, limit_s)

    @property
    def present(self) -> set[str]:
        """Identities with a confirmed session."""
        return {session.identity for session in self.core.sessions if session.confirmed}

    def run(self, seconds: float = ROUND_TRIPS_S) -> None:
        """Let time pass."""
        self.reactor.run_for(seconds)

    # --- the end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Stop everything and fail if anything is left, or if our own code failed on the way."""
        faults = self.log.texts("internal-error") + [
            text for host in self.hosts for text in host.log.texts("internal-error")
        ]
        assert not faults, faults
        assert self.core.queued_bytes == sum(session.queue.bytes for session in self.core.sessions)
        for host in self.hosts:
            host.client.stop("the test is over", lambda: None)
        self.stop_server()
        self.run(1.0)
        assert not self.core.sessions
        assert self.core.queued_bytes == 0
        assert not len(self.server.pending)
