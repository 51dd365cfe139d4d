"""How long the parts of a laboratory's start took, in words."""

from __future__ import annotations

from collections.abc import Mapping


def phases_text(phases: Mapping[str, float]) -> str:
    """Return what a start took, as a line: "wired 0.03 s · processes 2.1 s · sessions 2.2 s · echoes 2.3 s"."""
    return " · ".join(f"{phase} {seconds:.2f} s" for phase, seconds in phases.items())
