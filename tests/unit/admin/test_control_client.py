"""How long a reader waits for a process."""

from __future__ import annotations

import socket

from rustun.admin import control_client
from rustun.admin.control import FOLLOWED_BYTES_PER_S


class Telling(socket.socket):
    """One end of a connection over which two long documents have come; it notes what a reader is ready to wait."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.waits: list[float | None] = []
        self._told = [b"x" * 3 * FOLLOWED_BYTES_PER_S, b"\nx\n", b""]

    def recv(self, size: int, flags: int = 0) -> bytes:
        return self._told.pop(0)

    def settimeout(self, value: float | None) -> None:
        self.waits.append(value)


def test_who_follows_thousands_waits_for_the_next_document() -> None:
    """`rustun top` gives a relay of 10,000 members up between two documents."""
    with Telling() as peer:
        lengths = [len(line) for line in control_client._lines(peer, 5.0)]
        assert lengths == [3 * FOLLOWED_BYTES_PER_S, 1]
        assert peer.waits[0] == 8.0
