"""The process that keeps a laboratory up after `lab-up` has ended, and answers for it (answering.py).

    {"do": "status"}               the laboratory's status document (documents.py)
    {"do": "nodes"}                {"nodes": [{"node", "role", "cluster"}]}
    {"do": "enter", "node": NAME}  {"flags": [...], "through": [...]} with as many namespace descriptors as flags, in
                                   the order to enter them; `through` are the words that run a command line in the
                                   node from there, none where that is the node itself
    {"do": "link", ...}            netlab/links/requests.py
    {"do": "probe", ...}           netlab/isolation/requests.py
    {"do": "events"}               {"event": "snapshot", ...}, then a line for each change, until the asker goes
    {"do": "diff"}                 how the inventory differs from it by now (applying.py)
    {"do": "apply"}                lets it follow; {"changes", "steps", "reachability"}
    {"do": "down"}                 takes all down, answers {"left": [...]}, ends
While it starts it writes events as lines of JSON to `lab-up`: {"event": ..., "text": ...}.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Any, Final, Protocol

from netlab import kernel
from netlab.configuration import Choice, Configured
from netlab.control import answering, documents
from netlab.control.answering import Changing, Handler, Work, answered
from netlab.control.applying import Follower
from netlab.control.happenings import Journal, report
from netlab.errors import EXIT_OK, BadInput, LabError
from netlab.isolation import requests as probing
from netlab.lab import Files, Laboratory
from netlab.links import requests as linking
from netlab.links.links import Links
from netlab.namespaces import NetworkNamespace, replace_hosts_file
from netlab.phases import phases_text

SOCKETS: Final = Path("/run/rustun")
Document = dict[str, Any]


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
    """A laboratory as its keeper needs it: what it is, and what to answer for it.

    Attributes:
        entrances: those of all nodes that there are now.
        wired: what to tell of it before it is up.
        up: what to tell of it then.
        looks: what is answered without changing anything, by the request's "do".
        changes: what is answered by one request at a time.
        listeners: what stays connected and is told of what happens.
        links: those whose settings may be for a time.
    """

    lab: Lab
    entrances: Callable[[], Mapping[str, Entrance]]
    wired: str
    up: Callable[[], str]
    looks: Mapping[str, Work]
    changes: Mapping[str, Work] = field(default_factory=dict)
    listeners: Mapping[str, Handler] = field(default_factory=dict)
    links: Links | None = None


def keep_laboratory(
    configured: Configured, choice: Choice, logs: Path, control: socket.socket, events: IO[str], *, as_user: bool
) -> int:
    """Keep a laboratory of namespaces; return the exit code. Its arguments are those of `keep`, and what to build."""
    lab = Laboratory(configured.spec, Files(configured.folder, logs, SOCKETS))
    replace_hosts_file(dict(lab.topology.names))
    journal = Journal()
    follower = Follower(lab, configured, choice, journal.tell)
    kept = Kept(
        lab,
        lambda: {name: Entrance(namespace) for name, namespace in lab.namespaces.items()},
        f"{len(lab.namespaces)} namespaces",
        lambda: f"all sessions up, an echo through each: {phases_text(lab.phases)}",
        looks={"status": lambda _request: documents.status(lab), "nodes": lambda _request: documents.nodes(lab)},
        changes={
            "link": lambda request: linking.answer(lab.links, request, monotonic()),
            "probe": partial(probing.answer, lab),
            "diff": follower.compare,
            "apply": follower.apply,
        },
        listeners={"events": lambda connection, _request: report(lab, journal, connection)},
        links=lab.links,
    )
    return keep(kept, control, events, as_user=as_user)


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
        changing = Changing()
        if kept.links is not None:
            Thread(target=changing.keep, args=(kept.links.deadline, kept.links.expire), daemon=True).start()
        answering.serve(control, _handlers(kept, changing, control, as_user=as_user))
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


def _handlers(kept: Kept, changing: Changing, control: socket.socket, *, as_user: bool) -> dict[str, Handler]:
    handlers: dict[str, Handler] = {name: answered(work) for name, work in kept.looks.items()}
    handlers |= {name: answered(changing.alone(work)) for name, work in kept.changes.items()}
    down = answered(changing.alone(lambda _request: {"left": kept.lab.close()}))

    def go_down(connection: socket.socket, request: Document) -> None:
        try:
            down(connection, request)
        finally:
            control.shutdown(socket.SHUT_RDWR)

    handlers |= kept.listeners
    handlers["enter"] = partial(_enter, kept, as_user)
    handlers["down"] = go_down
    return handlers


def _enter(kept: Kept, as_user: bool, connection: socket.socket, request: Document) -> None:
    entrances = kept.entrances()
    entrance = entrances.get(str(request.get("node")))
    if entrance is None:
        error = BadInput("no such node", f"nodes: {', '.join(entrances)}")
        connection.sendall(json.dumps(answering.refused(error)).encode())
        return
    kinds = [("user", kernel.CLONE_NEWUSER)] * as_user + [("mnt", kernel.CLONE_NEWNS), ("pid", kernel.CLONE_NEWPID)]
    opened = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name, _ in kinds]
    flags = [*(flag for _, flag in kinds), kernel.CLONE_NEWNET]
    reply = json.dumps({"flags": flags, "through": entrance.through}).encode()
    try:
        socket.send_fds(connection, [reply], [*opened, entrance.namespace.fileno()])
    finally:
        for descriptor in opened:
            os.close(descriptor)
