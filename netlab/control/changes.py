"""What is different between a laboratory that is up and its inventory as it is now: facts, nothing is done.

    + member bj-new         beijing, 10.0.1.9
    ~ member bj-office-gw   ciders 192.168.10.0/24 -> 192.168.10.0/24, 192.168.3.0/24
    ~ link bj-nat->bj-dev   plain -> delay=20ms
    - host sh-printer

Links are compared by what they do lastingly, so one that `lab-link` changed is a difference too; and so is a client
that has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from netlab.links.impairment import PLAIN, Impairment, words
from netlab.topology import SERVER, LabSpec, Topology

ROUTES: Final = "routes.json"
SERVER_FILE: Final = f"{SERVER}.toml"
UNTOLD: Final = ("identity", "name", "stem")  # what a thing is called is said already, or follows from it


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `sign` is + for what comes, - for what goes, ~ for what becomes another."""

    sign: Literal["+", "-", "~"]
    what: Literal["member", "host", "nat", "link", "relay"]
    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What a laboratory is, or is to be.

    Attributes:
        files: generated files by name.
        links: what each direction "A->B" does; those that are plain may be missing.
        ended: members whose client does not run.
        relay: where the relay listens, and by what names and addresses it is reached.
    """

    spec: LabSpec
    files: Mapping[str, bytes]
    links: Mapping[str, Impairment]
    ended: tuple[str, ...] = ()
    relay: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Orders:
    """What has to be done with processes."""

    stop: tuple[str, ...]
    start: tuple[str, ...]
    reload: bool


def planned_links(topology: Topology) -> dict[str, Impairment]:
    """Return what each direction of each cable is to do, by its name."""
    found: dict[str, Impairment] = {}
    for link in topology.links.values():
        near, far = link.ends
        found |= {f"{near}->{far}": link.forth, f"{far}->{near}": link.back}
    return found


def differences(before: State, after: State) -> list[Change]:
    """Return what makes the one into the other: members, hosts, routers, links, and what else concerns processes."""
    found = [*_members(before, after)]
    found += _things("host", before.spec.hosts, after.spec.hosts)
    found += _things("nat", before.spec.routers, after.spec.routers)
    found += _links(before, after)
    if before.relay != after.relay:
        found.append(Change("~", "relay", SERVER, _became("at", before.relay, after.relay)))
    elif before.files.get(SERVER_FILE) != after.files.get(SERVER_FILE):
        found.append(Change("~", "relay", SERVER, SERVER_FILE))
    elif not any(one.what == "member" for one in found) and before.files.get(ROUTES) != after.files.get(ROUTES):
        found.append(Change("~", "relay", SERVER, ROUTES))
    return found


def orders(before: State, after: State) -> Orders:
    """Return which clients are stopped and started (those of a changed file both), and whether the relay reloads."""
    old, new = ({member.identity: member.stem for member in one.spec.members} for one in (before, after))
    anew = [one for one in old if one in new and (_file(before, old[one]) != _file(after, new[one]))]
    begin = [one for one in new if one not in old or one in anew or one in before.ended]
    stop = [one for one in old if one not in new or one in anew or one in before.ended]
    reload = any(before.files.get(name) != after.files.get(name) for name in (SERVER_FILE, ROUTES))
    return Orders(tuple(stop), tuple(begin), reload)


def _file(state: State, stem: str) -> bytes | None:
    return state.files.get(f"{stem}.toml")


def _members(before: State, after: State) -> Iterator[Change]:
    old, new = ({member.identity: member for member in one.spec.members} for one in (before, after))
    for name, member in new.items():
        if name not in old:
            yield Change("+", "member", name, f"{member.cluster}, {', '.join(str(one.ip) for one in member.addresses)}")
            continue
        told = _told(old[name], member)
        if not told and _file(before, old[name].stem) != _file(after, member.stem):
            told = f"{member.stem}.toml"
        if name in before.ended:
            told = "; ".join(filter(None, (told, "its client has ended")))
        if told:
            yield Change("~", "member", name, told)
    yield from (Change("-", "member", name, member.cluster) for name, member in old.items() if name not in new)


def _things(what: Literal["host", "nat"], before: tuple[Any, ...], after: tuple[Any, ...]) -> Iterator[Change]:
    old, new = ({one.name: one for one in things} for things in (before, after))
    for name, one in new.items():
        if name not in old:
            yield Change("+", what, name, f"behind {one.behind}" if what == "host" else f"before {_text(one.before)}")
        elif told := _told(old[name], one):
            yield Change("~", what, name, told)
    yield from (Change("-", what, name) for name in old if name not in new)


def _links(before: State, after: State) -> Iterator[Change]:
    nodes = [
        {SERVER, *(m.identity for m in one.members), *(h.name for h in one.hosts), *(r.name for r in one.routers)}
        for one in (before.spec, after.spec)
    ]
    for name in sorted({**before.links, **after.links}):
        was, will = before.links.get(name, PLAIN), after.links.get(name, PLAIN)
        if was != will and (nodes[0] & nodes[1]).issuperset(name.split("->")):
            yield Change("~", "link", name, f"{words(was)} -> {words(will)}")


def _told(was: Any, will: Any) -> str:
    """Say in which fields two records of a kind differ."""
    names = (one.name for one in fields(was) if one.name not in UNTOLD)
    pairs = ((name, getattr(was, name), getattr(will, name)) for name in names)
    return "; ".join(_became(name, old, new) for name, old, new in pairs if old != new)


def _became(name: str, was: object, will: object) -> str:
    return f"{name} {_text(was)} -> {_text(will)}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value) or "none"
