"""A laboratory as a picture shows it: a tree from the server to the hosts behind members, with what is known of each.

Rules of this module
  1. A scene is made of a document (facts.py), of a plan or of a running laboratory; the same document and measurements
     give the same scene.
  2. A node hangs below the one that its cable leads to on its way outside; members and the routers before them are
     grouped by cluster. A router before members of several clusters stands in each of them.
  3. A state is a word, and one of the five moods that give it a sign and a colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Mood = Literal["planned", "plain", "good", "warn", "bad"]
Document = Mapping[str, Any]

SIGNS: Final[Mapping[Mood, str]] = {"planned": "○", "plain": "·", "good": "●", "warn": "▲", "bad": "✕"}
SERVER_ROLE: Final = "server"


@dataclass(frozen=True, slots=True)
class State:
    """How something is: a word for it, "" for none, and its mood."""

    mood: Mood
    words: str = ""

    def __str__(self) -> str:
        return f"{SIGNS[self.mood]} {self.words}".strip()


@dataclass(frozen=True, slots=True)
class Trip:
    """What echoes over the cables between a node and the server showed: median round trip, None without any answer."""

    seconds: float | None
    loss: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A node with what hangs below it.

    Attributes:
        details: addresses and prefixes; of a router its kind.
        cable: what its cable to the outside does, and how well; `cable_words` says the same in words.
    """

    name: str
    role: str
    details: tuple[str, ...]
    state: State
    cable: Mood = "plain"
    cable_words: tuple[str, ...] = ()
    below: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A cluster."""

    name: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn: the server, below it the clusters. `summary` counts, and says whether it is a plan."""

    title: str
    summary: str
    server: Figure
    groups: tuple[Group, ...]


def scene(document: Document, trips: Mapping[str, Trip] | None = None, *, live: bool) -> Scene:
    """Return the scene of a laboratory.

    Args:
        document: of a plan (facts.planned), or of a running laboratory (its status).
        trips: by member, where they were measured.
        live: it runs.
    """
    nodes = {node["node"]: node for node in document["nodes"]}
    outer = {_node(far): (_node(near), cable) for cable in document["cables"] for near, far in (cable["ends"],)}
    below: dict[str, list[str]] = {}
    for name, (near, _) in outer.items():
        below.setdefault(near, []).append(name)
    tree = _Tree(nodes, outer, below, trips or {}, live)
    server = next(name for name, node in nodes.items() if node["role"] == SERVER_ROLE)
    clusters = dict.fromkeys(node["cluster"] for node in nodes.values() if node["cluster"])
    groups = tuple(Group(one, tree.figures(below.get(server, ()), one)) for one in clusters)
    return Scene(document["name"], _summary(document, live=live), tree.figure(server, ()), groups)


def _node(end: str) -> str:
    return str(end.rpartition(":")[0])


def _summary(document: Document, *, live: bool) -> str:
    roles = [node["role"] for node in document["nodes"]]
    counted = (("member", "member"), ("nat", "NAT router"), ("host", "LAN host"))
    words = [f"{n} {word}{'s' * (n > 1)}" for role, word in counted if (n := roles.count(role))]
    return f"{'running' if live else 'plan'}: {', '.join(['1 server', *words])}"


@dataclass(frozen=True, slots=True)
class _Tree:
    """Follows the cables of a document from the server outwards."""

    nodes: Mapping[str, Document]
    outer: Mapping[str, tuple[str, Document]]
    below: Mapping[str, Sequence[str]]
    trips: Mapping[str, Trip]
    live: bool

    def figures(self, names: Sequence[str], cluster: str) -> tuple[Figure, ...]:
        """Return what of these nodes belongs to a cluster, with all below it."""
        return tuple(self.figure(one, self._inside(one, cluster)) for one in names if self._reaches(one, cluster))

    def _inside(self, name: str, cluster: str) -> tuple[Figure, ...]:
        names = self.below.get(name, ())
        if self.nodes[name]["role"] == "nat":
            return self.figures(names, cluster)
        return tuple(self.figure(one, ()) for one in names)

    def _reaches(self, name: str, cluster: str) -> bool:
        node = self.nodes[name]
        routed = node["role"] == "nat" and any(self._reaches(one, cluster) for one in self.below.get(name, ()))
        return node["cluster"] == cluster or routed

    def figure(self, name: str, below: tuple[Figure, ...]) -> Figure:
        """Return a node as it is drawn."""
        node = self.nodes[name]
        details = (*node.get("tunnel", ()), *node.get("ciders", ())) or tuple(
            str(a).partition("/")[0] for a in node["addresses"]
        )
        if node["role"] == "nat":
            details = (f"NAT, {node['nat']}" if node.get("nat") else "router",)
        if name not in self.outer:
            return Figure(name, node["role"], details[:2], self._state(node), below=below)
        _, cable = self.outer[name]
        mood, words = _cable(cable, self.trips.get(name), planned=not self.live)
        return Figure(name, node["role"], details, self._state(node), mood, words, below)

    def _state(self, node: Document) -> State:
        if not self.live:
            return State("planned")
        if node["role"] not in ("member", SERVER_ROLE):
            return State("plain")
        if node["ended"] is not None:
            return State("bad", f"ended, exit code {node['ended']}")
        words = node["rustun"]
        if words is None:
            return State("bad", "does not answer" if node["pid"] is not None else "no process")
        if node["role"] == SERVER_ROLE:
            here = sum(node["role"] == "member" for node in self.nodes.values())  # the disabled ones are not
            mood: Mood = "good" if words["online"] == here else "warn"
            return State(mood, f"{words['online']} of {words['members']} online")
        trip = f", {words['rtt_ms']:.1f} ms" if words.get("rtt_ms") is not None else ""
        return State("good" if words["state"] == "online" else "warn", f"{words['state']}{trip}")


def _cable(cable: Document, trip: Trip | None, *, planned: bool) -> tuple[Mood, tuple[str, ...]]:
    """Return how a cable is, and in words what was measured and what it is told to do."""
    down, up = (" ".join(f"{k}={v}" for k, v in cable[way].items()) for way in ("forth", "back"))
    words = [down] * bool(down) if down == up else [f"down {down}"] * bool(down) + [f"up {up}"] * bool(up)
    if trip is None:
        return ("planned" if planned else "plain"), tuple(words)
    found = f"{trip.seconds * 1e3:.1f} ms, " if trip.seconds is not None else ""
    mood: Mood = "good" if trip.loss == 0 else "bad" if trip.loss == 1 else "warn"
    return mood, (f"{found}{trip.loss * 100:.0f} % lost", *words)
