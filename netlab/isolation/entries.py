"""Where in routes.json something is said: the line that a person has to look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_interface, ip_network
from pathlib import Path

from netlab.topology import Address, LabSpec, MemberSpec


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of routes.json, and whose entry it is in."""

    line: int
    text: str
    identity: str
    cluster: str


def entry(routes: Path, member: MemberSpec, address: Address | None) -> Entry | None:
    """Return the line by which a member has an address, or where its `ciders` do not hold it; None without a file.

    Args:
        routes: as `gen-config` writes it, one key a line.
        address: None for the line with the identity.
    """
    try:
        lines = routes.read_text().splitlines()
    except OSError:
        return None
    named = f'"identity": {json.dumps(member.identity, ensure_ascii=False)}'
    start = next((number for number, line in enumerate(lines) if line.strip().rstrip(",") == named), None)
    if start is None:
        return None
    key = _key(member, address) if address is not None else "identity"
    first = next(number for number in range(start, -1, -1) if lines[number].strip() == "{")
    for number in range(first, len(lines)):
        text = lines[number].strip()
        if text.startswith(f'"{key}"'):
            return Entry(number + 1, text.rstrip(","), member.identity, member.cluster)
        if text.startswith("}"):
            break
    return Entry(start + 1, named, member.identity, member.cluster)


def difference(found: Entry, member: MemberSpec) -> str:
    """Return in words how the `ciders` of an entry differ from those of the inventory; "" where they do not."""
    key, _, value = found.text.partition(": ")
    if key != '"ciders"':
        return ""
    written = {str(prefix) for prefix in json.loads(value)}
    wanted = {str(prefix) for prefix in member.ciders}
    if written == wanted:
        return ""
    only = [", ".join(sorted(some)) or "nothing" for some in (written - wanted, wanted - written)]
    return f"{found.identity} has {only[0]}, the inventory says {only[1]}"


def _key(member: MemberSpec, address: Address) -> str:
    if any(own.ip == address for own in member.addresses):
        return "private_ip" if address.version == 4 else "private_ip6"
    return "ciders"


def holder(spec: LabSpec, cluster: str, address: Address) -> MemberSpec | None:
    """Return a member of another cluster that has an address, the one with the longest prefix."""
    found: list[tuple[int, MemberSpec]] = []
    for member in spec.members:
        if member.cluster != cluster:
            own = [ip_network(ip_interface(one).ip) for one in member.addresses]
            found += [(prefix.prefixlen, member) for prefix in (*own, *member.ciders) if address in prefix]
    return max(found, key=lambda one: one[0], default=(0, None))[1]
