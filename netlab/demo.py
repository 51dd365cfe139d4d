"""`./invoke demo`: from the inventory to a proven, measured laboratory and back, said in one page.

Steps: generate the configuration; start the laboratory; prove with packets who reaches whom; measure beside plain
routing; take all down and look whether anything is left. The first failure of an expectation makes the exit code 5,
yet every step that still makes sense is done.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from netlab.bench import measure
from netlab.configuration import Configured
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, LabError
from netlab.isolation import prove
from netlab.lab import Files, Laboratory
from netlab.namespaces import replace_hosts_file
from netlab.phases import phases_text
from netlab.processes import Document
from netlab.report import explanation_lines, matrix_lines, throughput_lines, verdict_facts
from netlab.topology import LabSpec

SOCKETS: Final = Path("/run/rustun")
TIERS: Final = {"key": "key pairs", "shared": "one shared key", "legacy": "the seed's wire"}
CIPHERS: Final = {"aes256": "AES-256-GCM", "chacha20": "ChaCha20-Poly1305", "chacha20poly1305": "ChaCha20-Poly1305"}
SMALL_BYTES: Final = 100
SMALL_RATE: Final = 100_000.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Speed:
    """One row of the demo's throughput table."""

    single: measure.Throughput
    four: measure.Throughput
    trips: measure.Trips
    small: measure.Datagrams


def run(configured: Configured, logs: Path, seconds: float, as_json: bool) -> int:
    """Run the demo inside the laboratory's own world and return the exit code; `seconds` is the length of one load."""
    started = monotonic()
    say: Say = (lambda line: None) if as_json else (lambda line: print(line, flush=True))
    facts: dict[str, Any] = {"schema": 1, "inventory": str(configured.source), "failures": []}
    failures: list[str] = facts["failures"]
    _say_title(configured, say)
    lab = Laboratory(configured.spec, Files(configured.folder, logs, SOCKETS))
    replace_hosts_file(dict(lab.topology.names))
    try:
        _start(lab, say)
        verdict = prove.probe(lab)
        facts["reachability"] = verdict_facts(verdict)
        for line in matrix_lines(configured.spec, verdict):
            say(line)
        if not verdict.as_expected:
            failures.append("reachability is not as expected")
        explanations = prove.explain(lab, verdict, logs / "why") if verdict.red else []
        facts["reachability"]["explanations"] = [one.lines for one in explanations]
        for line in explanation_lines(explanations, len(verdict.red_cells)):
            say(line)
        pair = measured_pair(configured.spec)
        if pair is not None:
            speeds = _measure(lab, pair, seconds, say)
            facts["throughput"] = {name: asdict(speed) for name, speed in speeds.items()}
    except LabError as error:
        say(f"  FAILED: {error}")
        failures.append(error.message)
    left = lab.close()
    facts["left"] = left
    failures += left
    say("  lab-down    " + ("; ".join(left) or "clean: no namespace, device, process or socket left"))
    facts["seconds"] = round(monotonic() - started, 1)
    _say_end(facts, failures, configured.spec.members[0].identity, logs, say)
    if as_json:
        print(json.dumps(facts, indent=2), flush=True)
    return EXIT_UNEXPECTED if failures else EXIT_OK


def _say_title(configured: Configured, say: Say) -> None:
    spec = configured.spec
    clusters = len({member.cluster for member in spec.members})
    members = _count(len(spec.members), "member")
    hosts = _count(len(spec.hosts), "LAN host")
    say(f"rustun demo: {_count(clusters, 'tenant')}, {members}, {hosts}, one relay; nothing leaves this machine")
    say(f"  inventory   {configured.source!s:<40}  {_count(clusters, 'cluster')}, {members}")
    say(f"  gen-config  {configured.folder!s:<40}  {_count(configured.files, 'file')}, {configured.seconds:.1f} s")
    if len(spec.servers) > 1:
        say(f"  relay       one, which has the addresses and names of all {len(spec.servers)} servers of the inventory")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _start(lab: Laboratory, say: Say) -> None:
    lab.start()
    say(
        f"  lab-up      {len(lab.namespaces)} namespaces, 1 server, {_count(len(lab.spec.members), 'client')};"
        f" all sessions up ({_session_kinds(lab)}), an echo through each"
    )
    say(f"              {phases_text(lab.phases)}")
    say("")


def _session_kinds(lab: Laboratory) -> str:
    document: Document = lab.status("server") or {}
    kinds = {
        f"{TIERS[session['tier']]}, {CIPHERS.get(session['cipher'], session['cipher'])}"
        for session in document.get("sessions", ())
    }
    return " and ".join(sorted(kinds))


def measured_pair(spec: LabSpec) -> tuple[str, str] | None:
    """Return the first two members of the first cluster that has two; None when no cluster has."""
    for member in spec.members:
        for other in spec.members:
            if other.cluster == member.cluster and other.identity != member.identity:
                return member.identity, other.identity
    return None


def plain_spec(spec: LabSpec, cluster: str) -> LabSpec:
    """Return one cluster alone: the others may have the same addresses, which plain routing cannot keep apart."""
    return spec.part(member.identity for member in spec.members if member.cluster == cluster)


def _measure(lab: Laboratory, pair: tuple[str, str], seconds: float, say: Say) -> dict[str, Speed]:
    target = lab.spec.member(pair[1])
    path = measure.Path(*pair, str(target.addresses[0].ip))
    plain = Laboratory(plain_spec(lab.spec, target.cluster), lab.files, plain=True)
    try:
        speeds = {"plain route": _speed(plain, path, seconds), "rustun": _speed(lab, path, seconds)}
    finally:
        plain.close()
    for line in throughput_lines(speeds["plain route"], speeds["rustun"]):
        say(line)
    return speeds


def _speed(lab: Laboratory, path: measure.Path, seconds: float) -> Speed:
    single = measure.throughput(lab, path, streams=1, seconds=seconds)
    four, trips = measure.loaded_trips(lab, path, streams=4, seconds=seconds)
    small = measure.datagrams(lab, path, size=SMALL_BYTES, rate=SMALL_RATE, seconds=seconds)
    return Speed(single, four, trips, small)


def _say_end(facts: dict[str, Any], failures: list[str], node: str, logs: Path, say: Say) -> None:
    if failures:
        say(f"not as expected, after {facts['seconds']:.0f} s: " + "; ".join(failures))
        say(f"  what the processes said: {logs}")
    else:
        say(f"everything as expected in {facts['seconds']:.0f} s.   Play on: ./invoke lab-up, same options, then")
        say(f"  ./invoke lab-exec {node} -- rustun status")
