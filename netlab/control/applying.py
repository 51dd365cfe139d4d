"""Let a laboratory that is up follow its inventory: see what is different, do it, prove again who reaches whom.

Rules of this module
  1. Everything that can be wrong with the inventory is found before the first step: files as they will be, wiring as
     it will be.
  2. Clients that go are stopped, then files are written, cables laid, the relay told to read again, and clients that
     come started; whoever is not concerned keeps process, session, cable and addresses.
  3. A client whose own file changed is started anew. The relay only reads again: other addresses or ports of it are
     refused, and other settings that it takes at its start alone wait for the next lab-up.
  4. Where a step fails the laboratory stays as far as it got; the next `lab-apply` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from time import monotonic
from typing import Any, TypeVar

from netlab import layout
from netlab.configuration import Choice, Configured, configure_again
from netlab.control.changes import Change, Orders, State, differences, orders, planned_links
from netlab.errors import BadInput
from netlab.isolation import prove
from netlab.isolation.judgement import Verdict
from netlab.lab import Laboratory
from netlab.topology import SERVER

Document = dict[str, Any]
T = TypeVar("T")


class Follower:
    """What a laboratory was made from, and the way from there to what the inventory says now.

    Args:
        lab: it, up.
        configured: what it was made from.
        choice: what part of the inventory that is.
        tell: called with each step's words when it is done.
    """

    def __init__(self, lab: Laboratory, configured: Configured, choice: Choice, tell: Callable[[str], object]) -> None:
        self._lab = lab
        self._configured = configured
        self._choice = choice
        self._tell = tell

    def compare(self, _request: Mapping[str, Any]) -> Document:
        """Return {"changes": [...]}, nothing else. Raises BadInput where the inventory is broken."""
        wanted = configure_again(self._configured, self._choice, write=False)
        return {"inventory": str(wanted.source), "changes": _told(differences(*self._states(wanted)))}

    def apply(self, _request: Mapping[str, Any]) -> Document:
        """Do what is different; return the changes, the steps with their seconds, and who reaches whom afterwards.

        Raises:
            BadInput: the inventory is broken, or has what only a new laboratory can be; nothing was done.
            ExpectationFailed: a step did not come out as it has to (rule 4).
        """
        before, after = self._states(configure_again(self._configured, self._choice, write=False))
        changes = differences(before, after)
        document: Document = {"inventory": str(self._configured.source), "changes": _told(changes), "steps": []}
        if not changes:
            return document
        if before.relay != after.relay:
            raise BadInput("the relay is to be at other addresses or ports", "./invoke lab-down, then ./invoke lab-up")
        steps = _Steps(self._tell)
        self._do(orders(before, after), steps)
        verdict = steps.taken("who reaches whom", lambda: prove.probe(self._lab))
        return {**document, "steps": steps.done, "reachability": _judged(verdict)}

    def _do(self, due: Orders, steps: _Steps) -> None:
        lab = self._lab
        if due.stop:
            here = [name for name in due.stop if name in lab.processes]
            left = steps.taken(f"stopped {', '.join(due.stop)}", lambda: lab.stop(here))
            steps.done += [{"step": words, "seconds": 0.0} for words in left]
        wanted = configure_again(self._configured, self._choice, write=True)
        topology = layout.plan(wanted.spec, kept=lab.topology)
        if topology != lab.topology:
            steps.taken("wired", lambda: lab.become(wanted.spec, topology))
        lab.spec, self._configured = wanted.spec, wanted
        if due.reload:
            steps.taken("the relay read its files", lab.reload_server)
        if due.start:
            steps.taken(f"started {', '.join(due.start)}", lambda: lab.start_clients(due.start))
        steps.taken("links", lambda: lab.links.follow(topology))
        steps.taken("all sessions up", lab.wait_online)
        steps.taken("an echo through each tunnel", lab.prove_tunnels)

    def _states(self, wanted: Configured) -> tuple[State, State]:
        """Return what the laboratory is and what it is to be."""
        lab = self._lab
        topology = layout.plan(wanted.spec, kept=lab.topology)
        processes = lab.processes
        idle = [m.identity for m in lab.spec.members if m.identity not in processes]
        ended = [name for name, process in processes.items() if process.ended() is not None]
        if SERVER in ended:
            raise BadInput("the relay has ended: nothing can follow", "./invoke lab-down, then ./invoke lab-up")
        links = {name: lab.links.find(name)[0].lasting for name in planned_links(lab.topology)}
        before = State(lab.spec, self._configured.generated, links, (*idle, *ended), _relay(self._configured))
        return before, State(wanted.spec, wanted.generated, planned_links(topology), relay=_relay(wanted))


class _Steps:
    """What was done, and what each took."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.done: list[Document] = []
        self._tell = tell

    def taken(self, words: str, work: Callable[[], T]) -> T:
        began = monotonic()
        result = work()
        self.done.append({"step": words, "seconds": round(monotonic() - began, 3)})
        self._tell(words)
        return result


def _relay(configured: Configured) -> tuple[str, ...]:
    inventory = configured.inventory
    listen = (endpoint for server in inventory.servers for endpoint in inventory.listen_of(server))
    return tuple(dict.fromkeys(map(str, (*(server.endpoint for server in inventory.servers), *listen))))


def _told(changes: list[Change]) -> list[Document]:
    return [asdict(change) for change in changes]


def _judged(verdict: Verdict) -> Document:
    return {
        "as_expected": verdict.as_expected,
        "probes": verdict.probes,
        "surprises": [str(finding) for finding in verdict.red],
        "unproven": [str(finding) for finding in verdict.doubtful],
    }
