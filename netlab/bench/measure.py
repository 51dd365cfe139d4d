"""Measurements between two nodes: each starts load programs in their namespaces and returns a frozen record."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeVar

from netlab.bench.costs import used_seconds
from netlab.errors import ExpectationFailed
from netlab.lab import Laboratory
from netlab.processes import Document, Measurement, resident_bytes
from netlab.topology import SERVER
from rustun.config.server import load_server_config

GRACE_SECONDS: Final = 15.0  # for interpreters to start and queues to drain, beyond the time that a load runs
LOADED_INTERVAL_SECONDS: Final = 0.01  # between echoes under load
PINGED_FRACTION: Final = 0.8  # of the time of the load
CROWD_JOIN_SECONDS: Final = 90.0  # 5,000 handshakes, both sides on two busy cores
CROWD_REST_SECONDS: Final = 3.0  # that the crowd stays beyond the ping beside it
GIGA: Final = 1e9
VISITS: Final = "netlab.bench.visits"
BEFOREHAND_SECONDS: Final = 1.0  # for interpreters to start and connections to stand before loads begin together
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Path:
    """From a node to an address of another node."""

    sender: str
    receiver: str
    address: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """What arrived by TCP: Gbit/s of payload, and processor seconds per gigabyte of the rustun processes on the way."""

    gigabits: float
    relay_seconds_per_gigabyte: float
    sender_seconds_per_gigabyte: float
    receiver_seconds_per_gigabyte: float


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What became of paced datagrams; `offered` a second, lost as a fraction of those sent."""

    offered: float
    lost: float


@dataclass(frozen=True, slots=True)
class Trips:
    """Round trips of echoes in milliseconds; `jitter` from one to the next, in the mean; `lost` is a fraction."""

    median: float
    mean: float
    p95: float
    p99: float
    longest: float
    jitter: float
    lost: float


@dataclass(frozen=True, slots=True)
class Visits:
    """Short transfers over fresh connections: how many a second, and milliseconds of one."""

    per_second: float
    median: float
    p95: float


def throughput(lab: Laboratory, path: Path, *, streams: int, seconds: float) -> Throughput:
    """Send TCP for `seconds` over `streams` connections."""
    found, _ = _bulk(lab, path, streams, seconds, lambda: None)
    return found


def both_ways(lab: Laboratory, path: Path, *, seconds: float) -> tuple[float, float]:
    """Send TCP over one connection each way at once, and return the Gbit/s that arrive along the path and back."""
    (own,) = (one for one in lab.spec.members if one.identity == path.sender)
    back = Path(path.receiver, path.sender, str(own.addresses[0].ip))
    at = monotonic() + BEFOREHAND_SECONDS

    def there() -> Throughput:
        found, _ = _bulk(lab, back, 1, seconds, lambda: None, at=at)
        return found

    forth, returned = _bulk(lab, path, 1, seconds, there, at=at)
    return forth.gigabits, returned.gigabits


def loaded_trips(lab: Laboratory, path: Path, *, streams: int, seconds: float) -> tuple[Throughput, Trips]:
    """Send TCP over `streams` connections and ping along the same path most of that time."""
    echoes = max(20, int(seconds * PINGED_FRACTION / LOADED_INTERVAL_SECONDS))
    return _bulk(lab, path, streams, seconds, lambda: trips(lab, path, echoes=echoes, interval=LOADED_INTERVAL_SECONDS))


def _bulk(
    lab: Laboratory, path: Path, streams: int, seconds: float, meanwhile: Callable[[], T], *, at: float = 0.0
) -> tuple[Throughput, T]:
    deadline = max(monotonic(), at) + seconds + GRACE_SECONDS
    on_the_way = (SERVER, _client(lab, path.sender), _client(lab, path.receiver))
    before = [used_seconds(lab, node) for node in on_the_way]
    options = ("--streams", str(streams), "--seconds", str(seconds))
    with _sink(lab, path, "tcp-sink", *options[:2], deadline=deadline) as (sink, port):
        with _running(lab, path.sender, "tcp-send", path.address, port, *options, "--at", str(at)) as sender:
            result = meanwhile()
            found = sink.line(deadline)
            sender.finish(deadline)
    gigabytes = found["bytes"] / GIGA
    used = [used_seconds(lab, node) - earlier for node, earlier in zip(on_the_way, before, strict=True)]
    relay, sending, receiving = (seconds / gigabytes for seconds in used)
    return Throughput(gigabytes * 8 / found["seconds"], relay, sending, receiving), result


def datagrams(lab: Laboratory, path: Path, *, size: int, rate: float, seconds: float) -> Datagrams:
    """Offer `rate` datagrams a second of `size` payload bytes and count what arrives."""
    deadline = monotonic() + seconds + GRACE_SECONDS
    arguments = ("--bytes", str(size), "--rate", str(rate), "--seconds", str(seconds))
    with _sink(lab, path, "udp-sink", deadline=deadline) as (sink, port):
        with _running(lab, path.sender, "udp-send", path.address, port, *arguments) as sender:
            sent = sender.line(deadline)
            received = sink.line(deadline)
    return Datagrams(sent["sent"] / sent["seconds"], 1 - received["received"] / max(1, sent["sent"]))


