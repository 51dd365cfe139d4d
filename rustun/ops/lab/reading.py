"""Read `[lab]`: tables to records, and whatever does not fit the fleet, at the entry that should change.

Rules of this module
  1. Members, hosts, routers and the relay are nodes, each of a name of its own. A cable joins each to the next one
     towards the relay; a link is written under both names, A-B, or under that of the one that is further in.
  2. Whoever is left out by an error of its own is no error of those who name it: every name that is written counts.
  3. What is unknown is told with the nearest known name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from netlab.links.impairment import SETTINGS, judge
from rustun.backends.base import Address
from rustun.config.findings import describe, nearest
from rustun.ops.fleet import Member
from rustun.ops.lab.records import NO_PRESET, SERVER_NODE, Fields, Lab, LabHost, LabLink, LabNat, made
from rustun.ops.lab.tables import (
    LabDirectionTable,
    LabHostTable,
    LabLinkTable,
    LabMatrixTable,
    LabNatTable,
    LabTable,
)
from rustun.ops.sources import LAB_TABLES, Entry, Sources
from rustun.ops.validation import read_table
from rustun.printable import quoted

MAX_COMBINATIONS: Final = 64  # of a matrix: an hour of laboratories
REMEDIES: Final = {  # of what does not fit together, by its first word
    "jitter": 'as in delay = "20ms" and jitter = "5ms"',
    "reorder": 'add a delay, as in delay = "20ms"',
    "burst": 'as in loss = "1%" and burst = 3',
}


def read_lab(sources: Sources, members: Mapping[str, Member]) -> Lab:
    """Return what the laboratory is told; problems are reported to the tables."""
    entry = sources.entries.get(("lab",))
    top = read_table(entry.table, LabTable, *LAB_TABLES) if entry else None
    preset = top.preset if top else NO_PRESET
    nodes = _Nodes({name: "a member" for name in members})
    hosts = tuple(_hosts(sources, members, nodes))
    nats = tuple(_nats(sources, nodes))
    _report_names(sources, nodes)
    lab = Lab(preset, hosts, nats, matrix=tuple(_matrix(sources)))
    _report_ways(sources, lab, nodes)
    links = tuple(_links(sources, lab, members))
    return Lab(preset, hosts, nats, links, lab.matrix)


@dataclass(slots=True)
class _Nodes:
    """What stands behind each name, and under which names an entry wants to have nodes."""

    kinds: dict[str, str]
    wished: list[tuple[str, Entry]] = field(default_factory=list)

    def add(self, name: str, kind: str, entry: Entry) -> None:
        self.wished.append((name, entry))
        self.kinds.setdefault(name, kind)

    def unknown(self, name: str, kinds: Sequence[str], remedy: str) -> str:
        """Return the remedy for a name that is none of these kinds: the nearest that is one."""
        close = nearest(name, (known for known, kind in self.kinds.items() if kind in kinds))
        return f"did you mean {quoted(close)}?" if close else remedy


def _report_names(sources: Sources, nodes: _Nodes) -> None:
    """Report nodes that are called as another one is."""
    owners = {path[-1]: entry for path, entry in sources.entries.items() if path[-2:-1] == ("member",)}
    for name, entry in nodes.wished:
        other = owners.setdefault(name, entry)
        if name == SERVER_NODE:
            what = f"{quoted(name)} is what the lab calls the relay"
            entry.table.report("", what, f"give the {entry.path[1]} another name")
        elif other is not entry:
            what = f"{quoted(name)} is the name of {nodes.kinds[name]} as well, at {other.place}"
            entry.table.report("", what, f"give the {entry.path[1]} another name")


def _hosts(sources: Sources, members: Mapping[str, Member], nodes: _Nodes) -> Iterator[LabHost]:
    taken: dict[tuple[str, Address], str] = {}
    for entry in sources.of_kind("lab", "host"):
        table = read_table(entry.table, LabHostTable)
        if table is None:
            nodes.add(entry.name, "a host", entry)
            continue
        gateway = members.get(table.behind)
        if gateway is None:
            reason = f"there is no member {quoted(table.behind)}"
            entry.table.report(
                "behind", reason, nodes.unknown(table.behind, ["a member"], "name a member that has ciders")
            )
        for host in _counted(entry, table):
            nodes.add(host.name, "a host", entry)
            if gateway is not None and not _fits(entry, host, gateway, taken):
                break
            yield host


def _counted(entry: Entry, table: LabHostTable) -> Iterator[LabHost]:
    if table.count is None:
        yield LabHost(entry.name, table.behind, table.address, table.address6)
        return
    for number in range(table.count):
        try:
            address, address6 = table.address + number, table.address6 and table.address6 + number
        except ValueError:
            entry.table.report("count", f"there is no {number}th address behind {table.address}", "begin lower")
            return
        yield LabHost(f"{entry.name}-{number + 1}", table.behind, address, address6)


def _fits(entry: Entry, host: LabHost, gateway: Member, taken: dict[tuple[str, Address], str]) -> bool:
    """Report what is wrong with a host's addresses; return whether nothing is."""
    lans = [real for _, real in gateway.cider_mapping] + list(gateway.ciders)
    good = True
    for key, address in (("address", host.address), ("address6", host.address6)):
        if address is None:
            continue
        if not any(address in lan for lan in lans):
            known = ", ".join(map(str, gateway.ciders)) or "none"
            entry.table.report(key, f"{address} is in no LAN of {quoted(gateway.identity)}", f"its ciders: {known}")
            good = False
        elif (other := taken.setdefault((gateway.identity, address), host.name)) != host.name:
            entry.table.report(key, f"{address} is taken by {quoted(other)}", "give one of them another address")
            good = False
    return good


