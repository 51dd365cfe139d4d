"""The envelope of first messages."""

from __future__ import annotations

import random

import pytest

from rustun.protocol.envelope import ENVELOPE_BYTES, Envelope
from rustun.protocol.frames import HEADER_BYTES, FrameType, header

PUBLIC = bytes(range(1, 33))
NONCE = bytes(range(12))


def sealed(message: bytes, public: bytes = PUBLIC, nonce: bytes = NONCE) -> bytes:
    """Return a frame with a message in its envelope."""
    frame_header = header(FrameType.KEY_INIT, len(message) + ENVELOPE_BYTES)
    return frame_header + Envelope(public).seal(frame_header, message, nonce)


@pytest.mark.parametrize("size", [0, 1, 96, 484])
def test_what_was_sealed_opens(size: int) -> None:
    """If this fails, no member of the key tier comes in."""
    message = random.Random(size).randbytes(size)
    frame = sealed(message)
    assert len(frame) == HEADER_BYTES + size + ENVELOPE_BYTES
    assert Envelope(PUBLIC).open(frame) == frame[:HEADER_BYTES] + message


def test_every_changed_bit_is_found() -> None:
    """If this fails, somebody on the path makes a server compute for free."""
    frame = sealed(b"a first message")
    opener = Envelope(PUBLIC)
    for bit in range(len(frame) * 8):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        assert opener.open(bytes(changed)) is None, bit


def test_nothing_short_opens() -> None:
    """If this fails, a few bytes end in a traceback."""
    frame = sealed(b"")
    opener = Envelope(PUBLIC)
    assert all(opener.open(frame[:length]) is None for length in range(len(frame)))


def test_an_envelope_for_another_server_stays_shut() -> None:
    """If this fails, strangers cost as much as members."""
    assert Envelope(PUBLIC).open(sealed(b"a first message", public=bytes(32))) is None


def test_the_nonce_matters() -> None:
    """If this fails, two first messages share a key stream, and a listener can forge envelopes."""
    assert sealed(b"same", nonce=NONCE)[20:] != sealed(b"same", nonce=bytes(12))[20:]
