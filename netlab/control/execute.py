"""`lab-exec`: commands inside nodes of a laboratory; on this terminal in one, side by side in several.

Rules of this module
  1. One node by its name, and no JSON: the command has this terminal and its exit code is ours.
  2. Else the command runs in all nodes at once, without standard input. Each line of output comes with its node as soon
     as it is there; as JSON, code and output of each node at the end. The exit code is 0 where all ended with 0, else
     5; of one node, that of its command.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import IO, Any, Final

from netlab import kernel
from netlab.control import patterns, runfolder
from netlab.control.asking import ask_the_way, demand
from netlab.control.runfolder import RunFolder
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, BadInput, EnvironmentLacks
from rustun.backends.process import allow_descriptors

SCHEMA: Final = 1
PIECE_BYTES: Final = 1 << 16
NOT_STARTED: Final = 127  # as a shell says of a program that it does not find


@dataclass(frozen=True, slots=True)
class _Entrance:
    """The way into a node: descriptors by their CLONE flag in the order to enter them, and the words that lead on."""

    descriptors: tuple[tuple[int, int], ...]
    through: tuple[str, ...]

    def enter(self, *kinds: int) -> None:
        """Move the calling thread into what is of these kinds. Raises OSError."""
        for kind, descriptor in self.descriptors:
            if kind in kinds:
                kernel.setns(descriptor, kind)


@dataclass(slots=True)
class _Ran:
    """What became of a command in a node."""

    code: int = EXIT_OK
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(slots=True)
class _Output:
    """One stream of a command in a node, as far as it has come."""

    node: str
    screen: IO[str] | None  # None: nothing is shown
    data: bytearray = field(default_factory=bytearray)
    shown: int = 0

    def take(self, piece: bytes, width: int) -> None:
        """Keep a piece and show the lines that are whole now; nothing says that there is no more."""
        self.data += piece
        whole = self.data.rfind(b"\n") + 1 if piece else len(self.data)
        for line in self.data[self.shown : whole].decode(errors="replace").splitlines() if self.screen else ():
            print(f"{self.node:<{width}} | {line}", file=self.screen, flush=True)
        self.shown = max(self.shown, whole)


def run(name: str, wanted: str, command: Sequence[str], *, as_json: bool) -> int:
    """Run a command in the nodes that are meant; return the exit code.

    Raises:
        BadInput: no such laboratory or node, or the one command cannot be started.
        EnvironmentLacks: this user may not enter.
    """
    folder, where = runfolder.find(name), _here()
    nodes = demand(folder, {"do": "nodes"})["nodes"]
    chosen = patterns.choose(nodes, wanted)
    if not patterns.is_exact(nodes, wanted):
        allow_descriptors()  # four lead into each node, two pipes out of it
    entrances = {node: _entrance(folder, node) for node in chosen}
    try:
        first = entrances[chosen[0]]
        first.enter(kernel.CLONE_NEWUSER, kernel.CLONE_NEWNS, kernel.CLONE_NEWPID)
    except OSError as error:
        words = f"cannot enter {folder.name}: {error.strerror}"
        raise EnvironmentLacks(words, "run it as the user who ran lab-up") from error
    os.chdir(where if Path(where).is_dir() else "/")
    if patterns.is_exact(nodes, wanted) and not as_json:
        return _on_this_terminal(first, command)
    ran = _side_by_side(entrances, command, quiet=as_json)
    if as_json:
        print(json.dumps(_document(folder.name, command, ran), indent=2))
    codes = [one.code for one in ran.values()]
    return codes[0] if len(codes) == 1 else EXIT_UNEXPECTED if any(codes) else EXIT_OK


def _here() -> str:
    """Return the folder that this process is in, "/" where somebody has removed it."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _entrance(folder: RunFolder, node: str) -> _Entrance:
    words, descriptors = ask_the_way(folder, node)
    return _Entrance(tuple(zip(words["flags"], descriptors, strict=True)), tuple(words["through"]))


def _on_this_terminal(entrance: _Entrance, command: Sequence[str]) -> int:
    """Run a child, which is the first to be inside the pid namespace; the terminal's Ctrl-C is its own."""
    entrance.enter(kernel.CLONE_NEWNET)
    if entrance.through:
        command = [*entrance.through, *["-t"] * sys.stdin.isatty(), "--", shlex.join(command)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(command, env=_environment(), preexec_fn=_default_interrupt)  # noqa: PLW1509  one thread
    except OSError as error:
        raise BadInput(f"{command[0]}: {error.strerror}") from error
    return _as_shells_say(child.wait())


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _environment() -> dict[str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {**os.environ, "PATH": path}


def _as_shells_say(code: int) -> int:
    return code if code >= 0 else 128 - code


def _side_by_side(entrances: Mapping[str, _Entrance], command: Sequence[str], *, quiet: bool) -> dict[str, _Ran]:
    """Run the command in all nodes and return what became of each; the network namespace is entered one by one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ran = {node: _Ran() for node in entrances}
    running: dict[str, subprocess.Popen[bytes]] = {}
    for node, entrance in entrances.items():
        entrance.enter(kernel.CLONE_NEWNET)
        words = [*entrance.through, "--", shlex.join(command)] if entrance.through else list(command)
        try:
            running[node] = _piped(words)
        except OSError as error:
            ran[node] = _Ran(NOT_STARTED, stderr=f"{words[0]}: {error.strerror}\n".encode())
            _Output(node, None if quiet else sys.stderr).take(ran[node].stderr, max(map(len, entrances)))
    for node, (stdout, stderr) in _collect(running, max(map(len, entrances)), quiet=quiet).items():
        ran[node] = _Ran(_as_shells_say(running[node].wait()), stdout, stderr)
    return ran


def _piped(words: Sequence[str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        words,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        preexec_fn=_default_interrupt,  # noqa: PLW1509  one thread only
    )


def _collect(
    running: Mapping[str, subprocess.Popen[bytes]], width: int, *, quiet: bool
) -> dict[str, tuple[bytes, bytes]]:
    """Read all outputs until they end, show each line when it is whole, and return both of each node."""
    outputs: dict[str, list[_Output]] = {node: [] for node in running}
    with DefaultSelector() as selector:
        for node, child in running.items():
            for pipe, screen in ((child.stdout, sys.stdout), (child.stderr, sys.stderr)):
                outputs[node].append(_Output(node, None if quiet else screen))
                if pipe is not None:
                    selector.register(pipe, EVENT_READ, (pipe, outputs[node][-1]))
        while selector.get_map():
            for key, _ in selector.select():
                pipe, output = key.data
                piece = os.read(key.fd, PIECE_BYTES)
                output.take(piece, width)
                if not piece:
                    selector.unregister(pipe)
                    pipe.close()
    return {node: (bytes(both[0].data), bytes(both[1].data)) for node, both in outputs.items()}


def _document(laboratory: str, command: Sequence[str], ran: Mapping[str, _Ran]) -> dict[str, Any]:
    nodes = [
        {
            "node": node,
            "code": one.code,
            "stdout": one.stdout.decode(errors="replace"),
            "stderr": one.stderr.decode(errors="replace"),
        }
        for node, one in ran.items()
    ]
    return {"schema": SCHEMA, "laboratory": laboratory, "command": list(command), "nodes": nodes}
