"""What the bench measures: rows of variants, and the figures that some of them have to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from netlab.bench import costs, measure, measure_keys
from netlab.bench import measure_toolkit as tool
from netlab.bench.measure_toolkit import ASSERTIONS, MEMBERS, Toolkit
from netlab.lab import Laboratory

SENDER, RECEIVER, LAN_HOST = "sh-office-gw", "sh-db", "sh-printer"
PLAIN: Final = "plain"
CROWD: Final = "crowd"
SHARED: Final = "aes-shared"
MASQUERADED: Final = "aes-masquerade"
MAPPED: Final = "aes-mapping"
AES, CHACHA, AES_SINGLE, CHACHA_SINGLE = "aes", "chacha", "aes-no-offload", "chacha-no-offload"
ECHOES: Final = 300  # at 5 ms: gives a usable median and p99
SMALL_BYTES, SMALL_RATE = 100, 100_000.0
LARGE_BYTES, LARGE_BITS = 1300, 500e6
CROWD_CLIENTS: Final = 5000
HANDSHAKES: Final = 3000
REKEY_LOADS: Final = 2  # times as long as others: two members have new keys every second
Values = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """What has to be reached: `metric` of `variant` at least or at most `limit`, absolute or of the row's reference."""

    what: str
    variant: str
    metric: str
    least: bool
    limit: float
    of_reference: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured, for several variants.

    `once` is for what depends on what was before, so that a second time says nothing. `reference` is the variant that
    the others are measured next to and compared with, where it is among them. `take` gets the variant's place: its
    Laboratory, or its Toolkit.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    take: Callable[[Any, float], Values]
    figures: tuple[Figure, ...] = ()
    once: bool = False
    reference: str = PLAIN


def path_from(lab: Laboratory, sender: str) -> measure.Path:
    """Return the way from a node to the bench's receiver, by IPv4."""
    return measure.Path(sender, RECEIVER, str(lab.spec.member(RECEIVER).addresses[0].ip))


def _single(lab: Laboratory, seconds: float) -> Values:
    return _throughput_values(lab, measure.throughput(lab, path_from(lab, SENDER), streams=1, seconds=seconds))


def _from_lan(lab: Laboratory, seconds: float) -> Values:
    return _throughput_values(lab, measure.throughput(lab, path_from(lab, LAN_HOST), streams=1, seconds=seconds))


def _to_lan(lab: Laboratory, seconds: float) -> Values:
    """The other way round: here the gateway's table translates, the source or the destination of each packet."""
    (host,) = (host for host in lab.spec.hosts if host.name == LAN_HOST)
    (seen,) = lab.spec.member(host.behind).ciders
    address = seen[int(host.addresses[0]) & int(seen.hostmask)]
    path = measure.Path(RECEIVER, LAN_HOST, str(address))
    return _throughput_values(lab, measure.throughput(lab, path, streams=1, seconds=seconds))


def _four(lab: Laboratory, seconds: float) -> Values:
    found, trips = measure.loaded_trips(lab, path_from(lab, SENDER), streams=4, seconds=seconds)
    return {
        **_throughput_values(lab, found),
        "ping mean ms": trips.mean,
        "ping median ms": trips.median,
        "ping p99 ms": trips.p99,
    }


def _throughput_values(lab: Laboratory, found: measure.Throughput) -> Values:
    if lab.plain:
        return {"Gbit/s": found.gigabits}
    return {
        "Gbit/s": found.gigabits,
        "relay CPU s/GB": found.relay_seconds_per_gigabyte,
        "sender CPU s/GB": found.sender_seconds_per_gigabyte,
        "receiver CPU s/GB": found.receiver_seconds_per_gigabyte,
    }


def _all_on_the_way(lab: Laboratory, seconds: float) -> Values:
    found = measure.throughput(lab, path_from(lab, SENDER), streams=1, seconds=seconds)
    relay, sender = found.relay_seconds_per_gigabyte, found.sender_seconds_per_gigabyte
    return {"CPU s/GB": relay + sender + found.receiver_seconds_per_gigabyte, "relay CPU s/GB": relay}


def _idle_ping(lab: Laboratory, _seconds: float) -> Values:
    trips = measure.trips(lab, path_from(lab, SENDER), echoes=ECHOES)
    return {"mean ms": trips.mean, "median ms": trips.median, "p99 ms": trips.p99, "lost %": trips.lost * 100}


def _small(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, SMALL_BYTES, SMALL_RATE, seconds)


def _large(lab: Laboratory, seconds: float) -> Values:
    return _paced(lab, LARGE_BYTES, LARGE_BITS / 8 / LARGE_BYTES, seconds)


