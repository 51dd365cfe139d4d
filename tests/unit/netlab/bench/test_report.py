"""The bench's figures and tables."""

from __future__ import annotations

import pytest

from netlab.bench.document import Asked, Document
from netlab.bench.report import facts, markdown_lines, tables, text_lines
from netlab.bench.rows.catalogue import ROWS
from netlab.bench.sample import Sample, ratios, values_of
from netlab.bench.variants import FLEETS, OTHERS, PLAIN, TITLES, TUNNELS

# What has to be reached, as people were promised it: (row, variant, metric, least, limit, times that of).
PROMISED = {
    ("tcp-1", "aes", "Gbit/s", True, 0.50, "plain"),
    ("tcp-1", "chacha", "Gbit/s", True, 0.30, "plain"),
    ("tcp-1", "aes", "Gbit/s", True, 10.0, "openvpn-udp"),
    ("tcp-1", "aes", "Gbit/s", True, 12.0, "wireguard-go"),
    ("lan", "aes", "Gbit/s", True, 0.40, "plain"),
    ("tiers", "aes", "CPU s/GB", False, 1.03, "aes-shared"),
    ("tcp-1", "aes-no-offload", "Gbit/s", True, 0.04, "plain"),
    ("tcp-4", "aes", "ping mean ms", False, 2.0, ""),
    ("tcp-4", "aes", "ping p99 ms", False, 5.0, ""),
    ("agreement", "plain", "iperf3/own", True, 0.8, ""),
    ("agreement", "plain", "iperf3/own", False, 1.25, ""),
    ("agreement", "aes", "iperf3/own", True, 0.8, ""),
    ("agreement", "aes", "iperf3/own", False, 1.25, ""),
    ("ping", "aes", "median ms", False, 2.0, "openvpn-udp"),
    ("ping", "aes", "median ms", False, 0.55, ""),
    ("udp-small", "aes", "lost %", False, 1.0, ""),
    ("udp-small", "aes", "offered k/s", True, 118.8, ""),
    ("distance", "aes", "20 ms, 0.1 %: Mbit/s", True, 60.0, ""),
    ("udp-large", "aes", "lost %", False, 1.0, ""),
    ("memory", "aes", "server MB", False, 64.0, ""),
    ("memory", "aes", "client MB", False, 64.0, ""),
    ("crowd", "crowd", "KiB each", False, 32.0, ""),
    ("crowd", "crowd", "dropped", False, 0.0, ""),
    ("crowd", "crowd", "beside/before", False, 1.25, ""),
    ("web", "crowd", "scrape ms", False, 200.0, ""),
    ("web", "crowd", "CPU beside/alone", False, 1.03, ""),
    ("handshakes", "crowd", "per second", True, 1000.0, ""),
    ("strangers", "crowd", "in memory/s", True, 100_000.0, ""),
    ("strangers", "crowd", "per second", True, 8000.0, ""),
    ("flood", "crowd", "beside/alone", True, 0.9, ""),
    ("flood", "crowd", "beside/bare port", True, 0.9, ""),
    ("flood", "crowd", "newcomer s", False, 1.0, ""),
    ("rekey", "crowd", "lost", False, 0.0, ""),
    ("rekey", "crowd", "longest step, CPU ms", False, 5.0, ""),
    ("status", "crowd", "json s", False, 0.3, ""),
    ("status", "crowd", "table s", False, 1.0, ""),
    ("status", "crowd", "CPU s/GB beside/alone", False, 1.03, ""),
    ("status", "crowd", "longest step, CPU ms", False, 5.0, ""),
    ("return", "crowd", "all back s", False, 15.0, ""),
    ("return", "crowd", "server MB", False, 250.0, ""),
    ("toolkit", "gen-config, nothing new", "s", False, 2.0, ""),
    ("toolkit", "gen-config, all new", "s", False, 8.0, ""),
    ("toolkit", "lint", "s", False, 2.0, ""),
    ("toolkit", "policy-test", "s", False, 2.0, ""),
    ("start", "--list", "s", False, 0.4, ""),
    ("start", "gen-config of the demo", "s", False, 0.4, ""),
    ("start", "lint of the demo", "s", False, 0.4, ""),
    ("reload", "serve", "applied s", False, 2.0, ""),
    ("reload", "serve", "longest step, CPU ms", False, 10.0, ""),
    ("lab", "reference lab", "wired after s", False, 0.5, ""),
    ("lab", "reference lab", "echoes after s", False, 4.0, ""),
    ("lab", "reference lab", "down after s", False, 0.5, ""),
    ("capture", "aes", "captured/alone", True, 0.9, ""),
}


def taken(**found: float) -> list[Sample]:
    """Return one group of samples of the first row: a speed for each variant."""
    return [Sample("tcp-1", name.replace("_", "-"), 0, 0, {"Gbit/s": value}) for name, value in found.items()]


