"""How long a reader waits for a process."""

from __future__ import annotations

import json
import socket

import pytest

from rustun.admin import control_client
from rustun.admin.control import FOLLOWED_BYTES_PER_S
from rustun.admin.control_client import Answer


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


def test_a_plain_answer_is_told_as_it_came() -> None:
    """`rustun status --json` of thousands of members takes 60 ms more: it writes anew what it has read."""
    line = rb'{"schema":1,  "name": "\u001b[31m \u4e2d", "n": 1e2}'
    assert Answer(json.loads(line), line).as_line() == line.decode()


@pytest.mark.parametrize("told", [b"\x7f", "\u009b31m".encode(), "\u202e".encode(), "中".encode()])
def test_what_could_be_more_than_text_is_written_anew(told: bytes) -> None:
    """Another program's socket, or a process of a newer version, has a terminal do things when its answer is shown."""
    for line in (b'{"name": "' + told + b'"}', b'{\r"name":\t"' + told + b'"}', b'{\r"name": "x"}', b'{"name":\t"x"}'):
        shown = Answer(json.loads(line), line).as_line()
        assert shown.isascii() and shown.isprintable()
        assert json.loads(shown) == json.loads(line)
