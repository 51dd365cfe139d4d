"""Measurements of the toolkit: whole processes, as an operator waits for them, beside what no task can do without.

On a fleet of 10,000 members that is reading its TOML, in an interpreter of its own; for the start of a task, the bare
interpreter. A server that takes such a fleet's routes.json while it runs is measured by netlab.bench.reloading.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Final

from netlab.bench.fleets import write_fleet, write_policy
from netlab.errors import ExpectationFailed
from netlab.processes import CHECKOUT, environment

CLUSTERS, MEMBERS_EACH, ASSERTIONS = 200, 50, 1000
MEMBERS: Final = CLUSTERS * MEMBERS_EACH
READ, NEW, SAME, LINT, POLICY = "tomllib", "gen-config, all new", "gen-config, nothing new", "lint", "policy-test"
BARE, LIST, SMALL_SAME, SMALL_LINT = "python", "--list", "gen-config of the demo", "lint of the demo"
RELOAD: Final = "serve"
LIMIT_SECONDS: Final = 300.0  # only reached where something hangs
READING: Final = """\
import pathlib, sys, tomllib
for path in pathlib.Path(sys.argv[1]).glob("*.toml"):
    tomllib.loads(path.read_text())
"""


class Toolkit:
    """A fleet in a folder of its own and one thing that is done with it; between `start` and `close`.

    Args:
        variant: which of those above.
    """

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self._folder = Path(mkdtemp(prefix="rustun-bench-"))
        self._fleet, self._out = self._folder / "fleet", self._folder / "out"

    def start(self) -> None:
        """Make what is worked on."""
        if self.variant in (READ, NEW, SAME, LINT, POLICY):
            self._fleet.mkdir()
            write_fleet(self._fleet, CLUSTERS, MEMBERS_EACH)
        if self.variant == POLICY:
            write_policy(self._fleet, ASSERTIONS)
        if self.variant not in (READ, NEW, BARE, RELOAD):
            self._run()  # so that what the first run leaves behind is there: generated files, Python's bytecode

    def close(self) -> None:
        """Take it away."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def take(self) -> tuple[float, float]:
        """Do it once; return the seconds that it took, and those of a processor. Raises: ExpectationFailed."""
        if self.variant == NEW:
            self._out = Path(mkdtemp(dir=self._folder))  # taking 20,000 files away lasts until the next sync
            (self._fleet / "inventory.lock").unlink(missing_ok=True)
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), monotonic()
        self._run()
        took, after = monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def reload(self) -> dict[str, float]:
        """Return what netlab.bench.reloading says."""
        found: dict[str, float] = json.loads(self._run())
        return found

    def _run(self) -> str:
        command = self._command()
        usual = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            command, cwd=CHECKOUT, env=usual, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
        if done.returncode:
            raise ExpectationFailed(f"{self.variant}: exit code {done.returncode}", done.stderr.strip()[-400:])
        return done.stdout

    def _command(self) -> list[str]:
        task = [sys.executable, "-m", "rustun.ops.tasks", "--search-root", str(CHECKOUT)]
        fleet, demo = ["--inventory", str(self._fleet)], ["--inventory", str(CHECKOUT / "inventory" / "demo.toml")]
        match self.variant:
            case "tomllib":
                return [sys.executable, "-c", READING, str(self._fleet)]
            case "python":
                return [sys.executable, "-c", "pass"]
            case "serve":
                return [sys.executable, "-m", "netlab.bench.reloading", str(MEMBERS)]
            case "gen-config, all new" | "gen-config, nothing new":
                return [*task, "gen-config", *fleet, "--out", str(self._out)]
            case "gen-config of the demo":
                return [*task, "gen-config", *demo, "--out", str(self._out)]
            case "lint of the demo":
                return [*task, "lint", *demo]
            case "--list":
                return [*task, "--list"]
        return [*task, self.variant, *fleet]
