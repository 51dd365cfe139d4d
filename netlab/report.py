"""The tables of the demo, as lines of text at most 100 columns wide; what was expected beside what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

from netlab.bench.measure import Datagrams
from netlab.isolation.expectation import BROADCAST, MULTICAST, Site, sites
from netlab.isolation.judgement import NO, RED, UNPROVEN, YES, Verdict
from netlab.isolation.why import Explanation
from netlab.topology import LabSpec

if TYPE_CHECKING:
    from netlab.demo import Speed

WIDTH: Final = 100
MOST_COLUMNS: Final = 8  # a larger fleet is told by rows that are not as expected, not by a table
SHOWN_SURPRISES: Final = 5
SHOWN_EXPLANATIONS: Final = 3
WHAT_IS_SENT: Final = "ICMP, TCP, UDP, fragments, spoofed sources, broadcast, multicast, IPv4 and IPv6"


def matrix_lines(spec: LabSpec, verdict: Verdict) -> Iterator[str]:
    """Yield the table of who reaches whom, then the probes' count and each surprise."""
    yield f"  who reaches whom ({WHAT_IS_SENT})"
    everybody = sites(spec)
    if len(everybody) <= MOST_COLUMNS:
        yield from _table(everybody, verdict)
    yield f"    {verdict.probes} probes, {_count(len(verdict.red), 'surprise')}, {len(verdict.doubtful)} unproven"
    for member in verdict.counted:
        yield f"    {member} is alone in its cluster: the counters of its client and of the relay prove its denials"
    for title, findings in (("surprise", verdict.red), ("unproven", verdict.doubtful)):
        for finding in findings[:SHOWN_SURPRISES]:
            yield from wrap(f"{title}: {finding}", WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8)
        if len(findings) > SHOWN_SURPRISES:
            yield f"      ... and {len(findings) - SHOWN_SURPRISES} more (--json lists all)"
    yield ""


def verdict_facts(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a document of JSON."""
    return {
        "probes": verdict.probes,
        "cells": [
            {"from": pair[0], "to": pair[1], "expected": "yes" if verdict.expected[pair] else "no", "found": found}
            for pair, found in verdict.cells.items()
        ],
        "surprises": [str(finding) for finding in verdict.red],
        "unproven": [str(finding) for finding in verdict.doubtful],
        "counted": verdict.counted,
    }


def explanation_lines(explanations: Sequence[Explanation], red_cells: int) -> Iterator[str]:
    """Yield why cells are red, the first few; the same thing mostly is behind all."""
    for one in explanations[:SHOWN_EXPLANATIONS]:
        yield from (f"  {line}" for line in one.lines)
        yield ""
    if red_cells > SHOWN_EXPLANATIONS:
        yield f"  ... and {red_cells - SHOWN_EXPLANATIONS} more red cells (--json explains them)"
        yield ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _table(everybody: tuple[Site, ...], verdict: Verdict) -> Iterator[str]:
    first = max(len(site.node) for site in everybody) + 2
    columns = [*(site.node for site in everybody), "groups"]
    width = min((WIDTH - 4 - first) // len(columns), max(map(len, columns)) + 2)
    yield "    " + " " * first + "".join(f"{name[: width - 1]:^{width}}" for name in columns)
    for sender in everybody:
        cells = [_cell(sender, target, verdict) for target in everybody]
        found = {verdict.cells.get((sender.node, group), UNPROVEN) for group in (BROADCAST, MULTICAST)}
        cells.append(_in_words(next(one for one in (RED, UNPROVEN, YES, NO) if one in found), wanted=NO))
        yield f"    {sender.node:<{first}}" + "".join(f"{cell:^{width}}" for cell in cells)
    yield "    yes, no: as the inventory says; own: the site's own LAN, no tunnel between; groups: broadcast, multicast"


def _cell(sender: Site, target: Site, verdict: Verdict) -> str:
    cell = (sender.node, target.node)
    if sender.node == target.node:
        return "-"
    if sender.member == target.member:
        return "own"
    return _in_words(verdict.cells.get(cell, UNPROVEN), wanted=YES if verdict.expected.get(cell) else NO)


def _in_words(found: str, wanted: str) -> str:
    if found in (YES, NO):
        return found
    return f"{wanted} / WRONG" if found == RED else f"{wanted} / ?"


def throughput_lines(plain: Speed, tunnel: Speed) -> Iterator[str]:
    """Yield the table of speeds: plain routing between the same members, rustun, and their ratio."""
    yield f"  {'throughput':<14}{'1 stream':<16}{'4 streams,':<16}{'ping meanwhile':<26}{'small packets':<24}"
    for name, speed in (("plain route", plain), ("rustun", tunnel)):
        ping = f"{speed.trips.mean:.2f} ms, p99 {speed.trips.p99:.2f}"
        yield (
            f"    {name:<12}{_gigabits(speed.single.gigabits):<16}{_gigabits(speed.four.gigabits):<16}"
            f"{ping:<26}{_small(speed.small)}"
        )
    yield f"    {'':<12}{tunnel.single.gigabits / plain.single.gigabits:.2f} of plain"


def _gigabits(value: float) -> str:
    return f"{value:.1f} Gbit/s" if value >= 1 else f"{value * 1000:.0f} Mbit/s"


def _small(found: Datagrams) -> str:
    return f"{found.offered / 1000:.0f} k/s, {found.lost:.1%} lost"
