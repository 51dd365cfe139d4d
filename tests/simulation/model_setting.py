"""Who there is at the beginning, and what may be chosen from: the smallest fleet in which everything can go wrong.

Two clusters have the same private addresses, the same LANs, prefixes around each other and default routes. Most members
have keys; one is on the shared tier, one on the legacy tier.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from tests.simulation.model_reference import EVERYWHERE, Member
from tests.simulation.world import public_text

MAX_SITES: Final = 9
AGES: Final[tuple[tuple[str, ...], ...]] = (("",), ("", "new"), ("new",))  # a key is exchanged for a new one
NAMES: Final = ("r1", "r2", "r3", "b1", "b2", "b3")
KEYS: Final = {
    (name, ages): tuple(public_text(name, age) for age in ages) for name in (*NAMES, "server") for ages in AGES
}
MEMBERS: Final = {
    "r1": Member("red", "10.0.0.1", ("10.77.1.0/24",), KEYS["r1", AGES[0]]),
    "r2": Member("red", "10.0.0.2", ("10.77.0.0/16",), KEYS["r2", AGES[0]]),
    "r3": Member("red", "10.0.0.3", tier="shared"),
    "b1": Member("blue", "10.0.0.1", ("10.77.1.0/24",), KEYS["b1", AGES[0]]),
    "b2": Member("blue", "10.0.0.2", (EVERYWHERE,), KEYS["b2", AGES[0]]),
    "b3": Member("blue", "10.0.0.4", tier="legacy"),
}
PREFIXES: Final = (
    (), ("10.77.1.0/24",), ("10.77.0.0/16",), ("10.77.1.128/25", EVERYWHERE), ("10.77.2.0/24", "10.77.1.0/25")
)  # fmt: skip
ADDRESSES: Final = (
    "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.77.1.5", "10.77.1.200", "10.77.2.5", "10.77.9.9",
    "203.0.113.9", "127.0.0.1", "224.0.0.1",
)  # fmt: skip
WEATHERS: Final[dict[str, dict[str, Any]]] = {
    "calm": {},
    "far": {"latency_s": 0.3},
    "short writes": {"short_writes": True, "refused_writes": 0.3, "receive_bytes": 100},
    "narrow": {"buffer_bytes": 3000, "latency_s": 0.05},
    "no descriptors at the server": {"accept_errno": errno.EMFILE},
}
DAMAGES: Final = {"empty": b"", "cut off": b'[{"identity": "r1"', "no list": b"{}", "deleted": None}
