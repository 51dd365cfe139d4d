"""Where `[lab]`, as it is written, names a member: for who is renamed, or goes.

A link's name is a node, or two with a hyphen between, and names hold hyphens themselves: so it names a member only
where the whole of it does, or the rest is a node as well.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from rustun.ops.lab.records import SERVER_NODE

Path = tuple[str, ...]


def nodes(files: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the names of all nodes that these files make, the relay among them."""
    found = {SERVER_NODE}
    for values in files:
        for cluster in values.get("cluster", {}).values():
            found.update(cluster.get("member", ()))
        lab = values.get("lab", {})
        found.update(lab.get("nat", ()))
        for host, table in lab.get("host", {}).items():
            found.update(f"{host}-{number}" for number in range(1, table.get("count", 0) + 1))
            found.add(host)
    return found


def references(values: Mapping[str, Any], identity: str, known: Container[str]) -> Iterator[Path]:
    """Yield the paths of keys, and of a link's table, that name a member; `known` are all nodes."""
    lab = values.get("lab", {})
    for host, table in lab.get("host", {}).items():
        if table.get("behind") == identity:
            yield "lab", "host", host, "behind"
    for router, table in lab.get("nat", {}).items():
        before = table.get("before", ())
        if identity in ([before] if isinstance(before, str) else before):
            yield "lab", "nat", router, "before"
    for link in lab.get("link", {}):
        if link == identity or (link not in known and _other_end(link, identity) in known):
            yield "lab", "link", link


def _other_end(link: str, identity: str) -> str | None:
    if link.startswith(f"{identity}-"):
        return link.removeprefix(f"{identity}-")
    return link.removesuffix(f"-{identity}") if link.endswith(f"-{identity}") else None


def renamed(link: str, identity: str, name: str) -> str:
    """Return a link's name once a member that it names has another."""
    if link == identity:
        return name
    other = _other_end(link, identity)
    return f"{name}-{other}" if link.startswith(f"{identity}-") else f"{other}-{name}"


def freed(path: Path) -> str:
    """Return what to do with what names a member, so that it does so no more."""
    match path[1]:
        case "host":
            return "put it behind another member, or take its table out"
        case "nat":
            return "take it out of the list, or the router where that leads to nobody else"
        case _:
            return "take the link's table out"