def _paced(lab: Laboratory, size: int, rate: float, seconds: float) -> Values:
    found = measure.datagrams(lab, path_from(lab, SENDER), size=size, rate=rate, seconds=seconds)
    return {"lost %": found.lost * 100, "offered k/s": found.offered / 1000}


def _memory(lab: Laboratory, _seconds: float) -> Values:
    sizes = costs.resident_megabytes(lab)
    return {"server MB": sizes["server"], "client MB": sizes["client"]}


def _crowd(lab: Laboratory, _seconds: float) -> Values:
    found = measure.crowd(lab, path_from(lab, SENDER), clients=CROWD_CLIENTS, echoes=ECHOES)
    return {
        "KiB each": found.kibibytes_each,
        "dropped": found.dropped,
        "ping before ms": found.before.median,
        "ping beside ms": found.beside.median,
        "beside/before": found.beside.median / found.before.median,
    }


def _handshakes(lab: Laboratory, _seconds: float) -> Values:
    found = measure_keys.handshakes(lab, HANDSHAKES)
    return {"per second": found.per_second, "per server CPU s": found.per_processor_second}


def _strangers(lab: Laboratory, seconds: float) -> Values:
    found = measure_keys.refusals(lab, seconds)
    return {
        "in memory/s": measure_keys.refusals_in_memory(seconds / 4),
        "per second": found.per_second,
        "per server CPU s": found.per_processor_second,
    }


def _flood(lab: Laboratory, seconds: float) -> Values:
    found = measure_keys.flood(lab, path_from(lab, SENDER), seconds)
    return {
        "beside/bare port": found.share,
        "beside/alone": found.share_of_alone,
        "refused/s": found.refused_per_second,
        "newcomer s": found.newcomer_seconds,
    }


def _return(lab: Laboratory, _seconds: float) -> Values:
    found = measure_keys.fleet_returns(lab, CROWD_CLIENTS)
    return {"all back s": found.seconds, "server MB": found.server_megabytes}


def _rekeys(lab: Laboratory, seconds: float) -> Values:
    found = measure_keys.rekeys(lab, REKEY_LOADS * seconds)
    return {
        "rekeys": found.rekeys,
        "lost": found.lost,
        "Gbit/s": found.gigabits,
        "longest step, CPU ms": found.longest_step_milliseconds,
        "longest step, ms": found.longest_step_by_the_clock,
    }


def _process(toolkit: Toolkit, _seconds: float) -> Values:
    seconds, of_a_processor = toolkit.take()
    return {"s": seconds, "CPU s": of_a_processor}


def _reload(toolkit: Toolkit, _seconds: float) -> Values:
    found = toolkit.reload()
    return {
        "applied s": found["seconds"],
        "longest step, CPU ms": found["longest_cpu_ms"],
        "longest step, ms": found["longest_ms"],
    }


