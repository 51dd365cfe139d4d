"""`./invoke policy-test --live`: the assertions beside an inventory, tried with packets in a lab made from it.

Rules of this module
  1. What is tried is what the judgement by configuration looks at too (rustun/ops/policy), and across clusters besides.
     An address in a LAN gets a host there, so that somebody can answer.
  2. "can" holds when each packet arrives where it is meant to and its answer comes back. "cannot" holds when none
     arrives there, although later markers of the same IP version from the same sender, and to each member where it
     could have arrived, did. Who is alone in its cluster can have no marker: then nothing is proven, and that is said.
  3. Packets go straight into the sender's tunnel: what its host is set to (accept_routes, exit_node) is not rehearsed,
     nor is the internet, since nothing leaves this machine. So each assertion has to hold by configuration as well, and
     what is kept back by the sender's host alone is not sent.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.configuration import Configured
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, BadInput
from netlab.isolation import prove
from netlab.isolation.expectation import Expectation, alone, sites
from netlab.isolation.plan import Probe
from netlab.isolation.prober import Observed, Prober
from netlab.lab import Files, Laboratory
from netlab.namespaces import replace_hosts_file
from netlab.topology import Address, HostSpec, LabSpec
from rustun.errors import ConfigError
from rustun.ops.fleet import Inventory
from rustun.ops.policy.assertions import Assertion
from rustun.ops.policy.judge import Case, Outcome, cases_of
from rustun.ops.policy.judge import judge as by_configuration
from rustun.ops.policy.reach import Node, Reach
from rustun.ops.policy.run import reach_of, read_assertions
from rustun.ops.templating import render_routes

MAX_PROBES: Final = 5000  # some 10 s
MAX_MEMBERS: Final = 60  # a lab of so many takes about 20 s to start on two cores
Mappings = Mapping[str, Sequence[tuple[object, object]]]
SOCKETS: Final = Path("/run/rustun")


@dataclass(frozen=True, slots=True)
class Trial:
    """One packet of an assertion: from whom, where to, and at which nodes it counts as arrived."""

    assertion: Assertion
    sender: str
    source: Address
    destination: Address
    meant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is built and tried: the lab with hosts for the addresses asked for, and a trial for each packet.

    Attributes:
        by_configuration: all assertions, without packets.
        unsent: places of those that no packet is sent for.
    """

    spec: LabSpec
    trials: tuple[Trial, ...]
    by_configuration: tuple[Outcome, ...] = ()
    unsent: frozenset[str] = frozenset()


def rehearse(path: Path, inventory: Inventory, spec: LabSpec) -> Rehearsal:
    """Plan the trials of all assertions beside an inventory.

    Raises: BadInput: a policy cannot be read, there is none, or it is too much for one machine.
    """
    try:
        assertions = read_assertions(path, inventory)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    if not assertions:
        raise BadInput(f"no assertion beside {path}", "./invoke policy-test says where they are looked for")
    if len(spec.members) > MAX_MEMBERS:
        reason = f"{len(spec.members)} members are more than one machine rehearses ({MAX_MEMBERS})"
        raise BadInput(reason, "leave --live out: the judgement by configuration takes any number")
    reach = reach_of(inventory, render_routes(inventory), dt.datetime.now(dt.UTC))
    wanted = [
        (assertion, reach.nodes[identity], case)
        for assertion in assertions
        if assertion.target.kind != "internet"
        for identity in assertion.who
        if identity in reach.nodes
        for case in cases_of(assertion, reach.nodes[identity], reach, across=True)
        if _can_be_sent(reach.nodes[identity], case, reach)
    ]
    if len(wanted) > MAX_PROBES:
        reason = f"the policy asks for {len(wanted)} packets, at most {MAX_PROBES} are sent"
        raise BadInput(reason, "leave --live out, or ask for less at a time")
    mappings = {member.identity: member.cider_mapping for member in inventory.members}
    hosts = _hosts(mappings, spec, reach, [case for _, _, case in wanted])
    spec = replace(spec, hosts=(*spec.hosts, *hosts))
    trials = tuple(_trial(assertion, node, case, spec, mappings) for assertion, node, case in wanted)
    unsent = {one.place for one in assertions} - {trial.assertion.place for trial in trials}
    return Rehearsal(spec, trials, tuple(by_configuration(one, reach) for one in assertions), frozenset(unsent))


def _can_be_sent(sender: Node, case: Case, reach: Reach) -> bool:
    """Return whether a packet of a case shows something (rule 3)."""
    if all(own.version != case.version for own in sender.addresses):
        return False
    way, put_in = (reach.way(sender, case.address, case.version, put_in=put_in) for put_in in (False, True))
    return way.receiver == put_in.receiver


def _hosts(mappings: Mappings, spec: LabSpec, reach: Reach, cases: Iterable[Case]) -> Iterator[HostSpec]:
    """Yield a host for each address in somebody's LAN that the lab does not have yet."""
    known = {(site.member, address) for site in sites(spec) for address in site.own}
    for case in cases:
        address = _address(case.address, case.version)
        for node in reach.nodes.values():
            if case.meant and node.identity not in case.meant:
                continue
            if address in node.addresses or not any(address in p for p in node.prefixes if p.prefixlen):
                continue
            real = _real(address, mappings[node.identity])
            if (node.identity, real) not in known:
                known.add((node.identity, real))
                yield HostSpec(f"policy-{len(known)}", node.identity, (real,))


