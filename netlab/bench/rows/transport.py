"""Rows of bulk TCP: streams, directions, tiers, address families, sizes, LANs; and a second opinion on the load."""

from __future__ import annotations

from typing import Final

from netlab.bench import iperf, measure
from netlab.bench.rows.row import Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import (
    AES,
    AES_SINGLE,
    CHACHA,
    CHACHA_SHARED,
    CHACHA_SINGLE,
    LAN_HOST,
    LEGACY,
    MAPPED,
    MASQUERADED,
    MTU_1280,
    MTU_9000,
    OPENVPN_UDP,
    OTHERS,
    OUTER6,
    PLAIN,
    RECEIVER,
    SENDER,
    SHARED,
    SINGLE_1280,
    SINGLE_9000,
    TUNNELS,
    WIREGUARD_GO,
)
from netlab.lab import Laboratory

MANY: Final = 16
DISAGREEMENT: Final = 1.25  # two programs, one after the other, on a machine whose speed varies by a tenth by itself


def _single(lab: Laboratory, seconds: float) -> Values:
    return _throughput_values(lab, measure.throughput(lab, path_from(lab, SENDER), streams=1, seconds=seconds))


def _many(lab: Laboratory, seconds: float) -> Values:
    return _throughput_values(lab, measure.throughput(lab, path_from(lab, SENDER), streams=MANY, seconds=seconds))


def _both(lab: Laboratory, seconds: float) -> Values:
    forth, back = measure.both_ways(lab, path_from(lab, SENDER), seconds=seconds)
    return {"Gbit/s": forth + back, "forth Gbit/s": forth, "back Gbit/s": back}


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
        "ping p95 ms": trips.p95,
        "ping p99 ms": trips.p99,
        "ping jitter ms": trips.jitter,
    }


def _families(lab: Laboratory, seconds: float) -> Values:
    found = {
        version: measure.throughput(lab, path_from(lab, SENDER, version=version), streams=1, seconds=seconds)
        for version in (4, 6)
    }
    return {"IPv4 inside, Gbit/s": found[4].gigabits, "IPv6 inside, Gbit/s": found[6].gigabits}


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
    every = relay + sender + found.receiver_seconds_per_gigabyte
    return {"CPU s/GB": every, "relay CPU s/GB": relay, "Gbit/s": found.gigabits}


def _agreement(lab: Laboratory, seconds: float) -> Values:
    path = path_from(lab, SENDER)
    before = measure.throughput(lab, path, streams=1, seconds=seconds).gigabits
    other = iperf.throughput(lab, path, streams=1, seconds=seconds)
    after = measure.throughput(lab, path, streams=1, seconds=seconds).gigabits
    own = (before + after) / 2
    return {"own Gbit/s": own, "iperf3 Gbit/s": other, "iperf3/own": other / own}


TRANSPORT: Final = (
    Row(
        "tcp-1", "1 TCP stream", (PLAIN, *TUNNELS, *OTHERS), _single,
        (Figure("1 TCP stream, AES-256-GCM", AES, "Gbit/s", True, 0.50, PLAIN),
         Figure("1 TCP stream, ChaCha20-Poly1305", CHACHA, "Gbit/s", True, 0.30, PLAIN),
         Figure("1 TCP stream, AES, both ends without offload", AES_SINGLE, "Gbit/s", True, 0.04, PLAIN),
         Figure("1 TCP stream, AES, beside OpenVPN over UDP", AES, "Gbit/s", True, 10.0, OPENVPN_UDP),
         Figure("1 TCP stream, AES, beside wireguard-go", AES, "Gbit/s", True, 12.0, WIREGUARD_GO)),
    ),
    Row("tcp-4", "4 TCP streams, ping meanwhile", (PLAIN, *TUNNELS, *OTHERS), _four,
        (Figure("4 streams, AES: ping meanwhile, mean ms", AES, "ping mean ms", False, 2.0),
         Figure("4 streams, AES: ping meanwhile, p99 ms", AES, "ping p99 ms", False, 5.0))),
    Row("tcp-16", f"{MANY} TCP streams", (PLAIN, AES, CHACHA, *OTHERS), _many),
    Row("tcp-both", "1 TCP stream each way at once", (PLAIN, AES, CHACHA, *OTHERS), _both),
    Row("tiers", "1 TCP stream, key tier against shared tier", (SHARED, AES), _all_on_the_way,
        (Figure("CPU s/GB of all on the way, key tier", AES, "CPU s/GB", False, 1.03, SHARED),), reference=SHARED),
    Row("tiers-chacha", "1 TCP stream with ChaCha20-Poly1305, tier by tier", (CHACHA, CHACHA_SHARED, LEGACY),
        _all_on_the_way, reference=CHACHA),
    Row("families", "1 TCP stream, IPv4 and IPv6 inside and outside", (PLAIN, AES, OUTER6), _families),
    Row("mtu", "1 TCP stream, inner MTU", (PLAIN, MTU_1280, AES, MTU_9000), _single),
    Row("mtu-no-offload", "1 TCP stream, inner MTU, both ends without offload",
        (PLAIN, SINGLE_1280, AES_SINGLE, SINGLE_9000), _single),
    Row("lan", "1 TCP stream from a LAN host through its gateway", (PLAIN, AES), _from_lan,
        (Figure("1 TCP stream, AES, from a LAN host", AES, "Gbit/s", True, 0.40, PLAIN),)),
    Row("to-lan", "1 TCP stream to a LAN host whose gateway translates", (AES, MASQUERADED, MAPPED), _to_lan,
        reference=AES),
    Row("agreement", "1 TCP stream, this bench's own load and iperf3", (PLAIN, AES, CHACHA_SINGLE), _agreement,
        tuple(Figure(f"iperf3 beside the own load, {variant}", variant, "iperf3/own", least, limit)
              for variant in (PLAIN, AES) for least, limit in ((True, 1 / DISAGREEMENT), (False, DISAGREEMENT))),
        programs={iperf.PROGRAM: iperf.PROGRAM}),
)  # fmt: skip
