"""Round trips and losses between nodes of a running laboratory and its server, by echoes over their cables.

All nodes ask at once, each ECHOES times; answers are waited for until all have come, or WAIT_SECONDS after the last.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median
from time import monotonic
from typing import Final

from netlab.isolation.packets import checksum
from netlab.namespaces import NetworkNamespace
from netlab.picture.scene import Trip
from netlab.waiting import readable

ECHOES: Final = 40
STEP_SECONDS: Final = 0.005
WAIT_SECONDS: Final = 1.0  # a satellite's round trip is 0.6 s
ANSWER_BYTES: Final = 2048
REPLY: Final = 0
_ECHO: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence


def ask(namespaces: Mapping[str, NetworkNamespace], server: str) -> dict[str, Trip]:
    """Return the trips between nodes and the server's IPv4 address, by node."""
    with ExitStack() as opened:
        sockets = {opened.enter_context(space.run(partial(_open, server))): node for node, space in namespaces.items()}
        taken: dict[str, dict[int, float]] = {node: {} for node in namespaces}
        sent: dict[int, float] = {}
        for number in range(ECHOES):
            sent[number] = monotonic()
            for sock in sockets:
                _send(sock, number)
            _collect(sockets, sent, taken, sent[number] + STEP_SECONDS)
        _collect(sockets, sent, taken, monotonic() + WAIT_SECONDS)
    return {node: _trip(list(found.values())) for node, found in taken.items()}


def _open(server: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    try:
        sock.connect((server, 0))
    except OSError:  # no way there: then nothing will come back
        pass
    return sock


def _identifier() -> int:
    return os.getpid() & 0xFFFF


def _send(sock: socket.socket, number: int) -> None:
    fields = (_identifier(), number)
    sealed = checksum(_ECHO.pack(8, 0, 0, *fields))
    try:
        sock.send(_ECHO.pack(8, 0, sealed, *fields))
    except OSError:  # the cable is down: lost
        pass


def _collect(
    sockets: Mapping[socket.socket, str],
    sent: Mapping[int, float],
    taken: Mapping[str, dict[int, float]],
    until: float,
) -> None:
    """Take answers until that time, or until all that was sent has come back."""
    whole = len(sent) == ECHOES
    while (left := until - monotonic()) > 0:
        if whole and all(len(found) == ECHOES for found in taken.values()):
            return
        for sock in readable(sockets, left):
            data = sock.recv(ANSWER_BYTES)
            kind, _, _, identifier, number = _ECHO.unpack_from(data, (data[0] & 15) * 4)
            if kind == REPLY and identifier == _identifier() and number in sent:
                taken[sockets[sock]].setdefault(number, monotonic() - sent[number])


def _trip(found: list[float]) -> Trip:
    return Trip(median(found) if found else None, 1 - len(found) / ECHOES)