def test_ratios_are_taken_between_neighbours() -> None:
    """A machine that slows down in between would change the ratio."""
    values = [(0, "plain", 10.0), (0, "aes", 5.0), (1, "plain", 2.0), (1, "aes", 1.0)]
    samples = [Sample("tcp-1", variant, 0, group, {"Gbit/s": value}) for group, variant, value in values]
    assert ratios(samples, PLAIN, "aes", "Gbit/s") == [0.5, 0.5]


def test_ratios_to_another_group_are_of_the_same_repetition() -> None:
    """Two tunnels that are not neighbours would never be compared, or across the whole run."""
    found = [(0, 0, "aes", 8.0), (0, 1, "openvpn-udp", 1.0), (1, 2, "openvpn-udp", 2.0), (1, 3, "aes", 8.0)]
    samples = [Sample("tcp-1", variant, again, group, {"Gbit/s": value}) for again, group, variant, value in found]
    assert ratios(samples, "openvpn-udp", "aes", "Gbit/s") == [8.0, 4.0]
    assert ratios(samples[:1], "openvpn-udp", "aes", "Gbit/s") == []
    assert values_of(samples, "aes", "Gbit/s") == [8.0, 8.0]


def test_the_figures_are_those_that_were_promised() -> None:
    """A figure that is not in the table, or has another limit there, is never missed."""
    found = {(row.name, f.variant, f.metric, f.least, f.limit, f.of) for row in ROWS for f in row.figures}
    assert found == PROMISED
    for row in ROWS:
        for figure in row.figures:
            assert {figure.variant, figure.of or figure.variant} <= set(row.variants), figure


def test_every_row_and_laboratory_is_known_by_one_name() -> None:
    """A row would hide another one, or a report speak of a variant that nobody can look up."""
    assert len({row.name for row in ROWS}) == len(ROWS)
    measured = {variant for row in ROWS for variant in row.variants}
    assert {PLAIN, *FLEETS, *OTHERS} <= measured
    assert set(TITLES) == {PLAIN, *FLEETS, *OTHERS}


def test_the_verdict_says_what_was_missed() -> None:
    """A figure that is missed has to stand out, and one that was not measured must not look reached."""
    samples = taken(plain=16.0, aes=8.0, chacha=2.0)
    verdicts = {line[0]: line[1:] for line in tables(ROWS[:1], samples)[0].rows}
    assert verdicts["1 TCP stream, AES-256-GCM"] == ("at least 0.5 x plain", "0.5 x", "reached")
    assert verdicts["1 TCP stream, ChaCha20-Poly1305"] == ("at least 0.3 x plain", "0.125 x", "MISSED")
    assert verdicts["1 TCP stream, AES, both ends without offload"][1:] == ("not measured", "?")
    assert verdicts["1 TCP stream, AES, beside OpenVPN over UDP"][1:] == ("not measured", "?")


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


@pytest.mark.parametrize("repetitions", [1, 6])
def test_tables_fit_a_terminal_and_are_well_formed_markdown(repetitions: int) -> None:
    """The table would break in a terminal, or in the document that it is pasted into."""
    values = {"Gbit/s": 12.3456, "receiver CPU s/GB": 123.456, "longest step, CPU ms": 0.00123}
    variants = (PLAIN, *TUNNELS, *OTHERS, "crowd", "aes-no-offload-mtu-1280")
    samples = [
        Sample(row.name, name, number, number, values)
        for row in ROWS
        for name in variants
        for number in range(repetitions)
    ]
    for table in tables(ROWS, samples):
        assert max(map(len, text_lines(table))) <= 100
        lines = [line for line in markdown_lines(table) if line.startswith("|")]
        assert len(lines) == len(table.rows) + 2
        assert {line.count("|") for line in lines} == {len(table.heading) + 1}


def test_an_interval_stands_beside_a_median_only_where_there_is_one() -> None:
    """A single sample would look as sure as six."""
    samples = [Sample("tcp-1", "aes", number, number, {"Gbit/s": float(number)}) for number in range(6)]
    assert tables(ROWS[:1], samples)[2].rows[0] == ("aes", "Gbit/s", "2.5", "0 to 5", "")
    assert tables(ROWS[:1], samples[:5])[2].rows[0] == ("aes", "Gbit/s", "2", "-", "")


def test_what_was_left_out_is_said() -> None:
    """A peer that is missing would be missing without a word."""
    found = Document({"cpu": "2 x A"}, Asked(6, 2.0, 1), "2026-01-01", skipped={"openvpn-udp": "not installed"})
    assert facts(found)[1:] == ["Skipped: openvpn-udp (not installed)."]
