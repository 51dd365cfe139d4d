"""The combinations of an inventory's `[lab.matrix]`: one fleet for each, which differs in nothing else.

cipher, mtu, offload, tier      what rustun is told; tier and mtu win over whatever members say of themselves
preset, nat                     what lies between members and the relay
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from rustun.ops.fleet import Inventory


@dataclass(frozen=True, slots=True)
class Combination:
    """One value of each axis, as a name that can stand in paths ("aes256-1280"), and the fleet that has them."""

    name: str
    inventory: Inventory


def combinations(inventory: Inventory) -> Iterator[Combination]:
    """Yield all combinations, the last axis changing first; without a matrix the fleet as it is, under no name."""
    axes = inventory.lab.matrix
    for values in product(*(values for _, values in axes)):
        made = inventory
        for (axis, _), value in zip(axes, values, strict=True):
            made = _CHANGES[axis](made, value)
        names = (_word(axis, value) for (axis, _), value in zip(axes, values, strict=True))
        yield Combination("-".join(names), made)


def _word(axis: str, value: object) -> str:
    return f"{'' if value else 'no-'}{axis}" if isinstance(value, bool) else str(value)


def _of_members(inventory: Inventory, **settings: Any) -> Inventory:
    return replace(
        inventory,
        clusters=tuple(
            replace(
                cluster,
                members=tuple(replace(one, settings=replace(one.settings, **settings)) for one in cluster.members),
            )
            for cluster in inventory.clusters
        ),
    )


def _nat(inventory: Inventory, kind: Any) -> Inventory:
    return replace(inventory, lab=replace(inventory.lab, nats=tuple(replace(n, kind=kind) for n in inventory.lab.nats)))


_CHANGES: Final[Mapping[str, Callable[[Inventory, Any], Inventory]]] = {
    "cipher": lambda inventory, value: replace(inventory, cipher=value),
    "mtu": lambda inventory, value: _of_members(inventory, mtu=value),
    "tier": lambda inventory, value: _of_members(replace(inventory, minimum_tier=value), tier=value),
    "offload": lambda inventory, value: _of_members(inventory, offload=value),
    "preset": lambda inventory, value: replace(inventory, lab=replace(inventory.lab, preset=value)),
    "nat": _nat,
}
