"""The bench's order of measurements and its tables."""

from __future__ import annotations

from random import Random

import pytest

from netlab.bench.report import Sample, markdown_lines, ratio, tables, text_lines
from netlab.bench.rows import PLAIN, ROWS, TUNNELS
from netlab.bench.run import neighbourhoods

# What has to be reached, as people were promised it: (row, variant, metric, least, limit, share of plain).
PROMISED = {
    ("tcp-1", "aes", "Gbit/s", True, 0.45, True),
    ("tcp-1", "chacha", "Gbit/s", True, 0.28, True),
    ("lan", "aes", "Gbit/s", True, 0.40, True),
    ("tiers", "aes", "CPU s/GB", False, 1.03, True),
    ("tcp-1", "aes-no-offload", "Gbit/s", True, 0.04, True),
    ("tcp-4", "aes", "ping mean ms", False, 3.0, False),
    ("tcp-4", "aes", "ping p99 ms", False, 8.0, False),
    ("ping", "aes", "median ms", False, 0.55, False),
    ("udp-small", "aes", "lost %", False, 1.0, False),
    ("udp-large", "aes", "lost %", False, 1.0, False),
    ("memory", "aes", "server MB", False, 64.0, False),
    ("memory", "aes", "client MB", False, 64.0, False),
    ("crowd", "crowd", "KiB each", False, 32.0, False),
    ("crowd", "crowd", "dropped", False, 0.0, False),
    ("crowd", "crowd", "beside/before", False, 1.25, False),
    ("handshakes", "crowd", "per second", True, 1000.0, False),
    ("strangers", "crowd", "in memory/s", True, 100_000.0, False),
    ("strangers", "crowd", "per second", True, 8000.0, False),
    ("flood", "crowd", "beside/alone", True, 0.9, False),
    ("flood", "crowd", "beside/bare port", True, 0.9, False),
    ("flood", "crowd", "newcomer s", False, 1.0, False),
    ("rekey", "crowd", "lost", False, 0.0, False),
    ("rekey", "crowd", "longest step, CPU ms", False, 5.0, False),
    ("return", "crowd", "all back s", False, 15.0, False),
    ("return", "crowd", "server MB", False, 250.0, False),
    ("toolkit", "gen-config, nothing new", "s", False, 2.0, False),
    ("toolkit", "gen-config, all new", "s", False, 8.0, False),
    ("toolkit", "lint", "s", False, 2.0, False),
    ("toolkit", "policy-test", "s", False, 2.0, False),
    ("start", "--list", "s", False, 0.4, False),
    ("start", "gen-config of the demo", "s", False, 0.4, False),
    ("start", "lint of the demo", "s", False, 0.4, False),
    ("reload", "serve", "applied s", False, 2.0, False),
    ("reload", "serve", "longest step, CPU ms", False, 10.0, False),
}


def taken(**found: float) -> list[Sample]:
    """Return one group of samples of the first row: a speed for each variant."""
    return [Sample("tcp-1", name.replace("_", "-"), 0, 0, {"Gbit/s": value}) for name, value in found.items()]


def test_ratios_are_taken_between_neighbours() -> None:
    """A machine that slows down in between would change the ratio."""
    values = [(0, "plain", 10.0), (0, "aes", 5.0), (1, "plain", 2.0), (1, "aes", 1.0)]
    samples = [Sample("tcp-1", variant, 0, group, {"Gbit/s": value}) for group, variant, value in values]
    assert ratio(samples, PLAIN, "aes", "Gbit/s") == 0.5


@pytest.mark.parametrize("row", [row for row in ROWS if PLAIN in row.variants], ids=lambda row: row.name)
def test_each_tunnel_is_measured_next_to_plain_routing(row: object) -> None:
    """A tunnel would be compared with what plain routing did minutes ago."""
    variants = next(known.variants for known in ROWS if known is row)
    shuffle = Random(1)
    for _ in range(20):
        groups = neighbourhoods(variants, PLAIN, shuffle)
        for group in groups:
            assert group.count(PLAIN) == 1
            assert all(abs(group.index(PLAIN) - place) <= 1 for place in range(len(group)))
        assert sorted(name for group in groups for name in group if name != PLAIN) == sorted(set(variants) - {PLAIN})


def test_the_figures_are_those_that_were_promised() -> None:
    """A figure that is not in the table, or has another limit there, is never missed."""
    found = {(row.name, f.variant, f.metric, f.least, f.limit, f.of_reference) for row in ROWS for f in row.figures}
    assert found == PROMISED
    assert all(figure.variant in row.variants for row in ROWS for figure in row.figures)


def test_the_verdict_says_what_was_missed() -> None:
    """A figure that is missed has to stand out, and one that was not measured must not look reached."""
    samples = taken(plain=16.0, aes=8.0, chacha=2.0)
    verdicts = {line[0]: line[1:] for line in tables(ROWS[:1], samples)[0].rows}
    assert verdicts["1 TCP stream, AES-256-GCM"] == ("at least 0.45 x plain", "0.5 x plain", "reached")
    assert verdicts["1 TCP stream, ChaCha20-Poly1305"] == ("at least 0.28 x plain", "0.125 x plain", "MISSED")
    assert verdicts["1 TCP stream, AES, both ends without offload"][1:] == ("not measured", "?")


def test_claims_stand_beside_what_was_found() -> None:
    """The comparison with the seed would need a calculator."""
    samples = [Sample("tcp-1", "aes", 0, 0, {"Gbit/s": 8.0, "relay CPU s/GB": 1.0})]
    samples += [Sample("ping", name, 0, 1, {"median ms": value}) for name, value in (("plain", 0.1), ("aes", 0.6))]
    claims = {line[0]: line[1:] for line in tables(ROWS, samples)[1].rows}
    assert claims == {
        "one TCP connection": ("about 900 Mbit/s", "8000 Mbit/s"),
        "added latency, idle ping": ("under 1 ms", "0.5 ms"),
        "processor per 100 Mbit/s, relay": ("5 %", "1.25 %"),
        "memory of a client": ("20 MB", "not measured"),
    }


def test_tables_fit_a_terminal_and_are_well_formed_markdown() -> None:
    """The table would break in a terminal, or in the document that it is pasted into."""
    values = {"Gbit/s": 12.3456, "receiver CPU s/GB": 123.456, "ping median ms": 0.001}
    samples = [Sample(row.name, name, 0, 0, values) for row in ROWS for name in (PLAIN, *TUNNELS, "crowd")]
    for table in tables(ROWS, samples):
        assert max(map(len, text_lines(table))) <= 100
        lines = [line for line in markdown_lines(table) if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count("|") for line in lines} == {len(table.heading) + 1}
