"""Rows of the server: memory, thousands of members, strangers, rekeys, and a fleet that comes back."""

from __future__ import annotations

from typing import Final

from netlab.bench import costs, measure, measure_keys, measure_web
from netlab.bench.rows.latency import ECHOES
from netlab.bench.rows.row import Figure, Row, path_from
from netlab.bench.sample import Values
from netlab.bench.variants import AES, CROWD, CROWD_CLIENTS, OTHERS, SENDER, TUNNELS
from netlab.lab import Laboratory

HANDSHAKES: Final = 3000
LOOKED_AT: Final = 1000  # members in a session; the others are known and absent
LOOK_LOADS: Final = 12  # times as long as others: six turns, and a relay that is looked at differs little
REKEY_LOADS: Final = 2  # times as long as others: two members have new keys every second


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


def _looks(lab: Laboratory, seconds: float) -> Values:
    found = measure_web.looks(lab, path_from(lab, SENDER), clients=LOOKED_AT, seconds=seconds)
    return {
        "scrape ms": found.milliseconds,
        "longest ms": found.longest,
        "KiB": found.kibibytes,
        "core": found.core,
        "CPU beside/alone": found.beside,
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


def _status(lab: Laboratory, seconds: float) -> Values:
    found = measure_keys.looks(lab, CROWD_CLIENTS, LOOK_LOADS * seconds)
    return {
        "json s": found.json_seconds,
        "table s": found.table_seconds,
        "CPU s/GB beside/alone": found.share,
        "longest step, CPU ms": found.longest_step_milliseconds,
        "longest step, ms": found.longest_step_by_the_clock,
    }


SERVERS: Final = (
    Row("memory", "resident memory after all that; server with 4 clients", (*TUNNELS, *OTHERS), _memory,
        (Figure("resident memory, server with 4 clients, MB", AES, "server MB", False, 64.0),
         Figure("resident memory, client, MB", AES, "client MB", False, 64.0)), once=True),
    Row("crowd", f"{CROWD_CLIENTS:,} idle clients over loopback", (CROWD,), _crowd,
        (Figure(f"{CROWD_CLIENTS:,} idle clients, KiB each", CROWD, "KiB each", False, 32.0),
         Figure(f"{CROWD_CLIENTS:,} idle clients, dropped", CROWD, "dropped", False, 0.0),
         Figure(f"{CROWD_CLIENTS:,} idle clients, a pair's ping beside/before", CROWD, "beside/before", False, 1.25)),
        once=True),
    Row("web", f"/metrics once a second, {LOOKED_AT:,} members in a session of {CROWD_CLIENTS:,}", (CROWD,), _looks,
        (Figure(f"/metrics with lines for {LOOKED_AT:,} members, ms", CROWD, "scrape ms", False, 200.0),
         Figure("CPU s/GB while it is scraped, beside without", CROWD, "CPU beside/alone", False, 1.03))),
    Row("handshakes", f"{HANDSHAKES:,} handshakes of the key tier over loopback", (CROWD,), _handshakes,
        (Figure("handshakes completed per second", CROWD, "per second", True, 1000.0),)),
    Row("strangers", "first messages refused by the envelope", (CROWD,), _strangers,
        (Figure("strangers refused per second, in memory", CROWD, "in memory/s", True, 100_000.0),
         Figure("strangers refused per second, over TCP", CROWD, "per second", True, 8000.0))),
    Row("flood", "1 TCP stream beside 1,000 forged handshakes a second from 500 sources", (CROWD,), _flood,
        (Figure("a transfer beside 1,000 forged handshakes/s", CROWD, "beside/alone", True, 0.9),
         Figure("the same, without what their being here costs", CROWD, "beside/bare port", True, 0.9),
         Figure("a newcomer beside 1,000 forged handshakes/s, s", CROWD, "newcomer s", False, 1.0))),
    Row("rekey", "rekeys under full load over loopback", (CROWD,), _rekeys,
        (Figure("rekeys under full load: packets lost", CROWD, "lost", False, 0.0),
         Figure("rekeys under full load: longest step, CPU ms", CROWD, "longest step, CPU ms", False, 5.0))),
    Row("status", f"people look at a relay of {CROWD_CLIENTS:,} members", (CROWD,), _status,
        (Figure(f"rustun status --json, {CROWD_CLIENTS:,} members, s", CROWD, "json s", False, 0.3),
         Figure(f"rustun status, {CROWD_CLIENTS:,} members, s", CROWD, "table s", False, 1.0),
         Figure("CPU s/GB while somebody looks, beside without", CROWD, "CPU s/GB beside/alone", False, 1.03),
         Figure("status of a large relay: longest step, CPU ms", CROWD, "longest step, CPU ms", False, 5.0))),
    Row("return", f"{CROWD_CLIENTS:,} clients after a restart of the server", (CROWD,), _return,
        (Figure(f"{CROWD_CLIENTS:,} clients are back after, s", CROWD, "all back s", False, 15.0),
         Figure(f"{CROWD_CLIENTS:,} clients come back: server, MB", CROWD, "server MB", False, 250.0)), once=True),
)  # fmt: skip
