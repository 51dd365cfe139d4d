"""What a node's program costs: processor time and memory, of its process and of all that this one started.

Some programs answer each connection by a process of its own (sshd), others do all in one; a comparison has to count
the same things. Processes that have ended are not counted: while a measurement runs none of these does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netlab.lab import Laboratory
from netlab.processes import processor_seconds, resident_bytes
from netlab.topology import SERVER

MEGA: Final = 1 << 20


def family(pid: int) -> Iterator[int]:
    """Yield a process and its living descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from family(int(child))


def used_seconds(lab: Laboratory, node: str) -> float:
    """Return the processor time of a node's program so far; 0 where there is none."""
    process = lab.processes.get(node)
    return 0.0 if process is None else sum(map(processor_seconds, family(process.pid)))


def resident_megabytes(lab: Laboratory) -> dict[str, float]:
    """Return the resident memory of the server, and the largest of the clients."""
    sizes = {name: sum(map(resident_bytes, family(process.pid))) / MEGA for name, process in lab.processes.items()}
    return {"server": sizes.pop(SERVER), "client": max(sizes.values())}
