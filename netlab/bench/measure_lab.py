"""How long the reference laboratory takes to come up and to go down; its tunnels are proven by an echo each."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Final

from netlab.configuration import configure, load
from netlab.errors import ExpectationFailed
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT

INVENTORY: Final = CHECKOUT / "inventory" / "reference.toml"
REFERENCE: Final = "reference lab"


class ReferenceLab:
    """The inventory of the reference laboratory, from `start` on with its files generated.

    Args:
        build: folder for generated files.
        logs: folder for what its processes say.
    """

    def __init__(self, build: Path, logs: Path) -> None:
        self._build = build
        self._logs = logs

    def start(self) -> None:
        """Generate the files. Raises LabError."""
        self._configured = configure(INVENTORY, load(INVENTORY), self._build / "bench-reference")

    def close(self) -> None:
        """Nothing of it stays between two measurements."""

    def take(self) -> dict[str, float]:
        """Bring it up and take it down; return the seconds until each phase was reached, and those of the end.

        Raises:
            LabError: it did not come up, or left something.
        """
        files = Files(self._configured.folder, self._logs, Path("/run/bench-reference"))
        laboratory = Laboratory(self._configured.spec, files)
        try:
            laboratory.start()
        finally:
            began = monotonic()
            left = laboratory.close()
            took = monotonic() - began
        if left:
            raise ExpectationFailed(f"the reference laboratory left {'; '.join(left)}")
        return {**laboratory.phases, "down": took}
