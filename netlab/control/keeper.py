"""The process that keeps a laboratory up after `lab-up` has ended, and answers for it.

Control socket: one connection, one line of JSON, one answer.
    {"do": "status"}               the laboratory's status document
    {"do": "enter", "node": NAME}  {"flags": [...], "through": [...]} with as many namespace descriptors as flags, in
                                   the order to enter them; `through` are the words that run a command line in the
                                   node from there, none where that is the node itself
    {"do": "link", ...}            netlab/links/requests.py
    {"do": "probe", ...}           netlab/isolation/requests.py
    {"do": "down"}                 takes all down, answers {"left": [...]}, ends
While it starts it writes events as lines of JSON to `lab-up`: {"event": ..., "text": ...}.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final, Protocol

from netlab import kernel
from netlab.configuration import Configured
from netlab.errors import EXIT_OK, LabError
from netlab.isolation import requests as probing
from netlab.lab import Files, Laboratory, phases_text
from netlab.links import requests
from netlab.links.impairment import settings
from netlab.links.links import Links
from netlab.namespaces import NetworkNamespace, replace_hosts_file

SOCKETS: Final = Path("/run/rustun")
REQUEST_BYTES: Final = 4096
REQUEST_SECONDS: Final = 2.0
Request = dict[str, Any]


class Lab(Protocol):
    """What can be kept: brought up once, taken down once."""

    def start(self) -> None:
        """Bring it up. Raises LabError; it has to be taken down then, too."""

    def close(self) -> list[str]:
        """Take it down and return what was left over, in words."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a node is entered, and the words that run a command line in it from there."""

    namespace: NetworkNamespace
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kept:
    """A laboratory as its keeper needs it: what it is, and what to answer for it."""

    lab: Lab
    entrances: Mapping[str, Entrance]
    status: Callable[[], Request]
    wired: str
    up: Callable[[], str]
    links: Links | None = None
    probe: Callable[[Request], Request] | None = None


def keep_laboratory(
    configured: Configured, logs: Path, control: socket.socket, events: IO[str], *, as_user: bool
) -> int:
    """Keep a laboratory of namespaces; return the exit code. Its arguments are those of `keep`, and what to build."""
    lab = Laboratory(configured.spec, Files(configured.folder, logs, SOCKETS))
    replace_hosts_file(dict(lab.topology.names))
    entrances = {name: Entrance(namespace) for name, namespace in lab.namespaces.items()}
    wired = f"{len(lab.namespaces)} namespaces"
    up, probe = partial(_up, lab), partial(probing.answer, lab)
    kept = Kept(lab, entrances, partial(status_document, lab), wired, up, lab.links, probe)
    return keep(kept, control, events, as_user=as_user)


def _up(lab: Laboratory) -> str:
    return f"all sessions up, an echo through each: {phases_text(lab.phases)}"


def keep(kept: Kept, control: socket.socket, events: IO[str], *, as_user: bool) -> int:
    """Bring a laboratory up, then answer requests until one says "down"; return the exit code.

    Args:
        control: listening socket, made outside, where people can reach it.
        events: pipe to `lab-up`; closed once the laboratory is up or has failed.
        as_user: the laboratory has a user namespace of its own, to be entered first.
    """
    try:
        with closing(events):
            _tell(events, "wired", kept.wired)
            kept.lab.start()
            _tell(events, "up", kept.up())
        _serve(kept, control, as_user)
    except LabError as error:
        print(error, flush=True)
        kept.lab.close()
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):  # the latter: whoever wanted it has gone before it was up
        kept.lab.close()
    return EXIT_OK


def _tell(events: IO[str], event: str, text: str) -> None:
    events.write(json.dumps({"event": event, "text": text}) + "\n")
    events.flush()


def _serve(kept: Kept, control: socket.socket, as_user: bool) -> None:
    while True:
        _expire_links(kept.links, control)
        connection, _ = control.accept()
        with connection:
            connection.settimeout(REQUEST_SECONDS)
            down = False
            try:
                request: Request = json.loads(connection.recv(REQUEST_BYTES))
                down = request.get("do") == "down"
                if down:
                    connection.sendall(json.dumps({"left": kept.lab.close()}).encode())
                else:
                    _answer(kept, connection, request, as_user)
            except (OSError, ValueError):  # whoever asked went away or sent no JSON: nobody is left to be told
                pass
            if down:
                return


def _expire_links(links: Links | None, control: socket.socket) -> None:
    """Wait for a request, and meanwhile give back what lasts to links whose settings were for a time."""
    while links is not None and (deadline := links.deadline()) is not None:
        if select.select((control,), (), (), max(0.0, deadline - monotonic()))[0]:
            return
        try:
            links.expire(monotonic())
        except LabError as error:
            print(error, flush=True)


def _answer(kept: Kept, connection: socket.socket, request: Request, as_user: bool) -> None:
    if request.get("do") == "status":
        connection.sendall(json.dumps(kept.status()).encode())
    elif request.get("do") == "enter" and request.get("node") in kept.entrances:
        _send_namespaces(connection, kept.entrances[request["node"]], as_user)
    elif request.get("do") == "link":
        connection.sendall(json.dumps(requests.answer(kept.links, request, monotonic())).encode())
    elif request.get("do") == "probe" and kept.probe is not None:
        connection.sendall(json.dumps(kept.probe(request)).encode())
    else:
        connection.sendall(json.dumps({"error": f"no such node; nodes: {', '.join(kept.entrances)}"}).encode())


def _send_namespaces(connection: socket.socket, entrance: Entrance, as_user: bool) -> None:
    kinds = [("user", kernel.CLONE_NEWUSER)] * as_user + [("mnt", kernel.CLONE_NEWNS), ("pid", kernel.CLONE_NEWPID)]
    opened = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name, _ in kinds]
    flags = [*(flag for _, flag in kinds), kernel.CLONE_NEWNET]
    reply = json.dumps({"flags": flags, "through": entrance.through}).encode()
    try:
        socket.send_fds(connection, [reply], [*opened, entrance.namespace.fileno()])
    finally:
        for descriptor in opened:
            os.close(descriptor)


def status_document(lab: Laboratory) -> dict[str, Any]:
    """Return what `lab-status --json` prints: every node with its addresses and its rustun process's own words."""
    nodes = []
    clusters = {member.identity: member.cluster for member in lab.spec.members}
    for node in lab.topology.nodes:
        process = lab.processes.get(node.name)
        addresses = [str(a) for port in (*node.bridges, *lab.topology.ports(node.name)) for a in port.addresses]
        nodes.append(
            {
                "node": node.name,
                "role": node.role,
                "cluster": clusters.get(node.name, ""),
                "addresses": list(dict.fromkeys(addresses)),
                "pid": process.pid if process else None,
                "ended": process.ended() if process else None,
                "rustun": lab.status(node.name) if process else None,
            }
        )
    phases = {phase: round(seconds, 3) for phase, seconds in lab.phases.items()}
    return {"schema": 1, "name": lab.spec.name, "phases": phases, "nodes": nodes, "cables": _cables(lab)}


def _cables(lab: Laboratory) -> list[dict[str, Any]]:
    """Return each cable's two ends, and what its directions do that is not plain."""
    impaired = {direction.name: settings(direction.impairment) for direction in lab.links.impaired()}
    return [
        {
            "ends": [f"{near.node}:{near.name}", f"{far.node}:{far.name}"],
            "forth": impaired.get(f"{near.node}->{far.node}", {}),
            "back": impaired.get(f"{far.node}->{near.node}", {}),
        }
        for near, far in lab.topology.cables
    ]