def trips(lab: Laboratory, path: Path, *, echoes: int, interval: float = 0.005) -> Trips:
    """Ping at a fixed pace: one echo every `interval` seconds."""
    deadline = monotonic() + echoes * interval + GRACE_SECONDS
    pace = ("--count", str(echoes), "--interval", str(interval))
    with _running(lab, path.sender, "ping", path.address, *pace) as pinger:
        found = pinger.line(deadline)

    def time(name: str) -> float:
        return float(found.get(name, "inf"))  # none came back

    return Trips(
        median=time("median_ms"),
        mean=time("mean_ms"),
        p95=time("p95_ms"),
        p99=time("p99_ms"),
        longest=time("max_ms"),
        jitter=time("jitter_ms"),
        lost=1 - found["received"] / found["sent"],
    )


def visits(lab: Laboratory, path: Path, *, size: int, at_a_time: int, seconds: float) -> Visits:
    """Fetch `size` bytes over fresh connections, again and again, `at_a_time` beside each other."""
    deadline = monotonic() + seconds + GRACE_SECONDS
    server = Measurement(lab.namespaces[path.receiver], ("serve",), VISITS)
    try:
        port = str(server.line(deadline)["port"])
        pace = ("--seconds", str(seconds), "--at-a-time", str(at_a_time))
        visitor = Measurement(lab.namespaces[path.sender], ("fetch", path.address, port, str(size), *pace), VISITS)
        try:
            found = visitor.line(deadline)
        finally:
            visitor.stop()
    finally:
        server.stop()
    return Visits(found["visits"] / found["seconds"], found["median_ms"], found["p95_ms"])


@contextmanager
def _running(lab: Laboratory, node: str, *arguments: str) -> Iterator[Measurement]:
    load = Measurement(lab.namespaces[node], arguments)
    try:
        yield load
    finally:
        load.stop()


@contextmanager
def _sink(lab: Laboratory, path: Path, *arguments: str, deadline: float) -> Iterator[tuple[Measurement, str]]:
    """Start a receiver and learn its port, so that the sender never comes too early."""
    with _running(lab, path.receiver, *arguments) as sink:
        yield sink, str(sink.line(deadline)["port"])


@dataclass(frozen=True, slots=True)
class Crowd:
    """What thousands of idle members cost: server memory for each, how many were dropped, an active pair's ping."""

    kibibytes_each: float
    dropped: int
    before: Trips
    beside: Trips


def crowd(lab: Laboratory, path: Path, *, clients: int, echoes: int) -> Crowd:
    """Let `clients` idle members join the server over loopback, and ping along `path` before and beside them.

    Raises:
        ExpectationFailed: the server listens on no address that loopback reaches, or not all of the crowd came in.
    """
    seconds = echoes * 0.005 + CROWD_REST_SECONDS
    before = trips(lab, path, echoes=echoes)
    server = lab.processes[SERVER].pid
    bytes_before = resident_bytes(server)
    arguments = (loopback_port(lab), server_key(lab), str(clients), str(seconds))
    members = Measurement(lab.namespaces[SERVER], arguments, "netlab.bench.crowd")
    try:
        deadline = monotonic() + CROWD_JOIN_SECONDS
        come_in(members, clients, deadline)
        beside = trips(lab, path, echoes=echoes)
        grown = resident_bytes(server) - bytes_before
        left = members.line(deadline + seconds)["dropped"]
        members.finish(deadline + seconds)
    finally:
        members.stop()
    return Crowd(grown / clients / 1024, left, before, beside)


def come_in(members: Measurement, clients: int, deadline: float) -> Document:
    """Wait until a crowd is in and return what it says. Raises ExpectationFailed when not all of it came in."""
    members.line(deadline)  # ready
    found = members.line(deadline)
    if found["online"] != clients:
        raise ExpectationFailed(f"only {found['online']} of {clients} came in")
    return found


def loopback_port(lab: Laboratory) -> str:
    """Return the port of the server that 127.0.0.1 leads to."""
    listening = (lab.status(SERVER) or {}).get("listen", [])
    for endpoint in listening:
        address, _, port = endpoint.rpartition(":")
        if address in ("0.0.0.0", "[::]", "127.0.0.1"):
            return str(port)
    raise ExpectationFailed(f"the server is not to be reached over loopback; it listens on {', '.join(listening)}")


def server_key(lab: Laboratory) -> str:
    """Return the server's public key in Base64."""
    return load_server_config(lab.files.configuration / "server.toml").security.private_keys[0].public


def _client(lab: Laboratory, node: str) -> str:
    """Return the member whose client carries a node's traffic: itself, or the one that the LAN host is behind."""
    return next((host.behind for host in lab.spec.hosts if host.name == node), node)
