"""In which order `rustun top` shows members; who has no value for what is sorted by comes last, whichever way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

Document = Mapping[str, Any]

SORT_KEYS: Final = ("now", "member", "rtt", "drops", "age")  # each with a first letter of its own: the key to press


def drop_count(member: Document) -> int | None:
    """Return how many packets from and for a member were lost; None where it does not say."""
    counts = member.get("drops")
    return None if counts is None else sum(counts.values()) + (member.get("lost_packets") or 0)


def _now(member: Document) -> float | None:
    received, sent = member.get("received_bytes_per_s"), member.get("sent_bytes_per_s")
    return None if received is None or sent is None else received + sent


_VALUES: Final[Mapping[str, Callable[[Document], Any]]] = {
    "now": _now,
    "member": lambda member: (str(member.get("cluster", "")), str(member.get("identity", ""))),
    "rtt": lambda member: member.get("rtt_ms"),
    "drops": drop_count,
    "age": lambda member: member.get("age_s"),
}


@dataclass(frozen=True, slots=True)
class Order:
    """What comes first: the largest, but members by their names; `turned` the other way round."""

    by: str = "now"
    turned: bool = False

    def after(self, key: str) -> Order:
        """Return the order after a key was pressed; keys that mean nothing leave it as it is."""
        chosen = next((name for name in SORT_KEYS if name[0] == key), None)
        if chosen is None:
            return self
        return replace(self, turned=not self.turned) if chosen == self.by else Order(chosen)

    def sorted(self, members: Sequence[Document]) -> list[Document]:
        """Return members in this order."""
        value = _VALUES[self.by]
        with_value = [member for member in members if value(member) is not None]
        without = [member for member in members if value(member) is None]
        falling = (self.by != "member") != self.turned
        return [*sorted(with_value, key=value, reverse=falling), *without]
