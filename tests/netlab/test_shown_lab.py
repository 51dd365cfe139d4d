"""docs/lab.md: each of its commands is typed at one laboratory, and shows what stands there.

Rules of this module
  1. The laboratory is the demo's fleet under a name of the test's own, which each command is told besides.
  2. What somebody ends with ctrl-C runs meanwhile, and is ended so.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
from netlab.capture import pcapng
from netlab.control import runfolder
from netlab.control.commands import take_down
from netlab.errors import BadInput
from rustun.ops.tasks.typed import Tasks
from tests.netlab.lab_cases import INVENTORY
from tests.shown import FIGURES, ROOT, Shown, fits, played

HANG_S = 60.0
PROGRAM = ROOT / "rustun" / "ops" / "tasks" / "__main__.py"
NAMELESS = ("lab-run", "lab-ls", "lab-doctor", "lab-sequence")  # tasks that are about no laboratory, or about all
DEMO = "inventory/demo.toml"
MEASURED = re.compile(r"\d+(\.\d+)? (?:%|Mbit/s)")
NEW = """
[cluster.beijing.member.bj-new]
address = "10.0.1.9"
ciders = ["192.168.77.0/24"]

[cluster.shanghai]"""
NEW_LAB = """
[lab.host.bj-cam]
behind = "bj-new"
address = "192.168.77.5"

[lab.nat.bj-nat]
kind = "moderate"
before = ["bj-dev", "bj-new"]

[lab.link.sh-office-gw]
up = { delay = "5ms" }
"""


class Player:
    """Somebody who reads docs/lab.md and types its commands; what stands there twice is typed once.

    Attributes:
        left: what nobody has typed yet.
        name: of the laboratory.
    """

    def __init__(
        self, name: str, inventory: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        self.left = list(dict.fromkeys(played("lab.md")))
        self.name = name
        self._inventory = inventory
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def told(self, beginning: str) -> Shown:
        """Return the first command that begins like this, which counts as typed."""
        shown = next(one for one in self.left if one.command.startswith(beginning))
        self.left.remove(shown)
        return shown

    def words(self, command: str) -> list[str]:
        """Return what stands behind ./invoke, with this laboratory's name and inventory."""
        invoke, task, *words = shlex.split(command)
        assert invoke == "./invoke"
        if DEMO in words:
            return [task, *(str(self._inventory) if word == DEMO else word for word in words)]
        inventory = ["--inventory", str(self._inventory)] if task == "lab-up" else []
        return [task, *inventory, *(["--name", self.name] if task not in NAMELESS else []), *words]

    def type(self, beginning: str, code: int = 0) -> str:
        """Type a command of the document that ends by itself: it shows what stands there. Return what it showed."""
        shown = self.told(beginning)
        said = self.quietly(shown.command, code)
        wanted = shown.output.replace("demo", self.name)
        assert not wanted or fits(said, wanted, FIGURES, MEASURED), f"{said}\n--- does not show\n{wanted}"
        return said

    def quietly(self, command: str, code: int = 0) -> str:
        """Type a command; return what it showed."""
        words = ["invoke", *self.words(command)]
        self._monkeypatch.setattr(sys, "argv", words)
        self._capfd.readouterr()
        ended: object = 0
        try:
            Tasks(name="invoke", binary="./invoke", binary_names=["invoke"], namespace=tasks.namespace).run(words)
        except SystemExit as end:
            ended = end.code
        said = "".join(self._capfd.readouterr())
        assert ended == code, f"{command} ended with {ended}\n{said}"
        return said

    def begin(self, command: str, output: Path) -> tuple[subprocess.Popen[str], Path]:
        """Type a capture, its output going into a file; return it once it listens, and where its packets go."""
        words = [sys.executable, str(PROGRAM), "--search-root", str(ROOT), *self.words(command)]
        with output.open("wb") as file:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, text=True, start_new_session=True
            )
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.match(r"capturing at .* into (standard output|.*\.pcapng): ", said)
        assert found is not None, said
        return process, output if found[1] == "standard output" else Path(found[1])


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Player]:
    """Return somebody in a folder of the test's own; whatever laboratory is left is taken down."""
    name = f"shown-{os.getpid()}"
    inventory = tmp_path / "demo.toml"
    inventory.write_text(INVENTORY.read_text().replace('name = "demo"', f'name = "{name}"'))
    monkeypatch.chdir(tmp_path)
    yield Player(name, inventory, monkeypatch, capfd)
    try:
        take_down(runfolder.find(name))
    except BadInput:  # the test has done it
        pass


