"""How long whole laboratories take to come up and to go down, and what they cost; an echo proves each tunnel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench import costs, measure
from netlab.bench.sample import Values
from netlab.configuration import configure, load
from netlab.errors import ExpectationFailed
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT
from netlab.topology import SERVER
from rustun.backends.process import allow_descriptors

INVENTORY: Final = CHECKOUT / "inventory" / "reference.toml"
REFERENCE: Final = "reference lab"
HUNDRED: Final = "100 clients"
SITES, MEMBERS_PER_SITE = 2, 50
IDLE_ECHOES, IDLE_INTERVAL_S = 50, 0.1


class WholeLab:
    """A laboratory that is brought up for each measurement, from `start` on with its files generated.

    Args:
        name: of the generated folder, and of its sockets'.
        inventory: what it is made of.
        build: folder for generated files.
        logs: folder for what its processes say.
        look: what else to measure while it is up.
    """

    def __init__(
        self, name: str, inventory: Path, build: Path, logs: Path, look: Callable[[Laboratory], Values] | None = None
    ) -> None:
        self._name = name
        self._inventory = inventory
        self._build = build
        self._logs = logs
        self._look = look

    def start(self) -> None:
        """Generate the files. Raises LabError."""
        self._configured = configure(self._inventory, load(self._inventory), self._build / self._name)

    def close(self) -> None:
        """Nothing of it stays between two measurements."""

    def take(self) -> Values:
        """Bring it up and take it down; return the seconds until each phase was reached, those of the end, and more.

        Raises:
            LabError: it did not come up, or left something.
        """
        files = Files(self._configured.folder, self._logs, Path("/run", self._name))
        laboratory = Laboratory(self._configured.spec, files)
        seen: Values = {}
        try:
            laboratory.start()
            if self._look is not None:
                seen = self._look(laboratory)
        finally:
            began = monotonic()
            left = laboratory.close()
            took = monotonic() - began
        if left:
            raise ExpectationFailed(f"the laboratory {self._name} left {'; '.join(left)}")
        phases = {f"{phase} after s": seconds for phase, seconds in {**laboratory.phases, "down": took}.items()}
        return {**phases, **seen}


def reference_lab(build: Path, logs: Path) -> WholeLab:
    """Return the reference laboratory."""
    return WholeLab("bench-reference", INVENTORY, build, logs)


def hundred_clients(build: Path, logs: Path) -> WholeLab:
    """Return a laboratory of 100 members in two clusters, each a real client in a namespace of its own."""
    allow_descriptors()
    inventory = build / "bench-hundred.toml"
    inventory.parent.mkdir(parents=True, exist_ok=True)
    inventory.write_text("\n".join(_sites()))
    return WholeLab("bench-hundred", inventory, build, logs, _at_rest)


def _sites() -> list[str]:
    lines = ["[fleet]", 'name = "hundred"', 'servers = [{ address = "198.18.0.1:8080" }]', 'cipher = "aes256"']
    for site in range(SITES):
        lines += [f"[cluster.site-{site}]", f'network = "10.0.{site}.0/24"']
        for member in range(MEMBERS_PER_SITE):
            lines += [f"[cluster.site-{site}.member.m-{site}-{member}]", f'address = "10.0.{site}.{member + 1}"']
    return lines


def _at_rest(lab: Laboratory) -> Values:
    """Return what all processes take while one pair pings ten times a second, how that does, and the memory."""
    nodes = list(lab.processes)
    one = lab.spec.members[0]
    neighbour = lab.neighbour(one)
    assert neighbour is not None
    path = measure.Path(one.identity, neighbour.identity, str(neighbour.addresses[0].ip))
    before, began = {node: costs.used_seconds(lab, node) for node in nodes}, monotonic()
    trips = measure.trips(lab, path, echoes=IDLE_ECHOES, interval=IDLE_INTERVAL_S)
    passed = monotonic() - began
    shares = {node: (costs.used_seconds(lab, node) - before[node]) / passed for node in nodes}
    sizes = costs.resident_megabytes(lab)
    return {
        "ping median ms": trips.median,
        "server, % of a core": shares.pop(SERVER) * 100,
        "a client, % of a core": sum(shares.values()) / len(shares) * 100,
        "server MB": sizes["server"],
        "client MB": sizes["client"],
    }
