"""Netlink sockets: requests and answers of the kernel (RFC 3549; linux/netlink.h).

Rules of this module
  1. Messages only; what their bodies mean is in `rtnetlink.py`.
  2. Small on purpose. The library for this keeps 20 MB resident, which would double a client; what is needed here is
     one header, one attribute format and three kinds of exchange. Tests compare the outcome with that library.
  3. A batch goes out as one datagram of many requests, of which only the last asks for an acknowledgement: the kernel
     handles them in order and answers each failure, so the last answer ends the batch (100,000 routes in a second).

    nlmsghdr, native byte order:  length u32 | type u16 | flags u16 | sequence u32 | port u32   then body, attributes
    nlattr:                       length u16 | type u16 | payload, padded to 4 bytes
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

HEADER: Final = struct.Struct("=IHHII")
ATTRIBUTE: Final = struct.Struct("=HH")
TYPE_MASK: Final = 0x3FFF  # the two upper bits of an attribute's type say "nested" and "big endian"
ALIGNMENT: Final = 4

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

NLM_F_REQUEST: Final = 0x001
NLM_F_ACK: Final = 0x004
NLM_F_DUMP_INTR: Final = 0x010
NLM_F_DUMP: Final = 0x300
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400

SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10  # an answer does not repeat the request
NETLINK_GET_STRICT_CHK: Final = 12  # a dump heeds the filter in its request (kernel 4.20)

RECEIVE_BYTES: Final = 64 * 1024  # the kernel fills at most 32 KiB of a dump at a time
BATCH: Final = 128  # requests in one datagram; all their errors fit the socket's receive buffer
DUMP_TRIES: Final = 5  # a dump during which the tables changed is taken again
TIMEOUT_S: Final = 5  # the kernel answers within the call; only a bug would wait longer


@dataclass(frozen=True, slots=True)
class Request:
    """One request: message type, flags beside NLM_F_REQUEST, body with attributes."""

    type: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """One answer: message type and body with attributes."""

    type: int
    body: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % ALIGNMENT)


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Return the attributes from `start` to the end of `data`, by kind; of equal kinds the last."""
    found = {}
    while start + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if length < ATTRIBUTE.size:
            break
        found[kind & TYPE_MASK] = data[start + ATTRIBUTE.size : start + length]
        start += length + -length % ALIGNMENT
    return found


class NetlinkSocket:
    """A socket to rtnetlink of the network namespace that the process is in; blocks for as long as the kernel works."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._sock.settimeout(TIMEOUT_S)
        for option in (NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK):
            with suppress(OSError):  # older kernels: answers are longer, dumps unfiltered
                self._sock.setsockopt(SOL_NETLINK, option, 1)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._sock.close()

    def request(self, request: Request) -> None:
        """Make one change. Raises: OSError with the kernel's reason."""
        (number,) = self.batch([request])
        if number:
            raise OSError(number, os.strerror(number))

    def batch(self, requests: Sequence[Request]) -> list[int]:
        """Make many changes, each on its own; return one errno per request, 0 for those that succeeded."""
        errors: list[int] = []
        for start in range(0, len(requests), BATCH):
            errors += self._batch(requests[start : start + BATCH])
        return errors

    def dump(self, request: Request) -> list[Message]:
        """Return all entries of a table; changes meanwhile may be missing. Raises: OSError."""
        found, consistent = self._dump(request)
        for _ in range(DUMP_TRIES - 1):
            if consistent:
                break
            found, consistent = self._dump(request)
        return found

    def _batch(self, requests: Sequence[Request]) -> list[int]:
        if not requests:
            return []
        first = self._sequence + 1
        last = self._sequence + len(requests)
        self._sock.send(self._pack(requests[:-1], 0) + self._pack(requests[-1:], NLM_F_ACK))
        errors = [0] * len(requests)
        while True:
            for _, sequence, message in self._receive():
                if message.type == NLMSG_ERROR and first <= sequence <= last:
                    errors[sequence - first] = _errno(message)
                    if sequence == last:
                        return errors

    def _dump(self, request: Request) -> tuple[list[Message], bool]:
        self._sock.send(self._pack([request], NLM_F_DUMP))
        found: list[Message] = []
        consistent = True
        while True:
            for flags, sequence, message in self._receive():
                if sequence != self._sequence:
                    continue
                consistent &= not flags & NLM_F_DUMP_INTR
                if message.type == NLMSG_DONE:
                    return found, consistent
                if message.type == NLMSG_ERROR:
                    number = _errno(message)
                    raise OSError(number, os.strerror(number))
                found.append(message)

    def _pack(self, requests: Sequence[Request], flags: int) -> bytes:
        parts = []
        for request in requests:
            self._sequence += 1
            length = HEADER.size + len(request.body)
            all_flags = NLM_F_REQUEST | request.flags | flags
            parts.append(HEADER.pack(length, request.type, all_flags, self._sequence, 0))
            parts.append(request.body + bytes(-length % ALIGNMENT))
        return b"".join(parts)

    def _receive(self) -> Iterator[tuple[int, int, Message]]:
        """Yield flags, sequence and message of each answer in the next datagram."""
        data = self._sock.recv(RECEIVE_BYTES)
        start = 0
        while start + HEADER.size <= len(data):
            length, kind, flags, sequence, _ = HEADER.unpack_from(data, start)
            if length < HEADER.size:
                raise OSError(errno.EPROTO, "netlink answer of impossible length")
            yield flags, sequence, Message(kind, data[start + HEADER.size : start + length])
            start += length + -length % ALIGNMENT


def _errno(message: Message) -> int:
    number: int = struct.unpack_from("=i", message.body)[0]
    return -number
