"""One laboratory: namespaces, one real server, a real client in each member's namespace, every tunnel proven.

Life: `Laboratory(...)` wires; `start()` runs the processes and returns when an echo has crossed each tunnel; `close()`
says goodbye to all and returns whatever was left over, which has to be nothing. Several laboratories with the same
addresses live side by side in one process. What takes the time is ten interpreters that import what they need, on two
cores; the server comes first, so that no client finds it missing and waits before its next try.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from netlab import layout, nat, rewiring, wiring
from netlab.bench.load import ICMP_ECHO
from netlab.errors import ExpectationFailed
from netlab.links.links import Links
from netlab.namespaces import new_namespaces
from netlab.processes import Document, NodeProcess
from netlab.readiness import Readiness
from netlab.statuses import read_status
from netlab.topology import SERVER, LabSpec, MemberSpec, Topology
from netlab.waiting import readable

AT_ONCE: Final = 20  # interpreters that begin or end together; of more, none would get anywhere for long
START_SECONDS: Final = 60.0  # of those that begin together; ten on two cores need three, on a busy machine more
ECHO_SECONDS: Final = 10.0
STOP_SECONDS: Final = 3.0  # of those that end together; rustun promises two
STATUS_STEP_SECONDS: Final = 0.02  # between two looks at a status document, unless a process ends meanwhile
ECHO_STEP_SECONDS: Final = 0.05
TUN: Final = "rustun0"


class Observer(Protocol):
    """Who looks at every laboratory of this process while it is in `observers`."""

    def wired(self, laboratory: Laboratory) -> None:
        """One is wired; nothing runs in it yet."""

    def closing(self, laboratory: Laboratory) -> None:
        """One is about to be closed, and is as it was until then."""


observers: Final[list[Observer]] = []


@dataclass(frozen=True, slots=True)
class Files:
    """Where a laboratory reads and writes: generated configuration, logs, control sockets."""

    configuration: Path
    logs: Path
    sockets: Path


class Laboratory:
    """A wired laboratory; `namespaces` holds a namespace for each node of `topology`.

    Args:
        spec: what to build.
        files: where its processes find and leave things; folders are made.
        plain: no rustun, the server's kernel routes.
        client_options: further options for each `rustun connect`.
    Raises:
        BadInput: what `layout.plan` says.
        LabError: the kernel refused a step of the wiring; nothing is left.
    Attributes:
        phases: what is done already, to the seconds from the beginning until then, without pauses between calls.
    """

    def __init__(self, spec: LabSpec, files: Files, *, plain: bool = False, client_options: Sequence[str] = ()) -> None:
        self._began = monotonic()
        self.phases: dict[str, float] = {}
        self.spec = spec
        self.files = files
        self.plain = plain
        self.topology: Topology = layout.plan(spec, plain=plain)
        self.processes: dict[str, NodeProcess] = {}
        self._client_options = tuple(client_options)
        self.namespaces = new_namespaces(node.name for node in self.topology.nodes)
        try:
            wiring.build(self.topology, self.namespaces)
            nat.set_up(self.topology, self.namespaces)
            self.links = Links(self.topology, self.namespaces)
        except BaseException:
            for namespace in self.namespaces.values():
                namespace.close()
            raise
        for observer in observers:
            observer.wired(self)
        self._reached("wired")

    def start(self) -> None:
        """Impair the links, start all processes, wait until each session is up and an echo has crossed each tunnel.

        Raises:
            ExpectationFailed: an impairment did not take, a process ended, a session did not come up or an echo did not
                come back in time; the laboratory can still be looked at and has to be closed.
        """
        self._began = monotonic() - self.phases["wired"]
        if self.links.set_planned():
            self._reached("links")
        if self.plain:
            return
        for folder in (self.files.logs, self.files.sockets):
            folder.mkdir(parents=True, exist_ok=True)
        with closing(self._readiness()) as readiness:
            self._await_ready([self._serve(SERVER, readiness)], readiness)
            self._start_clients([member.identity for member in self.spec.members], readiness)
        self._reached("processes")
        self.wait_online()
        self._reached("sessions")
        self.prove_tunnels()
        self._reached("echoes")

    def _reached(self, phase: str) -> None:
        self.phases[phase] = monotonic() - self._began

    def become(self, spec: LabSpec, topology: Topology) -> None:
        """Change the wiring of a laboratory that is up; processes and links are the caller's to follow.

        Args:
            spec: what it is from now on.
            topology: its plan, made with the one before kept.

        Raises:
            LabError: the kernel refused a step; the laboratory is neither the one nor the other, and has to be closed.
        """
        before, self.topology, self.spec = self.topology, topology, spec
        names = {node.name for node in topology.nodes}
        self.namespaces |= new_namespaces(names - self.namespaces.keys())
        rewiring.rewire(before, topology, self.namespaces)
        nat.follow({node.nat for node in before.nodes if node.nat}, topology, self.namespaces)
        for name in self.namespaces.keys() - names:
            self.namespaces.pop(name).close()

    def reload_server(self) -> None:
        """Have the relay read its files again, and wait until it says that it has. Raises ExpectationFailed."""
        with closing(self._readiness()) as readiness:
            self.processes[SERVER].signal(signal.SIGHUP)
            self._await_ready([self.processes[SERVER]], readiness)

    def start_clients(self, identities: Sequence[str]) -> None:
        """Start clients, some at a time, and wait until they serve. Raises ExpectationFailed."""
        with closing(self._readiness()) as readiness:
            self._start_clients(identities, readiness)

    def _start_clients(self, identities: Sequence[str], readiness: Readiness) -> None:
        for first in range(0, len(identities), AT_ONCE):
            wave = identities[first : first + AT_ONCE]
            self._await_ready([self.start_client(identity, readiness) for identity in wave], readiness)

    def start_server(self, node: str = SERVER) -> NodeProcess:
        """Start `rustun serve` in a node's namespace and wait until it says that it serves."""
        with closing(self._readiness()) as readiness:
            server = self._serve(node, readiness)
            self._await_ready([server], readiness)
        return server

    def _serve(self, node: str, readiness: Readiness) -> NodeProcess:
        return self._start(node, ["serve", str(self.files.configuration / f"{self._stem(node)}.toml")], readiness)

    def start_client(self, identity: str, readiness: Readiness | None = None) -> NodeProcess:
        """Start `rustun connect` in a member's namespace, without waiting."""
        configuration = self.files.configuration / f"{self._stem(identity)}.toml"
        state = self.files.sockets / f"{self._stem(identity)}.state"  # each namespace has a journal of its own
        options = ["--config", str(configuration), "--tun", TUN, "--state-dir", str(state), *self._client_options]
        return self._start(identity, ["connect", *options], readiness)

    def _readiness(self) -> Readiness:
        return Readiness(self.files.sockets / "ready.sock")

    def _await_ready(self, processes: Sequence[NodeProcess], readiness: Readiness) -> None:
        deadline = monotonic() + START_SECONDS
        watched: list[Readiness | NodeProcess] = [readiness, *self.processes.values()]
        while silent := [process.label for process in processes if process.pid not in readiness.pids]:
            if not readable(watched, deadline - monotonic()):
                words = f"{', '.join(silent)} did not become ready ({START_SECONDS:.0f} s)"
                raise ExpectationFailed(words, f"logs: {self.files.logs}")
            readiness.collect()
            self._raise_for_the_dead([process for process in self.processes.values() if process.ended() is not None])

    def _stem(self, node: str) -> str:
        return SERVER if node == SERVER else self.spec.member(node).stem

    def control(self, node: str) -> Path:
        """Return the control socket of the rustun process in a node."""
        return self.files.sockets / f"{self._stem(node)}.sock"

    def _start(self, node: str, arguments: list[str], readiness: Readiness | None) -> NodeProcess:
        command = [sys.executable, "-m", "rustun", *arguments, "--log-format", "text"]
        command += ["--control", str(self.control(node))]
        log = self.files.logs / f"{self._stem(node)}.log"
        more = readiness.environment if readiness is not None else {}
        process = NodeProcess(node, self.namespaces[node], command, self.files.configuration, log, more)
        self.processes[node] = process
        return process

    def status(self, node: str) -> Document | None:
        """Return the status document of a node's rustun process, None while it does not answer."""
        return read_status(self.control(node))

    def wait_until(self, holds: Callable[[], bool], otherwise: str, seconds: float = START_SECONDS) -> None:
        """Look until `holds` is true. Raises ExpectationFailed after `seconds`, or at once when a process ends."""
        deadline = monotonic() + seconds
        while not holds():
            if monotonic() > deadline:
                raise ExpectationFailed(f"{otherwise} ({seconds:.0f} s)", f"logs: {self.files.logs}")
            self._raise_for_the_dead(readable(self.processes.values(), STATUS_STEP_SECONDS))

    def _raise_for_the_dead(self, ended: Sequence[NodeProcess]) -> None:
        for process in ended:
            words = process.last_words().replace("\n", "\n  ")
            raise ExpectationFailed(f"rustun in {process.label} ended with exit code {process.ended()}", words)

    def wait_online(self) -> None:
        """Wait until the server and each client say that the session is up."""
        waiting = {member.identity for member in self.spec.members}

        def all_online() -> bool:
            if (self.status(SERVER) or {}).get("online") != len(self.spec.members):
                return False
            waiting.difference_update([one for one in waiting if (self.status(one) or {}).get("state") == "online"])
            return not waiting

        self.wait_until(all_online, "not all sessions came up")

    def prove_tunnels(self) -> None:
        """Let an echo cross each tunnel, from each member to a neighbour in its cluster; lone members have none."""
        pairs = [(member, neighbour) for member in self.spec.members if (neighbour := self.neighbour(member))]
        sockets: dict[socket.socket, tuple[MemberSpec, MemberSpec]] = {}
        for member, neighbour in pairs:
            echo = self.namespaces[member.identity].run(
                lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            )
            sockets[echo] = (member, neighbour)
        try:
            self._await_echoes(sockets)
        finally:
            for echo in sockets:
                echo.close()

    def _await_echoes(self, sockets: Mapping[socket.socket, tuple[MemberSpec, MemberSpec]]) -> None:
        missing = dict(sockets)
        deadline = monotonic() + ECHO_SECONDS
        while missing and monotonic() < deadline:
            for echo, (_, neighbour) in missing.items():
                _try_echo(echo, str(neighbour.addresses[0].ip))
            step = monotonic() + ECHO_STEP_SECONDS
            while missing and (left := step - monotonic()) > 0:
                for echo in readable(tuple(missing), left):
                    if _is_reply(echo.recv(2048)):
                        del missing[echo]
        if missing:
            failed = ", ".join(f"{one.identity} to {other.identity}" for one, other in missing.values())
            raise ExpectationFailed(f"no echo came back: {failed}", f"logs: {self.files.logs}")

    def neighbour(self, member: MemberSpec) -> MemberSpec | None:
        """Return another member of the same cluster, None when there is none."""
        others = (m for m in self.spec.members if m.cluster == member.cluster and m.identity != member.identity)
        return next(others, None)

    def close(self) -> list[str]:
        """Stop the clients, then the server, let go of the namespaces, and return what was left over, in words."""
        for observer in observers:
            observer.closing(self)
        started = list(self.processes)
        left = self.stop([name for name in started if name != SERVER]) + self.stop([SERVER] * (SERVER in started))
        left += [f"control socket {path}" for path in map(self.control, started) if path.exists()]
        self.links.close()
        for name, namespace in self.namespaces.items():
            left += [f"device {device} in {name}" for device in namespace.run(_tun_devices)]
            namespace.close()
        return left

    def stop(self, names: Sequence[str]) -> list[str]:
        """Stop the processes in nodes, all at once, and return what was not in order about that, in words."""
        processes = [self.processes.pop(name) for name in names]
        for process in processes:
            process.signal(signal.SIGTERM)
        deadline = monotonic() + STOP_SECONDS * ceil(len(processes) / AT_ONCE)
        codes = [(process.label, process.reap(deadline)) for process in processes]
        how = {code: "had to be killed" if code is None else f"ended with exit code {code}" for _, code in codes}
        return [f"rustun in {label} {how[code]}" for label, code in codes if code != 0]


def _try_echo(echo: socket.socket, address: str) -> None:
    message = ICMP_ECHO.pack(8, 0, 0xF7FF - (os.getpid() & 0xFF), os.getpid() & 0xFF, 0)
    try:
        echo.sendto(message, (address, 0))
    except OSError:  # no route yet: the next round tries again
        return


def _is_reply(packet: bytes) -> bool:
    return ICMP_ECHO.unpack_from(packet, (packet[0] & 15) * 4)[0] == 0


def _tun_devices() -> list[str]:
    """List the TUN devices of the calling thread's namespace: those whose hardware type is ARPHRD_NONE."""
    names = [line.split(":")[0].strip() for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]]
    return [name for name in names if name.startswith(TUN.rstrip("0123456789"))]
