"""The links of a laboratory: set what a direction does to packets, see that it does, take it back.

Rules
  1. What is set is measured at once by probes on the link itself. A way that did not take is replaced by the next one
     (shaping.ways); where none took, the direction gets back what it had, and the error says what was wanted and found.
  2. The next way is in place before the one before it ends: nothing passes a link unimpaired in between.
  3. One wire process carries for the whole laboratory, from the first direction that needs it until the end.
  4. A setting for a time is laid over the lasting one, which comes back when the time is over (`expire`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Final

from netlab.errors import BadInput, EnvironmentLacks, ExpectationFailed, LabError
from netlab.links import diversion, measuring, shaping
from netlab.links.impairment import PLAIN, Impairment, judge, words
from netlab.links.shaping import Way
from netlab.links.verdict import Finding
from netlab.links.wire_process import WireProcess
from netlab.namespaces import NetworkNamespace
from netlab.topology import Port, Topology

Ends = tuple[Port, Port]  # from, to

ARROW: Final = "->"
ALL: Final = "all"


@dataclass(slots=True)
class Direction:
    """One direction of a cable, as it is now."""

    sender: Port
    receiver: Port
    own_mtu: int
    impairment: Impairment = PLAIN
    lasting: Impairment = PLAIN
    until: float | None = None  # when the lasting one comes back, None where it is in force
    way: Way = "plain"
    findings: tuple[Finding, ...] = ()

    @property
    def name(self) -> str:
        """Its name, "A->B"."""
        return f"{self.sender.node}{ARROW}{self.receiver.node}"


@dataclass(frozen=True, slots=True)
class _Pending:
    """A direction that does not yet do what is wanted, and the ways that were not yet tried."""

    direction: Direction
    impairment: Impairment
    ways: list[Way]


class Links:
    """All cables of a wired laboratory.

    Args:
        topology: what was built.
        namespaces: of its nodes; they have to outlive this object's `close`.
    """

    def __init__(self, topology: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self._namespaces = namespaces
        self._named = _names(topology)
        self._planned = topology.links
        self._directions: dict[str, Direction] = {}
        self._wire: WireProcess | None = None

    def find(self, name: str) -> list[Direction]:
        """Return the directions that a name means: "A-B" (either order) both, "A->B" one, "A" both to A's outside.

        Args:
            name: such a name, or "all".

        Raises:
            BadInput: no such link, or it is the server's, which has several.
        """
        if name in self._named:
            return [self._direction(*ends) for ends in self._named[name]]
        cables = [f"{near.node}-{far.node}" for near, far in self._named[ALL][::2]]
        at = [cable for cable in cables if cable.startswith(f"{name}-")]
        close = get_close_matches(name.replace(ARROW, "-"), cables, n=1)
        remedy = f"did you mean {close[0]}? " if close and not at else ""
        what = f'"{name}" has {len(at)} links' if len(at) > 1 else f'no link "{name}"'
        raise BadInput(what, f"{remedy}links: {', '.join(at or cables)}")

    def _direction(self, sender: Port, receiver: Port) -> Direction:
        name = f"{sender.node}{ARROW}{receiver.node}"
        if name not in self._directions:
            own_mtu = self._namespaces[sender.node].run(partial(diversion.mtu, sender.name))
            self._directions[name] = Direction(sender, receiver, own_mtu)
        return self._directions[name]

    def set_planned(self) -> list[Direction]:
        """Let all directions do what the topology says, measured; return those that changed. Raises as `set` does."""
        planned: dict[str, Impairment] = dict.fromkeys(self._directions, PLAIN)
        for link in self._planned.values():
            near, far = link.ends
            both = {f"{near}{ARROW}{far}": link.forth, f"{far}{ARROW}{near}": link.back}
            planned |= {name: one for name, one in both.items() if one != PLAIN or name in planned}
        directions = [(self.find(name)[0], impairment) for name, impairment in planned.items()]
        wanted = [(direction, impairment) for direction, impairment in directions if impairment != direction.impairment]
        self.set(wanted)
        return [direction for direction, _ in wanted]

    def follow(self, topology: Topology) -> list[Direction]:
        """Let cables that were taken away go, know those that were added, and do what the new plan says.

        Args:
            topology: as built now; the namespaces given at first hold its nodes.

        Returns:
            The directions that changed.

        Raises:
            ExpectationFailed: as `set` does.
        """
        self._named, self._planned = _names(topology), topology.links
        nodes = {node.name for node in topology.nodes}
        for name, direction in list(self._directions.items()):
            if (direction.sender, direction.receiver) not in self._named[ALL]:
                if direction.sender.node in nodes:  # rules outlive their interface, and would bind the next of its name
                    commands = [shaping.rules(direction.sender.name, PLAIN, "")]
                    self._namespaces[direction.sender.node].run(partial(diversion.run, commands))
                if direction.way == "wire":
                    self._process().end(name)
                del self._directions[name]
        return self.set_planned()

    def set(self, wanted: Sequence[tuple[Direction, Impairment]], until: float | None = None) -> None:
        """Let directions do what is wanted of them, measured.

        Args:
            wanted: directions of `find`, each once, and what they are to do from now on.
            until: when `expire` gives back what lasts, in the caller's clock; None: it lasts.

        Raises:
            BadInput: settings that contradict each other; nothing was changed.
            ExpectationFailed: a direction does not do it in any way; all directions have what they had before.
            EnvironmentLacks: no way to do it exists here; as before.
        """
        problems = [f"{direction.name}: {problem}" for direction, one in wanted for problem in judge(one)]
        if problems:
            raise BadInput("; ".join(problems), "nothing was changed")
        if not wanted:
            return
        before = [(direction, direction.impairment, direction.way, direction.findings) for direction, _ in wanted]
        try:
            self._do(wanted)
        except (LabError, OSError):
            for direction, impairment, way, findings in before:
                self._install(direction, impairment, way)
                direction.findings = findings
            raise
        for direction, impairment in wanted:
            direction.until = until
            if until is None:
                direction.lasting = impairment

    def expire(self, now: float) -> list[Direction]:
        """Give back what lasts to all directions whose time is over, and return them.

        Raises:
            ExpectationFailed: what lasts does not show in probes now; it is in force all the same.
        """
        over = [one for one in self._directions.values() if one.until is not None and one.until <= now]
        for direction in over:
            direction.until = None
        try:
            self.set([(direction, direction.lasting) for direction in over])
        except (LabError, OSError):
            for direction in over:
                self._install(direction, direction.lasting, shaping.ways(direction.lasting)[-1])
                direction.findings = ()
            raise
        return over

    def deadline(self) -> float | None:
        """Return when `expire` has something to do, None for never."""
        return min((one.until for one in self._directions.values() if one.until is not None), default=None)

    def impaired(self) -> list[Direction]:
        """Return all directions that are not plain."""
        return [one for one in list(self._directions.values()) if one.impairment != PLAIN]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what the wire counted, by direction, for those that it carries."""
        return self._process().counts() if self._wire is not None else {}

    def close(self) -> None:
        """End the wire; links that it carried pass nothing from now on."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _do(self, wanted: Sequence[tuple[Direction, Impairment]]) -> None:
        left = [_Pending(direction, impairment, list(shaping.ways(impairment))) for direction, impairment in wanted]
        while ready := [one for one in left if self._put_in_place(one)]:
            asked = [(one.direction.sender, one.direction.receiver, one.direction.impairment) for one in ready]
            for one, findings in zip(ready, measuring.measure(asked, self._namespaces), strict=True):
                one.direction.findings = findings
            left = [one for one in left if not all(finding.holds for finding in one.direction.findings)]
        if left:
            failed = [line for one in left for line in _failure(one.direction, one.impairment)]
            raise ExpectationFailed("\n  ".join(failed), "the link is as it was before")
        for direction, impairment in wanted:
            if impairment.flap is not None:  # from now on; measured without
                self._install(direction, impairment, direction.way)

    def _put_in_place(self, pending: _Pending) -> bool:
        """Put the first of the remaining ways in place that the kernel takes; return whether there was one."""
        while pending.ways:
            way = pending.ways.pop(0)
            try:
                self._install(pending.direction, replace(pending.impairment, flap=None), way)
            except LabError as error:
                if isinstance(error, EnvironmentLacks) and not pending.ways:
                    raise
                pending.direction.findings = (Finding("way", way, error.message, holds=False),)
            else:
                return True
        return False

    def _install(self, direction: Direction, impairment: Impairment, way: Way) -> None:
        """Put a way in place, then let go of the one before. Raises LabError; that one is in force then."""
        device, namespace = direction.sender.name, self._namespaces[direction.sender.node]
        tap = diversion.tap_name(direction.sender.index) if way == "wire" else ""
        had_rules, had = _rules_of(direction.impairment, direction.way), direction.way
        if way == "wire":
            self._carry(direction, impairment, tap)
        commands = list(shaping.shape(device, impairment, way)) if way in shaping.KERNEL_WAYS else []
        if _rules_of(impairment, way) != had_rules:
            commands.append(shaping.rules(device, impairment, tap))
        if had in shaping.KERNEL_WAYS and way not in shaping.KERNEL_WAYS:
            commands += shaping.shape(device, impairment, way)
        if impairment.mtu != direction.impairment.mtu:
            commands.append(shaping.size(device, impairment.mtu or direction.own_mtu))
        namespace.run(partial(diversion.run, commands))
        if had == "wire" and way != "wire":
            self._process().end(direction.name)
        direction.impairment, direction.way = impairment, way

    def _carry(self, direction: Direction, impairment: Impairment, tap: str) -> None:
        if direction.way == "wire":
            self._process().carry(direction.name, impairment)
            return
        device, namespace = direction.sender.name, self._namespaces[direction.sender.node]
        opened = namespace.run(partial(diversion.open_tap, tap))
        with namespace.run(partial(diversion.open_outlet, device)) as outlet:
            self._process().carry(direction.name, impairment, (opened, outlet.fileno()))
        os.close(opened)

    def _process(self) -> WireProcess:
        """Return the wire; where it has died, a new one that carries what that one carried."""
        if self._wire is not None and self._wire.ended():
            self.close()
            carried = [direction for direction in self._directions.values() if direction.way == "wire"]
            for direction in carried:
                direction.way = "plain"  # its tap ended with the wire
            for direction in carried:
                self._install(direction, direction.impairment, "wire")
        if self._wire is None:
            self._wire = WireProcess()
        return self._wire


def _names(topology: Topology) -> dict[str, tuple[Ends, ...]]:
    """Return for each name of a link the directions that it means, in the order of the cable's ends."""
    both = [((near, far), (far, near)) for near, far in topology.cables]
    named: dict[str, tuple[Ends, ...]] = {directions[0][1].node: directions for directions in both}
    for directions in both:
        for sender, receiver in directions:
            named[f"{sender.node}-{receiver.node}"] = directions
            named[f"{sender.node}{ARROW}{receiver.node}"] = ((sender, receiver),)
    named[ALL] = tuple(ends for directions in both for ends in directions)
    return named


def _rules_of(impairment: Impairment, way: Way) -> tuple[bool, bool]:
    """Return what decides whether a direction has nftables rules, and which."""
    return impairment.black_hole_icmp, way == "wire"


def _failure(direction: Direction, impairment: Impairment) -> list[str]:
    wrong = [finding for finding in direction.findings if not finding.holds]
    told = [f"{one.setting} {one.wanted} was wanted, found: {one.found}" for one in wrong]
    return [f"{direction.name}: {words(impairment)} did not take", *(f"  {line}" for line in told)]
