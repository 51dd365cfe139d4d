"""Laboratories with the same addresses, side by side; one is used, one is killed, and the others notice nothing.

Rules of this module
  1. Each laboratory has a process of its own and a world of its own in there, as a keeper has. They share the folder
     of generated files and nothing else: no lock, no number, no port is given out.
  2. What an other one notices is told by the counters of all its interfaces and sessions, which have come to rest
     before. Those of the one that is used have to move, or nothing is shown.
  3. Once here, 25 times in `./invoke soak`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from netlab.configuration import Configured, configure, load
from netlab.lab import Files, Laboratory
from netlab.namespaces import enter_own_world
from netlab.worlds.leftovers import descriptors
from tests.netlab.counted_world import in_counted_world, reap_all, until_alone

SOAK: Final = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
ROUNDS: Final = 25 if SOAK else 1
LABORATORIES: Final = 8
LIVES: Final = 200  # of one laboratory, one after the other; with rustun's processes in a soak
PATIENCE_S: Final = 120.0  # only reached where something hangs
TRIES: Final = 2  # kernels ask for their neighbours now and then; a disturbance would be there each time
REST_S: Final = 0.5  # without a change of any counter
FLEET: Final = """
[fleet]
name = "equal"
servers = [{ address = "198.18.0.1:8080" }]
keepalive_interval = 3600
[cluster.one]
network = "10.0.1.0/24"
[cluster.one.member.left]
ciders = ["192.168.1.0/24"]
[cluster.one.member.right]
[lab.host.shed]
behind = "left"
address = "192.168.1.7"
"""


class Beside:
    """One laboratory, in a process of its own that answers a line with a line."""

    def __init__(self, configured: Configured, number: int) -> None:
        self._socket, far = socket.socketpair()
        self._socket.settimeout(PATIENCE_S)
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            os._exit(enter_own_world(lambda: _answer(Laboratory(configured.spec, _files(configured, number)), far)))
        far.close()
        self._lines = self._socket.makefile("r")

    def answer(self) -> Any:
        """Wait for the answer to the oldest request."""
        line = self._lines.readline()
        assert line, "a laboratory has ended"
        return json.loads(line)

    def ask(self, what: str) -> Any:
        """Have it do something and wait until it has."""
        self._socket.sendall(f"{what}\n".encode())
        return self.answer()

    def end(self, number: signal.Signals | None = None) -> int:
        """End it by a signal, or wait for its end; return its exit code."""
        if number is not None:
            os.kill(self.pid, number)
        _, status = os.waitpid(self.pid, 0)
        self._lines.close()
        self._socket.close()
        return os.waitstatus_to_exitcode(status)


def _files(configured: Configured, number: int) -> Files:
    return Files(configured.folder, configured.folder / f"logs-{number}", Path("/run/equal"))


def _answer(laboratory: Laboratory, requests: socket.socket) -> int:
    """Bring it up, then do what is asked for, until that is to take it down."""
    laboratory.start()
    doings: dict[str, Callable[[], object]] = {
        "counters": lambda: counters(laboratory),
        "echo": laboratory.prove_tunnels,
        "down": laboratory.close,
    }
    with requests, requests.makefile("rw") as lines:
        print(json.dumps("up"), file=lines, flush=True)
        asked = ""
        while asked != "down":
            asked = lines.readline().strip()
            print(json.dumps(doings[asked]()), file=lines, flush=True)
    return 0


def counters(laboratory: Laboratory) -> dict[str, object]:
    """Return all counters of a laboratory: each node's interfaces, each process's sessions and drops."""
    found: dict[str, object] = {}
    for name, namespace in laboratory.namespaces.items():
        lines = namespace.run(Path("/proc/thread-self/net/dev").read_text).splitlines()[2:]
        found[name] = sorted(" ".join(line.split()) for line in lines)
    for name in laboratory.processes:
        status = laboratory.status(name) or {}
        sessions = [
            {key: value for key, value in session.items() if "bytes" in key or "packets" in key or key == "drops"}
            for session in status.get("sessions", ())
        ]
        kept = ("online", "drops", "closes", "reconnects", "received_packets", "sent_packets")
        found[f"rustun in {name}"] = [{key: status.get(key) for key in kept}, sessions]
    return found


def rested(laboratories: list[Beside]) -> list[Any]:
    """Return all counters once none has moved for a while: kernels announce themselves in the first seconds."""
    deadline = monotonic() + PATIENCE_S
    now = [one.ask("counters") for one in laboratories]
    while True:
        before = now
        select.select((), (), (), REST_S)
        now = [one.ask("counters") for one in laboratories]
        if now == before:
            return now
        assert monotonic() < deadline, "the counters never rest"


@contextmanager
def side_by_side(configured: Configured) -> Iterator[list[Beside]]:
    """Bring all up at once; at the end those that still live go down."""
    laboratories = [Beside(configured, number) for number in range(LABORATORIES)]
    assert [one.answer() for one in laboratories] == ["up"] * LABORATORIES
    yield laboratories
    for one in laboratories:
        assert one.ask("down") == []
        assert one.end() == 0
    reap_all()


def nobody_else_notices(laboratories: list[Beside]) -> bool:
    """Kill one, use one; say whether the counters of all others stayed."""
    before = rested(laboratories)
    assert laboratories.pop(0).end(signal.SIGKILL) == -signal.SIGKILL
    used, *others = laboratories
    used.ask("echo")
    assert used.ask("counters") != before[1], "nothing is counted, nothing is shown here"
    now = [one.ask("counters") for one in others]
    print([(one, other) for one, other in zip(before[2:], now, strict=True) if one != other])
    return now == before[2:]


def configuration(folder: Path) -> Configured:
    """Make the files of the fleet."""
    (folder / "fleet.toml").write_text(FLEET)
    return configure(folder / "fleet.toml", load(folder / "fleet.toml"), folder / "generated")


@in_counted_world
def test_laboratories_with_equal_addresses_do_not_notice_each_other(tmp_path: Path) -> None:
    """Two people on one machine, or two tests, disturb each other: a red cell of one is the other's fault."""
    configured = configuration(tmp_path)
    for _ in range(ROUNDS):
        with side_by_side(configured) as laboratories:
            assert any(nobody_else_notices(laboratories) for _ in range(TRIES))
        until_alone()


@in_counted_world
def test_two_hundred_lives_leave_no_descriptor(tmp_path: Path) -> None:
    """A long run ends in "too many open files", or a machine fills with namespaces that nobody has."""
    configured = configuration(tmp_path)
    held: list[list[str]] = []
    for number in range(LIVES):
        laboratory = Laboratory(configured.spec, _files(configured, number), plain=not SOAK)
        laboratory.start()
        assert laboratory.close() == []
        if number in (0, LIVES - 1):
            held.append(descriptors())
    assert held[0] == held[1]
    reap_all()
    until_alone()
