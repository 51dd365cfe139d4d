"""Where an operator works: a copy of the project beside an inventory, to which `./invoke` is said.

Rules of this module
  1. The copy is the test's own: a release may be changed or broken there. Wheels that were fetched are shared.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.netlab.child import ROOT

COPIED = ("rustun", "netlab", "templates", "tasks.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
INVENTORY = """\
[fleet]
name = "acme"
servers = [{ address = "server:8080", ssh = "root@server" }]

[cluster.beijing]
network = "10.0.1.0/24"

[cluster.beijing.member.bj-a]
ssh = "root@bj-a"
address = "10.0.1.1"

[cluster.beijing.member.bj-b]
ssh = "root@bj-b"
address = "10.0.1.2"
"""
Report = dict[str, Any]


class Station:
    """A copy of the project in `checkout`, and the inventory of a server and two members in `inventory`."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.inventory = folder / "acme.toml"
        self.inventory.write_text(INVENTORY)
        self.checkout.mkdir()
        ignore = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            source, copy = ROOT / name, self.checkout / name
            shutil.copytree(source, copy, ignore=ignore) if source.is_dir() else shutil.copyfile(source, copy)
        wheels = self.checkout / "build" / "wheels"
        wheels.mkdir(parents=True)
        for place in (ROOT / "build" / "wheels").iterdir():
            (wheels / place.name).symlink_to(place)

    def command(self, task: str, *words: str) -> list[str]:
        """Return the command line of a task on the inventory."""
        invoke = [sys.executable, "-m", "invoke", "--search-root", str(self.checkout), task]
        return [*invoke, "--inventory", str(self.inventory), *words]

    def invoke(self, task: str, *words: str) -> tuple[int, Report]:
        """Run a task; return its exit code and what it prints as JSON."""
        command = self.command(task, "--json", *words)
        done = subprocess.run(command, cwd=self.checkout, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def edit(self, old: str, new: str) -> None:
        """Change the inventory."""
        replace(self.inventory, old, new)


def replace(file: Path, old: str, new: str) -> None:
    """Put a text in the place of another that the file has."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def results(report: Report) -> dict[str, list[str]]:
    """Return what became of the visits of each host."""
    found: dict[str, list[str]] = {}
    for host in report["hosts"]:
        found.setdefault(host["names"][0], []).append(host["result"])
    return found