def test_each_command_shows_what_stands_there(player: Player, tmp_path: Path) -> None:
    """Whoever plays with a laboratory by the book sees what stands nowhere in it, or types what is not there."""
    player.type("./invoke lab-doctor")
    player.type("./invoke lab-up")
    it_is_looked_at(player, tmp_path)
    it_is_drawn_and_told(player)
    cables_are_spoiled(player)
    it_follows(player, tmp_path / "demo.toml")
    player.type("./invoke lab-down")
    player.type("./invoke lab-run --list")
    assert player.left == []


def it_is_looked_at(player: Player, folder: Path) -> None:
    """Commands in nodes, while four captures run, the last of which is drawn."""
    to_be_drawn = player.told("./invoke lab-capture bj-dev --write").command
    to_a_pipe = player.told("./invoke lab-capture all --write -").command
    until_stopped = player.told("./invoke lab-capture").command
    for_a_time = player.told("./invoke lab-capture").command
    begun = [
        player.begin(until_stopped, folder / "one.txt"),
        player.begin(to_a_pipe.partition(" | ")[0], folder / "pipe.pcapng"),
        player.begin(for_a_time, folder / "two.txt"),
        player.begin(to_be_drawn, folder / "three.txt"),
    ]
    player.type("./invoke lab-exec bj-dev -- ping")
    assert to_a_pipe.endswith(" | wireshark -k -i -")  # which reads what pcapng reads here
    found = []
    for process, file in begun:
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, said
        found.append(sum(isinstance(one, pcapng.Packet) for one in pcapng.read(file)))
    assert min(found[:2]) > 0  # the third may be over before a busy machine sends an echo
    assert "echo request" in player.type("./invoke lab-sequence")
    for _, file in begun:
        file.unlink()
    player.type("./invoke lab-exec 'beijing/*'")
    player.type("./invoke lab-exec role:host")
    player.type("./invoke lab-status")


def it_is_drawn_and_told(player: Player) -> None:
    """Probes with their ways, pictures, lists, and what happens."""
    assert "bj-dev -> bj-office-gw" in player.type("./invoke lab-probe bj-dev bj-office-gw")
    assert "no-route" in player.type("./invoke lab-probe bj-dev sh-db")
    assert "bj-office-gw" in player.type("./invoke lab-picture")
    assert "flowchart LR" in player.type("./invoke lab-picture --inventory")
    assert player.name in player.type("./invoke lab-ls")
    assert '"event": "snapshot"' in player.type("./invoke lab-events")


def cables_are_spoiled(player: Player) -> None:
    """What `lab-link` sets, it measures."""
    for _ in range(3):
        player.type("./invoke lab-link")
    player.type("./invoke lab-link bj-dev --clear")
    player.type("./invoke lab-link all")


def it_follows(player: Player, inventory: Path) -> None:
    """A member, a host and a router come, a member goes, a cable gets slower."""
    text = inventory.read_text()
    gone = re.search(r"\[cluster\.shanghai\.member\.sh-db\]\n(?:\w.*\n)+", text)
    assert gone is not None
    inventory.write_text(text.replace(gone[0], "").replace("\n[cluster.shanghai]", NEW, 1) + NEW_LAB)
    player.type("./invoke lab-diff", code=5)
    player.type("./invoke lab-apply")
