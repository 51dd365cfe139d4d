"""A laboratory that stays up, for programs: what the tasks do, as calls that return documents and raise errors.

Rules of this module
  1. This process enters nothing: the keeper is asked over its socket, commands inside nodes are run by processes of
     their own. So it works beside threads, and in any test.
  2. An error is a LabError of the kind that the task would end with.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from netlab.capture.command import Order
from netlab.control import following, runfolder
from netlab.control.asking import demand
from netlab.control.commands import take_down
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, ExpectationFailed, LabError, of_exit_code
from netlab.isolation import command as probing
from netlab.links import command as linking
from netlab.processes import CHECKOUT, environment

CAPTURE_SECONDS: Final = 10.0
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a command in a node; a shell's 127 says that it could not be started, 128 + N that N ended it."""

    code: int
    stdout: str
    stderr: str


class RunningLab:
    """A laboratory that its keeper holds until `down`.

    Args:
        name: of one that is up. Raises BadInput: there is none.
    """

    def __init__(self, name: str) -> None:
        self.folder = runfolder.find(name)
        self._capture: subprocess.Popen[str] | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name

    @property
    def alive(self) -> bool:
        """Whether its keeper holds it."""
        return self.folder.alive

    def status(self) -> Document:
        """Return what `lab-status --json` prints."""
        return demand(self.folder, {"do": "status"})

    def run(self, node: str, *command: str) -> Ran:
        """Run a command in a node, without standard input, and return what became of it."""
        return self.run_in(node, *command)[node]

    def run_in(self, nodes: str, *command: str) -> dict[str, Ran]:
        """Run a command in all nodes that a pattern means (lab-exec), at once; return what became of it in each."""
        document = json.loads(_netlab("exec", "--name", self.name, "--json", nodes, "--", *command, any_code=True))
        return {one["node"]: Ran(one["code"], one["stdout"], one["stderr"]) for one in document["nodes"]}

    def link(
        self, link: str, settings: Mapping[str, str] | None = None, *, clear: bool = False, for_s: float | None = None
    ) -> list[Document]:
        """Impair a link as `lab-link` does, or only look where nothing is to be changed; return its directions.

        Args:
            settings: such as {"delay": "50ms"}; those that are not named stay.
            clear: take away what was set before.
            for_s: undo it after this time.
        """
        request = {"do": "link", "link": link, "set": dict(settings or {}), "clear": clear, "for_s": for_s}
        found: list[Document] = demand(self.folder, request, linking.ANSWER_SECONDS)["links"]
        return found

    def probe(self, sender: str, target: str, kind: str = "icmp") -> list[Document]:
        """Send single probes as `lab-probe` does; return what came of each, `as_expected` and in `lines` of words."""
        request = {"do": "probe", "from": sender, "to": target, "kind": kind}
        found: list[Document] = demand(self.folder, request, probing.ANSWER_SECONDS)["probes"]
        return found

    def apply(self) -> Document:
        """Let it follow its inventory as `lab-apply` does; return changes, steps and reachability."""
        return demand(self.folder, {"do": "apply"}, following.APPLY_SECONDS)

    def record(self, file: Path, *, last_bytes: int = 0) -> None:
        """Capture at all interfaces from now on, until `stop_recording` or the end of the laboratory.

        Args:
            file: is made, or made anew.
            last_bytes: keep what is newest, about so much; 0 for everything.
        """
        order = json.dumps(asdict(Order(self.name, "all", file=str(file), as_json=True, last_bytes=last_bytes)))
        self._capture = subprocess.Popen(
            [sys.executable, "-m", "netlab.capture.command", order],
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._capture.stderr is not None
        if not (said := self._capture.stderr.readline()).startswith("capturing"):
            raise ExpectationFailed(f"no capture: {said}{self._capture.communicate()[1]}")

    def stop_recording(self) -> Document | None:
        """Finish the capture and return what each tap received and lost; None where there is none."""
        capture, self._capture = self._capture, None
        if capture is None:
            return None
        capture.send_signal(signal.SIGINT)
        try:
            told, complaints = capture.communicate(timeout=CAPTURE_SECONDS)
        except subprocess.TimeoutExpired:
            capture.kill()
            told, complaints = capture.communicate()
        if capture.returncode:
            raise ExpectationFailed(f"the capture ended with exit code {capture.returncode}", complaints)
        document: Document = json.loads(told)
        return document

    def down(self) -> list[str]:
        """Take it down; return what was left over, in words, which has to be nothing."""
        try:
            return take_down(self.folder)
        finally:
            self.stop_recording()


def bring_up(inventory: Path, name: str, build: Path, *, limit: str = "") -> RunningLab:
    """Bring a laboratory up as `lab-up` does.

    Args:
        build: folder for what is generated, and for logs.
        limit: the members that it is made of; empty for all.

    Raises:
        LabError: it did not come up, and nothing is left of it but logs.
    """
    places = ["--inventory", str(inventory.absolute()), "--build", str(build.absolute())]
    _netlab("up", *places, "--name", name, f"--limit={limit}")
    return RunningLab(name)


def _netlab(*arguments: str, any_code: bool = False) -> str:
    """Run a command of the laboratory and return its standard output; `any_code`: a document counts, whatever code."""
    command = [sys.executable, "-m", "netlab", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode == EXIT_OK or (any_code and done.stdout):
        return done.stdout
    raise _error(done.returncode, done.stderr)


def _error(code: int, said: str) -> LabError:
    lines = [line for line in said.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if line.startswith("lab: ")), 0)
    message, _, remedy = "\n".join(lines[first:]).removeprefix("lab: ").partition("\n  ")
    return of_exit_code(code or EXIT_UNEXPECTED)(message or f"exit code {code}", remedy)
