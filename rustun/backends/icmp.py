"""ICMP echo, as `ping` sends it (RFC 792, RFC 4443 section 4).

Rules of this module
  1. A socket for echoes alone is taken where the host allows it (net.ipv4.ping_group_range), which needs no right; else
     a raw one.
  2. A reply counts when it comes from the address, has our number and holds what only this object sent.
  3. This blocks: it is for a command's own process, never for the loop of a tunnel.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from rustun.errors import HostError, RightsError
from rustun.protocol.checksum import ones_complement_sum

DATA_BYTES: Final = 56  # as `ping`: 84 bytes with the headers of IPv4
TOKEN_BYTES: Final = 16
MOST_BYTES: Final = 65_535
_HEADER: Final = struct.Struct("!BBHHH")  # type, code, checksum, identifier, number
_REQUEST: Final = {4: 8, 6: 128}
_REPLY: Final = {4: 0, 6: 129}
_FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOL: Final = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


class Echo:
    """Echo requests to one address; a context manager.

    Args:
        address: where they go, as this host routes it.

    Raises: RightsError: neither kind of socket is allowed. HostError: this host has no way there.
    """

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self._version = address.version
        self._token = os.urandom(TOKEN_BYTES)
        self._identifier = int.from_bytes(self._token[:2], "big")
        self._socket, self._raw = _open(address.version)
        try:
            self._socket.connect((str(address), 0))
        except OSError as error:
            self._socket.close()
            reason = f"this host has no way to {address}: {error.strerror}"
            raise HostError(reason, f"ip route get {address} tells more") from error

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def round_trip(self, number: int, seconds: float) -> float | None:
        """Send one request and return the seconds until its reply, None where none came in time.

        Args:
            number: of the request; its lowest 16 bits travel.
            seconds: to wait.

        Raises: HostError: this host refused to send it, or somebody on the way said that it cannot be delivered.
        """
        number &= 0xFFFF
        sent_at = time.monotonic()
        try:
            self._socket.send(self._request(number))
            while (left := sent_at + seconds - time.monotonic()) > 0:
                self._socket.settimeout(left)
                if self._is_reply(self._socket.recv(MOST_BYTES), number):
                    return time.monotonic() - sent_at
        except TimeoutError:
            pass
        except OSError as error:
            raise HostError(f"not delivered: {error.strerror}") from error
        return None

    def _request(self, number: int) -> bytes:
        data = self._token + bytes(DATA_BYTES - TOKEN_BYTES)
        bare = _HEADER.pack(_REQUEST[self._version], 0, 0, self._identifier, number) + data
        if self._version == 6:
            return bare  # the kernel knows the addresses that its sum covers
        checksum = (0xFFFF - ones_complement_sum(bare)) % 0xFFFF
        return _HEADER.pack(_REQUEST[4], 0, checksum, self._identifier, number) + data

    def _is_reply(self, received: bytes, number: int) -> bool:
        at = (received[0] & 0xF) * 4 if self._raw and self._version == 4 and received else 0
        if len(received) < at + _HEADER.size:
            return False
        kind, _, _, _, answered = _HEADER.unpack_from(received, at)
        data = received[at + _HEADER.size :]
        return kind == _REPLY[self._version] and answered == number and data.startswith(self._token)


def _open(version: int) -> tuple[socket.socket, bool]:
    """Return a socket, and whether it is a raw one."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            return socket.socket(_FAMILY[version], kind, _PROTOCOL[version]), kind == socket.SOCK_RAW
        except PermissionError:
            continue
        except OSError as error:
            raise HostError(f"no ICMP for IPv{version} here: {error.strerror}") from error
    raise RightsError(
        "no permission to send an ICMP echo",
        "run it as root, or let your group: sysctl net.ipv4.ping_group_range",
    )
