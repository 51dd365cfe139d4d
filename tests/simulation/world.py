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
from base64 import b64encode
from collections import Counter
from collections.abc import Generator, Iterator
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.backends.base import Endpoint
from rustun.backends.memory import (
    MemoryHostNetwork,
    MemoryNetwork,
    MemoryNetworkMonitor,
    MemoryTun,
    VirtualReactor,
)
from rustun.backends.memory.host import NO_OFFLOAD
from rustun.client.client import TunnelClient
from rustun.config import load_server_config
from rustun.config.client import ClientConfig, ClientOptions, client_config_from_options, load_client_config
from rustun.config.routes import at_once
from rustun.encoded import EncodedItems
from rustun.errors import RustunError
from rustun.events import EVENTS
from rustun.protocol.suites import public_key
from rustun.protocol.tiers import Tier
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

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        """Keep one event."""
        self.events.append((level, name, message, fields))

    def texts(self, reason: str) -> list[str]:
        """Return the messages of one reason."""
        return [message for _, found, message, _ in self.events if found == reason]

    def assert_catalogued(self) -> None:
        """Fail if anything was reported that docs/events.md tells otherwise, or not at all."""
        for level, name, _, fields in self.events:
            assert level in EVENTS[name].levels, name
            assert tuple(fields) == EVENTS[name].fields, name


def private_key(name: str, age: str = "") -> X25519PrivateKey:
    """Return the key pair of a member, or of the "server"; `age` tells those of one name apart."""
    return X25519PrivateKey.from_private_bytes(sha256(f"{name}/{age}".encode()).digest())


def public_text(name: str, age: str = "") -> str:
    """Return the public half as files write it."""
    return b64encode(public_key(private_key(name, age))).decode()


def write_key(folder: Path, name: str, age: str = "") -> Path:
    """Write a private key to a file of its own and return the path."""
    path = folder / f"{name}{age}.key"
    path.touch(0o600)
    path.write_text(b64encode(private_key(name, age).private_bytes_raw()).decode() + "\n")
    return path


def keyed(entries: list[Entry]) -> list[Entry]:
    """Return the entries, each with its member's public key unless it says a key or a tier itself."""
    return [
        one if "public_key" in one or "tier" in one else {**one, "public_key": public_text(one["identity"])}
        for one in entries
    ]


def whole(steps: Generator[None, None, dict[str, object]]) -> dict[str, Any]:
    """Return a document that is made in steps, with its lists made."""
    return {key: _made(value) for key, value in at_once(steps).items()}


def _made(value: object) -> object:
    if isinstance(value, EncodedItems):
        return [json.loads(text) for text in value]
    return list(value) if isinstance(value, Iterator) else value