def _real(address: Address, mapping: Sequence[tuple[object, object]]) -> Address:
    for seen, real in mapping:
        seen_prefix, real_prefix = ip_network(str(seen)), ip_network(str(real))
        if address in seen_prefix:
            return real_prefix[int(address) - int(seen_prefix.network_address)]
    return address


def _trial(assertion: Assertion, sender: Node, case: Case, spec: LabSpec, mappings: Mappings) -> Trial:
    source = next(own for own in sender.addresses if own.version == case.version)
    destination = _address(case.address, case.version)
    everywhere = [site for site in sites(spec) if site.member != sender.identity]
    at = frozenset(
        site.node
        for site in everywhere
        if (not case.meant or site.member in case.meant) and _real(destination, mappings[site.member]) in site.own
    )
    return Trial(assertion, sender.identity, source, destination, at)


def _address(number: int, version: int) -> Address:
    return IPv4Address(number) if version == 4 else IPv6Address(number)


def probes_of(rehearsal: Rehearsal) -> tuple[Probe, ...]:
    """Return a probe for each trial, in their order."""
    return tuple(
        Probe(
            kind="icmp", what=trial.assertion.text, sender=trial.sender, target="", source=trial.source,
            destination=trial.destination, owner="", receiver=min(trial.meant, default=""), answered=bool(trial.meant),
        )
        if trial.assertion.reaches
        else Probe("icmp", trial.assertion.text, trial.sender, "", trial.source, trial.destination, "", "", False)
        for trial in rehearsal.trials
    )  # fmt: skip


def judge(rehearsal: Rehearsal, observed: Mapping[str, Observed]) -> dict[str, str]:
    """Return for each assertion that was tried, by its place, what speaks against it; empty where it holds.

    Args:
        observed: what came of each sender's probes, in the order of its trials.
    """
    proof = _Proof(rehearsal.spec, observed)
    traces = {sender: iter(one.traces) for sender, one in observed.items()}
    found: dict[str, str] = {}
    for trial in rehearsal.trials:
        trace = next(traces[trial.sender])
        place = trial.assertion.place
        if not found.setdefault(place, ""):
            found[place] = _against(trial, trace.arrived & trial.meant, trial.sender in trace.answered, proof)
    return found


def _against(trial: Trial, there: frozenset[str], back: bool, proof: _Proof) -> str:
    packet = f"{trial.sender} ({trial.source}) to {trial.destination}"
    if trial.assertion.reaches:
        return "" if there and back else f"{packet}: " + ("no answer came back" if there else "did not arrive")
    if there:
        return f"{packet}: arrived at {', '.join(sorted(there))}"
    unproven = proof.missing(trial)
    return f"{packet}: nothing arrived, but {unproven}" if unproven else ""


class _Proof:
    """Knows which markers arrived behind the packets of a sender."""

    def __init__(self, spec: LabSpec, observed: Mapping[str, Observed]) -> None:
        self._member_of = {site.node: site.member for site in sites(spec)}
        self._alone = set(alone(spec))
        self._observed = observed

    def missing(self, trial: Trial) -> str:
        """Return, in words, why the absence of this packet proves nothing; empty where it does."""
        version = trial.destination.version
        needed = sorted({self._member_of[node] for node in trial.meant})
        if alone := next((one for one in (trial.sender, *needed) if one in self._alone), ""):
            return f"{alone} is alone in its cluster: no marker can show that its tunnel works"
        observed = self._observed[trial.sender]
        if (trial.sender, version) not in observed.from_senders:
            return f"neither did a marker from {trial.sender}"
        lost = next((one for one in needed if (one, version) not in observed.to_targets), "")
        return f"neither did a marker to {lost}" if lost else ""


def run(configured: Configured, rehearsal: Rehearsal, logs: Path, as_json: bool) -> int:
    """Build the lab, send everything, judge, take it down; return the exit code."""
    started = monotonic()
    lab = Laboratory(rehearsal.spec, Files(configured.folder, logs, SOCKETS))
    replace_hosts_file(dict(lab.topology.names))
    try:
        lab.start()
        expectation = Expectation(rehearsal.spec)
        with Prober(lab, expectation) as prober:
            found = judge(rehearsal, prove.send(prober, expectation, probes_of(rehearsal)))
    finally:
        left = lab.close()
    texts = {}
    for outcome in rehearsal.by_configuration:
        place = outcome.assertion.place
        texts[place], found[place] = outcome.assertion.text, found.get(place) or outcome.against
    failed = {place: against for place, against in found.items() if against}
    if as_json:
        facts = [
            {
                "place": place,
                "text": texts[place],
                "holds": not against,
                "against": against,
                "sent": place not in rehearsal.unsent,
            }
            for place, against in found.items()
        ]
        document = {"schema": 1, "packets": len(rehearsal.trials), "assertions": facts, "left": left}
        print(json.dumps(document, indent=2))
    else:
        for place, against in failed.items():
            print(f'{place}: "{texts[place]}" does not hold\n  {against}')
        verdict = f"{len(failed)} of {len(found)} do not hold" if failed else f"all {len(found)} hold"
        unsent = f" ({len(rehearsal.unsent)} by configuration alone)" if rehearsal.unsent else ""
        count = f"{len(rehearsal.trials)} packets between {len(rehearsal.spec.members)} members"
        print(f"policy-test --live: {verdict}{unsent}; {count}, {monotonic() - started:.1f} s")
    return EXIT_UNEXPECTED if failed or left else EXIT_OK
