"""What a peer is, and what all of them do: programs started inside nodes, addresses on their devices, an echo as proof.

Rules of this package
  1. A peer is used as it comes: its own defaults for MTU, buffers and queues. Only the way is made the same: a hub in
     the server's namespace that everything passes, members with rustun's addresses, real encryption on both legs.
  2. Its programs are processes of the laboratory like rustun's, so processor time, memory and the end of them are told
     by the same means. Keys are made anew each time and lie in the laboratory's own /run.
  3. What it waits for is an event (words in a log, a device, a socket), and a process that ends meanwhile is told.
"""

from __future__ import annotations

import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_network
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.errors import ExpectationFailed
from netlab.lab import Files, Laboratory
from netlab.processes import NodeProcess
from netlab.topology import SERVER, LabSpec, MemberSpec

PATIENCE_SECONDS: Final = 15.0  # for one step of a program that comes up
LOOK_SECONDS: Final = 0.02  # between two looks, unless a process ends meanwhile


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tunnel.

    Attributes:
        name: of its variant.
        title: what it is, in words.
        programs: each program that it needs, and Debian's package of it.
        bring_up: starts it in the wired namespaces of a laboratory, with files in a folder of its own.
        opens_port: whether its packages start a service on the machine that they are installed on; who wants that
            does it by hand.
    """

    name: str
    title: str
    programs: Mapping[str, str]
    bring_up: Callable[[Laboratory, Path], None]
    opens_port: bool = False


class PeerLaboratory(Laboratory):
    """A laboratory whose tunnels another program makes."""

    def __init__(self, peer: Peer, spec: LabSpec, files: Files) -> None:
        super().__init__(spec, files)
        self._peer = peer

    def start(self) -> None:
        """Start the peer, and return when an echo has crossed each tunnel. Raises ExpectationFailed as for rustun."""
        for folder in (self.files.logs, self.files.sockets):
            folder.mkdir(parents=True, exist_ok=True)
        self.links.set_planned()
        self._peer.bring_up(self, self.files.sockets)
        self.prove_tunnels()


def inside(member: MemberSpec) -> tuple[IPv4Address, IPv4Network]:
    """Return a member's IPv4 tunnel address and the network that it is in."""
    interface = next(one for one in member.addresses if one.version == 4)
    return IPv4Address(int(interface.ip)), IPv4Network(interface.network)


def outside_of_server(lab: Laboratory) -> str:
    """Return the address at which members reach the hub."""
    return str(lab.topology.ports(SERVER)[0].addresses[0].ip)


def start(lab: Laboratory, node: str, command: Sequence[str]) -> NodeProcess:
    """Start a program in a node, as one of the laboratory's processes."""
    process = NodeProcess(node, lab.namespaces[node], command, lab.files.sockets, lab.files.logs / f"{node}.log")
    lab.processes[node] = process
    return process


def run(lab: Laboratory, node: str, *command: str) -> None:
    """Run a program in a node to its end. Raises ExpectationFailed with what it says when it fails."""

    def finish() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)

    done = lab.namespaces[node].run(finish)
    if done.returncode:
        raise ExpectationFailed(f"{' '.join(command)} in {node}: exit code {done.returncode}", done.stderr.strip())


def forward(lab: Laboratory) -> None:
    """Let the hub's kernel pass packets on, for peers that leave that to it."""
    lab.namespaces[SERVER].run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))


def await_words(lab: Laboratory, node: str, words: str) -> None:
    """Wait until a node's program has said something."""
    log = lab.processes[node].log
    await_true(lab, lambda: words in log.read_text(errors="replace"), f'{node} did not say "{words}"')


def await_device(lab: Laboratory, node: str, device: str) -> None:
    """Wait until a node has a device."""

    def is_there() -> bool:
        return f"{device}:" in lab.namespaces[node].run(Path("/proc/thread-self/net/dev").read_text)

    await_true(lab, is_there, f"{node} has no device {device}")


def await_true(lab: Laboratory, holds: Callable[[], bool], otherwise: str) -> None:
    """Look until `holds` is true. Raises ExpectationFailed when that takes too long, or at once when a process ends."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not holds():
        for process in select.select(lab.processes.values(), (), (), LOOK_SECONDS)[0]:
            raise ExpectationFailed(f"{process.label}: ended with exit code {process.ended()}", process.last_words())
        if monotonic() > deadline:
            raise ExpectationFailed(f"{otherwise} ({PATIENCE_SECONDS:.0f} s)", f"logs: {lab.files.logs}")


def networks(lab: Laboratory) -> list[IPv4Network]:
    """Return the tunnel networks of all members, each once."""
    return [IPv4Network(ip_network(one)) for one in dict.fromkeys(inside(member)[1] for member in lab.spec.members)]