class Host:
    """A host with a TunnelClient; the test plays its applications."""

    def __init__(self, world: World, identity: str, config: ClientConfig) -> None:
        self.identity = identity
        self.network = world.new_host()
        self.host_network = MemoryHostNetwork(world.reactor)
        self.monitor = MemoryNetworkMonitor(world.reactor)
        self.log = RecordedLog()
        self.failures: list[RustunError] = []
        self.client = TunnelClient(
            config,
            world.reactor,
            self.network,
            self.host_network,
            self.monitor,
            world.random_bytes,
            self.log,
            aes_is_fast=True,
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

    def status(self) -> dict[str, Any]:
        """Return the client's part of the status document, whole."""
        return whole(self.client.status())

    def move(self, address: str) -> None:
        """Take this host to another network."""
        self.network.move(address)
        self.monitor.change()

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
        tier: of the members; the key tier's keys are made here (`private_key`), and the entries get them by themselves.
        security, limits, queues: what stands in these tables.
        seed: of everything random.
    """

    def __init__(
        self,
        folder: Path,
        entries: list[Entry],
        *,
        method: str = "chacha20poly1305",
        tier: Tier = Tier.SHARED,
        security: dict[str, object] | None = None,
        limits: dict[str, object] | None = None,
        queues: dict[str, object] | None = None,
        seed: int = 1,
    ) -> None:
        self.method = method
        self.tier = tier
        self.folder = folder
        self.reactor = VirtualReactor(seed)
        self.network = MemoryNetwork(self.reactor, seed, SERVER.host)
        self.faults = self.network.faults
        self.random_bytes = random.Random(seed).randbytes
        self.log = RecordedLog()
        self.hosts: list[Host] = []
        self.routes_file = folder / "routes.json"
        self.write_routes(keyed(entries) if tier is Tier.KEY else entries)
        self._made_hosts = 0
        self._config_file = folder / "server.toml"
        self._tables = {"limit_config": limits or {}, "queue_config": queues or {}}
        self.write_config(security)
        self.start_server()

    # --- the server --------------------------------------------------------------------------------------------------

    def write_config(self, security: dict[str, object] | None = None, server_ages: tuple[str, ...] = ("",)) -> None:
        """Write server.toml, with one key or two of the server in the key tier."""
        method = self.method
        crypto = 'crypto_config = "plain"' if method == "plain" else f'[crypto_config]\n{method} = "{KEY}"'
        if self.tier is Tier.KEY:
            keys = [self.key_file("server", age).name for age in server_ages]
            security = {"private_key_file": keys, **(security or {})}
        security = {"known_keys_file": "known-keys.json", **(security or {})}
        tables = {"security_config": security, **self._tables}
        text = [crypto, f'[server_config]\nlisten_addr = "{SERVER}"', '[route_config]\nroutes_file = "routes.json"']
        for name, values in tables.items():
            text.append(f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        self._config_file.write_text("\n".join(text))

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

    def status(self, cluster: str = "", member: str = "", since: str = "") -> dict[str, Any]:
        """Return the server's part of the status document, whole."""
        return whole(self.server.status(cluster, member, since))

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
        """Start a client on a host of its own; `options` as those of `rustun connect`.

        In a world of the key tier it has the key of its identity, unless `method` or `key` is given.
        """
        if self.tier is Tier.KEY and not method and key == KEY:
            return self.host_of(self.client_config(identity, ClientOptions(**options)))
        return self.host_of(self.shared_config(identity, key=key, method=method or self.method, **options))

    def shared_config(self, identity: str, *, key: str = KEY, method: str, **options: Any) -> ClientConfig:
        """Return the configuration of a member of the shared or the legacy tier."""
        crypto = "plain" if method == "plain" else f"{OPTION_NAMES[method]}:{key}"
        options = {"server": str(SERVER), "crypto": crypto, **options}
        return client_config_from_options(ClientOptions(identity=identity, **options))

    def host_of(self, config: ClientConfig) -> Host:
        """Start a client with this configuration on a host of its own."""
        host = Host(self, config.identity, config)
        self.hosts.append(host)
        host.client.start()
        return host

    def client_config(
        self,
        identity: str,
        options: ClientOptions | None = None,
        *,
        ages: tuple[str, ...] = ("",),
        server_ages: tuple[str, ...] = ("",),
    ) -> ClientConfig:
        """Write and read the client.toml of a member of the key tier, with one key or two of its own and the server."""
        path = self.folder / f"client-{identity}.toml"
        options = options or ClientOptions()
        keys = [self.key_file(identity, age).name for age in ages]
        pinned = [public_text("server", age) for age in server_ages]
        address = options.server or str(SERVER)
        path.write_text(
            f"identity = {json.dumps(identity)}\n"
            f"servers = [{{ address = {json.dumps(address)}, public_key = {json.dumps(pinned)} }}]\n"
            f"[security_config]\nprivate_key_file = {json.dumps(keys)}\n"
        )
        return load_client_config(path, options)

    def key_file(self, name: str, age: str = "") -> Path:
        """Write the private key of a member or of the "server" to its file and return the path."""
        return write_key(self.folder, name, age)

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
        for log in (self.log, *(host.log for host in self.hosts)):
            log.assert_catalogued()
        placed = [session for cluster in self.core.clusters.values() for session in cluster.sessions.values()]
        assert all(session in self.core.sessions and not session.closed for session in placed)
        assert self.core.queued_bytes == sum(session.queue.bytes for session in self.core.sessions)
        for host in self.hosts:
            host.client.stop("the test is over", lambda: None)
        self.stop_server()
        self.run(1.0)
        assert not self.core.sessions
        assert self.core.queued_bytes == 0
        assert not len(self.server.acceptor.pending)