def _nats(sources: Sources, nodes: _Nodes) -> Iterator[LabNat]:
    for entry in sources.of_kind("lab", "nat"):
        nodes.add(entry.name, "a NAT router", entry)
        table = read_table(entry.table, LabNatTable)
        if table is not None:
            yield LabNat(entry.name, table.kind, table.before, table.udp_timeout or 0, table.tcp_timeout or 0)


def _report_ways(sources: Sources, lab: Lab, nodes: _Nodes) -> None:
    """Report routers that lead to nobody, or to who is behind another one or behind itself."""
    first: dict[str, LabNat] = {}
    for nat in lab.nats:
        table = sources.entries["lab", "nat", nat.name].table
        if not nat.before:
            table.report("before", "is empty", 'name who is behind it: before = ["bj-dev"]')
        for name in dict.fromkeys(nat.before):
            if nodes.kinds.get(name) not in ("a member", "a NAT router"):
                what = f"there is no member or router {quoted(name)}"
                remedy = "a host is behind a member: name that" if name in nodes.kinds else "name members or routers"
                table.report("before", what, nodes.unknown(name, ["a member", "a NAT router"], remedy))
            elif (other := first.setdefault(name, nat)) is not nat:
                what = f"{quoted(name)} is behind {quoted(other.name)} already"
                table.report("before", what, "a node has one way out: take it out of one of them")
        way = [nat.name]
        while way[-1] != SERVER_NODE and lab.outer(way[-1]) not in way:
            way.append(lab.outer(way[-1]))
        if way[-1] != SERVER_NODE:
            table.report("before", f"{quoted(nat.name)} is behind itself", "one router has to lead outside")


def _links(sources: Sources, lab: Lab, members: Mapping[str, Member]) -> Iterator[LabLink]:
    cables = tuple(lab.cables(members))
    by_name = {f"{one}-{other}": (one, other) for ends in cables for one, other in (ends, ends[::-1])}
    by_name |= {far: (far, near) for near, far in cables}
    first: dict[frozenset[str], Entry] = {}
    for entry in sources.of_kind("lab", "link"):
        table = read_table(entry.table, LabLinkTable) or LabLinkTable()
        ends = by_name.get(entry.name)
        link = LabLink(ends or ("", ""), table.preset or "", _fields(table, table.up), _fields(table, table.down))
        _report_link(entry, link, lab.preset if SERVER_NODE in link.ends else NO_PRESET)
        if ends is None:
            entry.table.report("", f"there is no cable {quoted(entry.name)}", _cable_remedy(entry.name, by_name))
        elif (other := first.setdefault(frozenset(ends), entry)) is not entry:
            entry.table.report("", f"is the cable of {other.place}, {quoted(other.name)}", "keep one of the two")
        else:
            yield link


def _cable_remedy(name: str, by_name: Mapping[str, tuple[str, str]]) -> str:
    if name == SERVER_NODE:
        return "the relay has a cable to each member: name the member"
    close = nearest(name, by_name)
    return f"did you mean {quoted(close)}?" if close else "name a member, a router or a host, or both ends: A-B"


def _fields(both: LabDirectionTable, one_way: LabDirectionTable | None) -> Fields:
    said = {}
    for table in (both, one_way):
        for key, setting in SETTINGS.items():
            if table is not None and key in table.model_fields_set:
                said[setting.field] = getattr(table, key)
    return tuple(said.items())


def _report_link(entry: Entry, link: LabLink, preset: str) -> None:
    """Report settings that do not fit together, once where it is so both ways."""
    whole = made(link, preset)
    for problem in dict.fromkeys((*judge(whole.forth), *judge(whole.back))):
        entry.table.report("", problem, REMEDIES[problem.split()[0]])


def _matrix(sources: Sources) -> Iterator[tuple[str, tuple[object, ...]]]:
    entry = sources.entries.get(("lab", "matrix"))
    table = read_table(entry.table, LabMatrixTable) if entry else None
    if entry is None or table is None:
        return
    combinations = 1
    for axis in (key for key in entry.table.values if key in table.model_fields_set):
        values: tuple[object, ...] = getattr(table, axis)
        combinations *= len(values)
        if entry.table.values[axis] == []:
            entry.table.report(axis, "is empty", "list what to try, or take it out")
        if repeated := [value for place, value in enumerate(values) if value in values[:place]]:
            entry.table.report(axis, f"names {describe(repeated[0])} twice", "keep one of them")
        yield axis, values
    if combinations > MAX_COMBINATIONS:
        reason = f"asks for {combinations} laboratories, at most {MAX_COMBINATIONS} are possible"
        entry.table.report("", reason, "take values or an axis out")