TUNNELS: Final = (AES, CHACHA, AES_SINGLE, CHACHA_SINGLE)
ROWS: Final = (
    Row(
        "tcp-1", "1 TCP stream", (PLAIN, *TUNNELS), _single,
        (Figure("1 TCP stream, AES-256-GCM", AES, "Gbit/s", True, 0.45, True),
         Figure("1 TCP stream, ChaCha20-Poly1305", CHACHA, "Gbit/s", True, 0.28, True),
         Figure("1 TCP stream, AES, both ends without offload", AES_SINGLE, "Gbit/s", True, 0.04, True)),
    ),
    Row("tiers", "1 TCP stream, key tier against shared tier", (SHARED, AES), _all_on_the_way,
        (Figure("CPU s/GB of all on the way, key tier", AES, "CPU s/GB", False, 1.03, True),), reference=SHARED),
    Row("lan", "1 TCP stream from a LAN host through its gateway", (PLAIN, AES), _from_lan,
        (Figure("1 TCP stream, AES, from a LAN host", AES, "Gbit/s", True, 0.40, True),)),
    Row("to-lan", "1 TCP stream to a LAN host whose gateway translates", (AES, MASQUERADED, MAPPED), _to_lan,
        reference=AES),
    Row("tcp-4", "4 TCP streams, ping meanwhile", (PLAIN, *TUNNELS), _four,
        (Figure("4 streams, AES: ping meanwhile, mean ms", AES, "ping mean ms", False, 3.0),
         Figure("4 streams, AES: ping meanwhile, p99 ms", AES, "ping p99 ms", False, 8.0))),
    Row("ping", "idle ping, one every 5 ms", (PLAIN, AES, CHACHA), _idle_ping,
        (Figure("idle ping, median ms", AES, "median ms", False, 0.55),)),
    Row("udp-small", "100-byte datagrams, one system call each, 100,000/s offered", (PLAIN, AES, CHACHA), _small,
        (Figure("100-byte datagrams at 100,000/s, lost %", AES, "lost %", False, 1.0),)),
    Row("udp-large", "1300-byte datagrams, 500 Mbit/s offered", (PLAIN, AES, CHACHA), _large,
        (Figure("1300-byte datagrams at 500 Mbit/s, lost %", AES, "lost %", False, 1.0),)),
    Row("memory", "resident memory after all that; server with 4 clients", TUNNELS, _memory,
        (Figure("resident memory, server with 4 clients, MB", AES, "server MB", False, 64.0),
         Figure("resident memory, client, MB", AES, "client MB", False, 64.0)), once=True),
    Row("crowd", f"{CROWD_CLIENTS:,} idle clients over loopback", (CROWD,), _crowd,
        (Figure(f"{CROWD_CLIENTS:,} idle clients, KiB each", CROWD, "KiB each", False, 32.0),
         Figure(f"{CROWD_CLIENTS:,} idle clients, dropped", CROWD, "dropped", False, 0.0),
         Figure(f"{CROWD_CLIENTS:,} idle clients, ping of a pair beside/before", CROWD, "beside/before", False, 1.25)),
        once=True),
    Row("handshakes", f"{HANDSHAKES:,} handshakes of the key tier over loopback", (CROWD,), _handshakes,
        (Figure("handshakes completed per second", CROWD, "per second", True, 1000.0),)),
    Row("strangers", "first messages refused by the envelope", (CROWD,), _strangers,
        (Figure("strangers refused per second, in memory", CROWD, "in memory/s", True, 100_000.0),
         Figure("strangers refused per second, over TCP", CROWD, "per second", True, 8000.0))),
    Row("flood", "1 TCP stream beside 1,000 forged handshakes a second from 500 sources", (CROWD,), _flood,
        (Figure("a transfer beside 1,000 forged handshakes/s", CROWD, "beside/alone", True, 0.9),
         Figure("the same, but for what their being here costs", CROWD, "beside/bare port", True, 0.9),
         Figure("a newcomer beside 1,000 forged handshakes/s, s", CROWD, "newcomer s", False, 1.0))),
    Row("rekey", "rekeys under full load over loopback", (CROWD,), _rekeys,
        (Figure("rekeys under full load: packets lost", CROWD, "lost", False, 0.0),
         Figure("rekeys under full load: longest step, CPU ms", CROWD, "longest step, CPU ms", False, 5.0))),
    Row("return", f"{CROWD_CLIENTS:,} clients after a restart of the server", (CROWD,), _return,
        (Figure(f"{CROWD_CLIENTS:,} clients are back after, s", CROWD, "all back s", False, 15.0),
         Figure(f"{CROWD_CLIENTS:,} clients come back: server, MB", CROWD, "server MB", False, 250.0)), once=True),
    Row("toolkit", f"tasks on a fleet of {MEMBERS:,} members",
        (tool.READ, tool.SAME, tool.NEW, tool.LINT, tool.POLICY), _process,
        (Figure(f"gen-config, {MEMBERS:,} members, nothing new, s", tool.SAME, "s", False, 2.0),
         Figure(f"gen-config, {MEMBERS:,} members, all new, s", tool.NEW, "s", False, 8.0),
         Figure(f"lint, {MEMBERS:,} members, s", tool.LINT, "s", False, 2.0),
         Figure(f"policy-test, {MEMBERS:,} members, {ASSERTIONS:,} assertions, s", tool.POLICY, "s", False, 2.0)),
        reference=tool.READ),
    Row("start", "start of a task", (tool.BARE, tool.LIST, tool.SMALL_SAME, tool.SMALL_LINT), _process,
        (Figure("start of a task that only lists, s", tool.LIST, "s", False, 0.4),
         Figure("gen-config of the demo, nothing new, s", tool.SMALL_SAME, "s", False, 0.4),
         Figure("lint of the demo, s", tool.SMALL_LINT, "s", False, 0.4)), reference=tool.BARE),
    Row("reload", f"a server takes a routes.json of {MEMBERS:,} members, one of them gone", (tool.RELOAD,), _reload,
        (Figure("one large routes.json changed: applied after, s", tool.RELOAD, "applied s", False, 2.0),
         Figure("the same: longest step, CPU ms", tool.RELOAD, "longest step, CPU ms", False, 10.0))),
)  # fmt: skip
TOOLKIT: Final = tuple(variant for row in ROWS[-3:] for variant in row.variants)
