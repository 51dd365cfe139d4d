"""A stream means the same however the network cut it: whole, in pieces, byte by byte."""

from __future__ import annotations

import itertools
from collections import deque
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from rustun.backends.base import Stream
from rustun.errors import ProtocolError
from rustun.link.buffers import Buffers
from rustun.link.inbox import Inbox
from rustun.protocol import control
from rustun.protocol.codec import RecordCodec
from rustun.protocol.frames import RECORD_TYPES, FrameReader, FrameType, encode_frame
from rustun.protocol.packet import ITEM
from rustun.protocol.records import RECORD_OVERHEAD_BYTES, Cipher
from tests.fuzz.mutation import damaged
from tests.fuzz.wire_decoders import CONTROL, KEYS, PACKETS

BUFFERS = Buffers()
PLAIN = memoryview(bytearray(70_000))


class Pieces:
    """A stream that delivers what it was given, one piece in each turn."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = deque(pieces)

    def receive_into(self, buffer: memoryview) -> int | None:
        piece = self._pieces.popleft() if self._pieces else b""
        assert len(piece) <= len(buffer)
        buffer[: len(piece)] = piece
        return len(piece)


def understood(pieces: list[bytes], most_per_turn: int) -> tuple[list[object], str]:
    """Return what a session reads in pieces of its stream, and why it ended."""
    inbox = Inbox(cast(Stream, Pieces(pieces)), FrameReader(RECORD_TYPES), BUFFERS)
    codec = RecordCodec(Cipher.AES256, KEYS, is_client=False, now=0.0)
    found: list[object] = []
    try:
        more = True
        while more:
            more = bool(inbox.begin(receive=True))
            taken = 0
            while (frame := inbox.next_frame()) is not None:
                found.append(meaning(codec, *frame))
                taken += 1
                if taken == most_per_turn:  # a turn that is over before its frames are
                    inbox.end()
                    inbox.begin(receive=False)
                    taken = 0
            inbox.end()
    except ProtocolError as error:
        return found, error.message
    return found, f"end with {len(inbox.held)} bytes left"


def meaning(codec: RecordCodec, frame_type: int, frame: memoryview) -> object:
    """Return the message or the items of one record."""
    if frame_type == FrameType.CONTROL:
        return control.decode(codec.open_control(frame, PLAIN), 60_000)
    return bytes(PLAIN[: codec.open_data(frame, PLAIN, 0)])


def session_stream() -> bytes:
    """Return what a client sends: control messages and packets."""
    codec = RecordCodec(Cipher.AES256, KEYS, is_client=True, now=0.0)
    stream = b""
    for message, packet in zip(CONTROL, itertools.cycle(PACKETS), strict=False):
        run = ITEM.pack(0, 0, len(packet)) + packet
        out = bytearray(len(run) + RECORD_OVERHEAD_BYTES)
        stream += codec.seal_control(control.encode(message))
        codec.seal_items(run, memoryview(out), 0)
        stream += out
    return stream


STREAM = session_stream()
EXAMPLES = (STREAM, STREAM[:700], STREAM[:400] + encode_frame(0x16, b"?") + STREAM[400:])


@given(damaged(EXAMPLES), st.lists(st.integers(0, len(STREAM)), max_size=12), st.integers(1, 9))
def test_a_session_reads_the_same_in_pieces(stream: bytes, cuts: list[int], most_per_turn: int) -> None:
    """What a peer said, or why it was cut off, depends on how the network cut its stream."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [part for left, right in itertools.pairwise(edges) if (part := stream[left:right])]
    whole = understood([stream], 1 << 30)
    assert understood(pieces, most_per_turn) == whole
    assert understood([stream[at : at + 1] for at in range(len(stream))], 1 << 30) == whole


def test_the_whole_stream_is_understood() -> None:
    """The test above would pass if every stream were cut off at its first byte."""
    found, ended = understood([STREAM], 1 << 30)
    assert len(found) == 2 * len(CONTROL)
    assert list(CONTROL) == found[::2]
    assert ended == "end with 0 bytes left"
