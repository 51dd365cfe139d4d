"""Prove with packets who reaches whom in a running laboratory: plan, let the probing process send, judge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Final

from netlab.errors import ExpectationFailed
from netlab.isolation.reachability import Counts, Probe, Sighting, Verdict, alone, judge, plan_probes, sites
from netlab.lab import TUN, Laboratory
from netlab.processes import CHECKOUT, environment
from netlab.topology import SERVER

PROBING_SECONDS: Final = 60.0
COUNTING_SECONDS: Final = 2.0


def probe(lab: Laboratory) -> Verdict:
    """Send every probe that the inventory calls for and judge what was seen.

    Raises:
        ExpectationFailed: the probing process failed; nothing is known then.
    """
    probes = plan_probes(lab.spec)
    before = _counted(lab)
    sightings = send(lab, probes)
    return judge(lab.spec, probes, sightings, _settled_counts(lab, probes, before))


def send(lab: Laboratory, probes: Sequence[Probe]) -> list[Sighting]:
    """Send probes and return where they, and the answers to them, were seen.

    Raises:
        ExpectationFailed: the probing process failed; nothing is known then.
    """
    namespaces = {name: namespace.fileno() for name, namespace in lab.namespaces.items()}
    order = {
        "namespaces": namespaces,
        "probes": [asdict(probe) for probe in probes],
        "taps": _taps(lab),
        "addresses": {site.node: [str(address) for address in site.addresses] for site in sites(lab.spec)},
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "netlab.isolation.probes"], input=json.dumps(order), cwd=CHECKOUT, env=environment(),
            capture_output=True, text=True, timeout=PROBING_SECONDS, pass_fds=tuple(namespaces.values()), check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ExpectationFailed(f"the probes did not end within {PROBING_SECONDS:.0f} s") from None
    if done.returncode:
        raise ExpectationFailed("the probing process failed", done.stderr.strip()[-2000:])
    return [Sighting(**sighting) for sighting in json.loads(done.stdout)]


def _settled_counts(lab: Laboratory, probes: Sequence[Probe], before: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return what was counted since `before`, as soon as all that was sent is counted everywhere."""
    sent = Counter(probe.sender for probe in probes)
    found: dict[str, Counts] = {}

    def settled() -> bool:
        found.update({name: _since(now, before[name]) for name, now in _counted(lab).items() if name in before})
        return all(counts.prove_silence(sent[name]) for name, counts in found.items())

    try:
        lab.wait_until(settled, "the counters do not say that all was dropped", COUNTING_SECONDS)
    except ExpectationFailed:  # what is missing proves nothing, and the judge will say so
        return found
    return found


def _counted(lab: Laboratory) -> dict[str, Counts]:
    """Return the counters of the members that are alone in their clusters; without rustun nobody counts."""
    if lab.plain:
        return {}
    sessions = {session["identity"]: session for session in (lab.status(SERVER) or {}).get("sessions", ())}
    counts = {}
    for identity in alone(lab.spec):
        client, session = lab.status(identity), sessions.get(identity)
        if client is not None and session is not None:
            dropped = sum(session["drops"].values())
            traffic = (client["sent_packets"], client["received_packets"], session["received_packets"])
            counts[identity] = Counts(*traffic, dropped, session["sent_packets"])
    return counts


def _since(now: Counts, before: Counts) -> Counts:
    return Counts(*(one - other for one, other in zip(astuple(now), astuple(before), strict=True)))


def _taps(lab: Laboratory) -> list[dict[str, object]]:
    """Return a tap on each member's TUN and LAN sides, and on each LAN host's cable."""
    taps: list[dict[str, object]] = []
    for node in lab.topology.nodes:
        if node.role == "member":
            taps.append(_plain_tap(lab, node.name) if lab.plain else {"node": node.name, "interface": TUN})
            taps += [{"node": node.name, "interface": bridge.name, "sends": False} for bridge in node.bridges]
        elif node.role == "host":
            behind = next(host.behind for host in lab.spec.hosts if host.name == node.name)
            taps.append({"node": node.name, "interface": "eth0", "gateway": _gateway_mac(lab, node.name, behind)})
    return taps


def _plain_tap(lab: Laboratory, member: str) -> dict[str, object]:
    """Without tunnels, packets leave by the member's cable to the server's end of it."""
    mac = next(near.mac for near, far in lab.topology.cables if far.node == member)
    return {"node": member, "interface": "eth0", "gateway": mac}


def _gateway_mac(lab: Laboratory, host: str, behind: str) -> str:
    port = next(port for cable in lab.topology.cables for port, end in (cable,) if end.node == host)
    return next(bridge.mac for bridge in lab.topology.node(behind).bridges if bridge.index == port.bridge)
