"""What a run of the model has covered, as numbers that add up over runs and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

HOUR_S = 3600.0
LONGEST = "longest"  # counts that begin with it are not added up
PROPERTY = "covered by the model"  # under this name a test hands its counts to the end of the run


class Coverage:
    """Counts by name; what begins with "longest" keeps its largest value."""

    def __init__(self) -> None:
        self.counts: dict[str, float] = {}
        self.rules: Counter[str] = Counter()

    def add(self, name: str, amount: float = 1) -> None:
        """Add to a count."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def note(self, name: str, value: float) -> None:
        """Keep the largest value."""
        self.counts[name] = max(self.counts.get(name, 0.0), value)

    def as_property(self) -> dict[str, dict[str, float]]:
        """Return all counts as plain values, which travel between processes."""
        return {"counts": self.counts, "rules": dict(self.rules)}


def table(properties: Iterable[dict[str, dict[str, float]]]) -> list[str]:
    """Return the lines of a table of several runs together."""
    sums, rules = Coverage(), Counter[str]()
    for found in properties:
        rules.update({name: int(count) for name, count in found["rules"].items()})
        for name, value in found["counts"].items():
            (sums.note if name.startswith(LONGEST) else sums.add)(name, value)
    rows = [(name, f"{value:,.1f}" if value % 1 else f"{value:,.0f}") for name, value in sorted(sums.counts.items())]
    rows += [(f"rule: {name}", f"{count:,}") for name, count in sorted(rules.items())]
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {value:>12}" for name, value in rows]
