"""A slip of the pen in a laboratory's routes.json: the LAN behind a gateway gets another third number.

The relay takes such a file: it is as legal as the right one. No test of its form finds it, packets do.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from random import Random
from typing import Final

from netlab.errors import BadInput
from netlab.isolation.entries import entry
from netlab.topology import LabSpec, MemberSpec, Prefix

STEP: Final = 1 << 8  # from one third number to the next
MOST_STEPS: Final = 3  # as near as a slip of the pen is


@dataclass(frozen=True, slots=True)
class Slip:
    """What is written instead of what.

    Attributes:
        gateway: whose entry it is in; its LAN has `hosts`.
        line: of routes.json.
    """

    gateway: str
    cluster: str
    hosts: tuple[str, ...]
    line: int
    right: Prefix
    wrong: Prefix

    def __str__(self) -> str:
        return f"routes.json:{self.line}: {self.wrong} instead of {self.right}, in the entry of {self.gateway}"


def choose(spec: LabSpec, routes: Path, seed: int) -> Slip:
    """Return the slip that a seed stands for; nothing is written.

    Args:
        routes: the laboratory's routes.json, as it was generated.

    Raises:
        BadInput: no member of the laboratory has a LAN with a host, and others in its cluster.
    """
    dice = Random(seed)
    possible = [
        (member, prefix)
        for member in spec.members
        if any(other.cluster == member.cluster for other in spec.members if other is not member)
        for prefix in member.ciders
        if isinstance(prefix, IPv4Network) and prefix.prefixlen == 24 and _hosts(spec, member, prefix)
    ]
    if not possible:
        words = "nobody has a LAN (/24) with a host of [lab] in it, and a neighbour in the cluster"
        raise BadInput(f"{spec.name}: {words}", "./invoke lab-demo without --inventory")
    member, right = dice.choice(possible)
    taken = [prefix for one in spec.members for prefix in one.ciders]
    steps = [step for step in range(-MOST_STEPS, MOST_STEPS + 1) if step]
    near = [ip_network((int(right.network_address) + STEP * step, right.prefixlen)) for step in steps]
    wrong = dice.choice([one for one in near if not any(one == other for other in taken)])
    found = entry(routes, member, right.network_address)
    line = found.line if found is not None else 0
    return Slip(member.identity, member.cluster, _hosts(spec, member, right), line, right, wrong)


def _hosts(spec: LabSpec, member: MemberSpec, prefix: Prefix) -> tuple[str, ...]:
    behind = (host for host in spec.hosts if host.behind == member.identity)
    return tuple(host.name for host in behind if any(address in prefix for address in host.addresses))


def make(slip: Slip, routes: Path) -> None:
    """Write the slip into routes.json."""
    lines = routes.read_text().splitlines(keepends=True)
    lines[slip.line - 1] = lines[slip.line - 1].replace(f'"{slip.right}"', f'"{slip.wrong}"')
    routes.write_text("".join(lines))
