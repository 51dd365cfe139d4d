"""A black box for the laboratories of a test or scenario: what is written down of each one in which something failed.

    FOLDER/NAME/    status.json, picture.svg, capture.pcapng, sequence.txt (keeping.py)

Rules of this module
  1. It costs next to nothing while all is well: a packet socket in each node, which nobody reads. The kernel keeps the
     first packets, as many as find room, and counts the others.
  2. A laboratory that is closed because of an error is described before; one that nobody closes, when the error has
     come to the box.
  3. The box adds no fault of its own: what it cannot write is told, and the error that was there goes on.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from netlab import keeping, lab
from netlab.capture import pcapng
from netlab.control import documents
from netlab.errors import LabError
from netlab.lab import TUN, Laboratory
from netlab.namespaces import NetworkNamespace

ROOM_BYTES: Final = 48 << 20  # of the kernel's memory, for all nodes of a laboratory
MOST_ROOM_BYTES: Final = 4 << 20  # for one: some 2,000 packets
KEPT_BYTES: Final = 256  # of each packet
PACKET_BYTES: Final = 1 << 17
CLOSERS: Final = 16  # each close waits for the kernel, all of them as long as one
_ETH_P_ALL: Final = 3
_NO_HEADER: Final = 0xFFFE  # ARPHRD_NONE: a TUN device
_SO_RCVBUFFORCE: Final = 33
_SO_TIMESTAMPNS: Final = 35
_SOL_PACKET: Final = 263
_STATISTICS: Final = 6
_TIMESPEC: Final = struct.Struct("=qq")


@dataclass(frozen=True, slots=True)
class _Seen:
    at_ns: int
    tap: str
    inner: bool
    goes_out: bool
    data: bytes
    length: int


class BlackBox:
    """Watches every laboratory that is made while it is entered; a context manager.

    Args:
        folder: for what is written down; made when there is something.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._watched: dict[Laboratory, dict[str, socket.socket]] = {}

    def __enter__(self) -> Self:
        lab.observers.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        lab.observers.remove(self)
        for laboratory in list(self._watched):
            self.closing(laboratory)

    def wired(self, laboratory: Laboratory) -> None:
        """Begin to watch a laboratory."""
        room = min(MOST_ROOM_BYTES, ROOM_BYTES // len(laboratory.namespaces))
        sockets = self._watched[laboratory] = {}
        try:
            for node, space in laboratory.namespaces.items():
                sockets[node] = _open(space, room)
        except OSError as error:  # no descriptor is left: then of some nodes no packet is known
            print(f"no packets of all nodes of {laboratory.spec.name}: {error}", file=sys.stderr)

    def closing(self, laboratory: Laboratory) -> None:
        """Stop watching one; describe it if an error is on its way."""
        sockets = self._watched.pop(laboratory, {})
        if sys.exc_info()[0] is not None:
            try:
                self._describe(laboratory, sockets)
            except (OSError, LabError) as error:
                print(f"no account of {laboratory.spec.name}: {error}", file=sys.stderr)
        with ThreadPoolExecutor(CLOSERS) as closers:
            list(closers.map(socket.socket.close, sockets.values()))

    def _describe(self, laboratory: Laboratory, sockets: dict[str, socket.socket]) -> None:
        folder = self._folder / laboratory.spec.name
        keeping.describe(documents.status(laboratory), folder)
        (folder / keeping.CAPTURE).write_bytes(_capture(laboratory, sockets))
        keeping.draw(folder)


def _open(space: NetworkNamespace, room: int) -> socket.socket:
    """Return a socket that sees the packets of all interfaces of a node, also of those that are made later."""

    def inside() -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ETH_P_ALL))
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, room)
        except PermissionError:  # an ordinary user's socket has the room that net.core.rmem_max allows
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        return opened

    return space.run(inside)


def _capture(laboratory: Laboratory, sockets: dict[str, socket.socket]) -> bytes:
    """Return what was seen, as a pcapng file, with what found no room in its comment."""
    cables = [(f"{near.node}:{near.name}", f"{far.node}:{far.name}") for near, far in laboratory.topology.cables]
    peers = {one: other for near, far in cables for one, other in ((near, far), (far, near))}
    known = {f"{node}:{TUN}" for node in laboratory.namespaces} | peers.keys()
    lost = {node: _lost(opened) for node, opened in sockets.items()}
    seen = [one for node, opened in sockets.items() for one in _read(node, opened) if one.tap in known]
    taps = {one.tap: one.inner for one in seen}
    numbers = {tap: number for number, tap in enumerate(taps)}
    types = {True: pcapng.LINKTYPE_RAW, False: pcapng.LINKTYPE_ETHERNET}
    described = [pcapng.Interface(tap, types[inner], peer=peers.get(tap, "")) for tap, inner in taps.items()]
    left_out = ", ".join(f"{node} {number}" for node, number in lost.items() if number)
    comment = f"the first packets of {laboratory.spec.name}; later ones that found no room: {left_out or 'none'}"
    blocks = [pcapng.header(described, comment)]
    for one in sorted(seen, key=lambda one: one.at_ns):
        direction = pcapng.OUTBOUND if one.goes_out else pcapng.INBOUND
        blocks.append(pcapng.packet(numbers[one.tap], one.at_ns, one.data, one.length, direction))
    return b"".join(blocks)


def _lost(opened: socket.socket) -> int:
    _, dropped = struct.unpack("=II", opened.getsockopt(_SOL_PACKET, _STATISTICS, 8))
    return int(dropped)


def _read(node: str, opened: socket.socket) -> Iterator[_Seen]:
    while True:
        try:
            data, told, _, (name, _, kind, hardware, *_) = opened.recvmsg(PACKET_BYTES, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = _TIMESPEC.unpack(next(value for _, number, value in told if number == _SO_TIMESTAMPNS))
        at_ns = seconds * 1_000_000_000 + nanoseconds
        goes_out = kind == socket.PACKET_OUTGOING
        yield _Seen(at_ns, f"{node}:{name}", hardware == _NO_HEADER, goes_out, data[:KEPT_BYTES], len(data))
