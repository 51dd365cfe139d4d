"""The header of 8 bytes: what it says, and that a bad one is refused before its payload has come."""

from __future__ import annotations

import struct

import pytest

from rustun.errors import ProtocolError
from rustun.protocol.frames import (
    MAX_PAYLOAD_BYTES,
    RECORD_TYPES,
    SEED_SESSION_TYPES,
    FrameReader,
    FrameType,
    encode_frame,
    header,
)

ALLOWED = frozenset({FrameType.DATA, FrameType.CONTROL})


def test_layout_on_the_wire() -> None:
    """If this fails, no peer of another release, and none of the seed's, understands a frame."""
    assert encode_frame(FrameType.SEED_DATA, b"abc") == bytes.fromhex("91929394 01 03 0003") + b"abc"
    assert header(FrameType.CONTROL, 0x1234) == bytes.fromhex("91929394 01 15 1234")
    assert header(FrameType.DATA, MAX_PAYLOAD_BYTES)[6:] == b"\xff\xff"


def test_a_length_never_wraps() -> None:
    """If this fails, a payload of 64 KiB is announced as an empty one and the stream is lost."""
    with pytest.raises(struct.error):
        header(FrameType.DATA, MAX_PAYLOAD_BYTES + 1)


def test_types_of_the_wire_are_fixed() -> None:
    """If this fails, a renumbered type meets peers that know the old number."""
    numbers = {name: member.value for name, member in FrameType.__members__.items()}
    assert numbers == {
        "SEED_HANDSHAKE": 1, "SEED_KEEPALIVE": 2, "SEED_DATA": 3, "SEED_HANDSHAKE_REPLY": 4, "SEED_PROBE_IPV6": 6,
        "SEED_PROBE_HOLE_PUNCH": 7, "KEY_INIT": 0x10, "KEY_REPLY": 0x11, "SHARED_INIT": 0x12, "SHARED_REPLY": 0x13,
        "DATA": 0x14, "CONTROL": 0x15,
    }  # fmt: skip
    assert not RECORD_TYPES & SEED_SESSION_TYPES


def test_every_beginning_of_a_frame_waits_for_more() -> None:
    """If this fails, a frame that comes in two pieces is cut, or never found."""
    frame = encode_frame(FrameType.DATA, b"payload")
    reader = FrameReader(ALLOWED)
    for length in range(len(frame)):
        assert reader.next_frame(frame, 0, length) is None
    assert reader.next_frame(frame, 0, len(frame)) == (FrameType.DATA, len(frame))


def test_nothing_outside_the_stretch_is_looked_at() -> None:
    """If this fails, what an earlier turn left in the shared buffer passes for a peer's bytes."""
    frame = encode_frame(FrameType.CONTROL, b"xyz")
    buffer = b"\xff" * 5 + frame + frame
    reader = FrameReader(ALLOWED)
    assert reader.next_frame(buffer, 5, 5 + len(frame)) == (FrameType.CONTROL, 5 + len(frame))
    assert reader.next_frame(buffer, 5 + len(frame), 5 + len(frame)) is None
    assert reader.next_frame(buffer, 5 + len(frame), len(buffer) - 1) is None


@pytest.mark.parametrize(
    ("first_bytes", "reason"),
    [
        ("91929395 01 14 0000", "magic is 0x91929395"),
        ("91929394 02 14 0000", "version is 2"),
        ("91929394 00 14 0000", "version is 0"),
        ("91929394 01 03 0000", "type 0x03 is not expected here"),
        ("91929394 01 14 0065", "payload of 101 bytes, at most 100 here"),
    ],
)
def test_a_header_is_refused_before_its_payload_came(first_bytes: str, reason: str) -> None:
    """If this fails, a stranger makes us wait for, and hold, what will be refused anyway."""
    data = bytes.fromhex(first_bytes)
    with pytest.raises(ProtocolError, match=reason):
        FrameReader(ALLOWED, max_payload_bytes=100).next_frame(data, 0, len(data))


def test_the_longest_allowed_payload_is_taken() -> None:
    """If this fails, a limit is off by one and honest full frames are refused."""
    for limit in (0, 1, 100, MAX_PAYLOAD_BYTES):
        frame = encode_frame(FrameType.DATA, bytes(limit))
        assert FrameReader(ALLOWED, limit).next_frame(frame, 0, len(frame)) == (FrameType.DATA, len(frame))


def test_what_is_allowed_may_change_between_frames() -> None:
    """If this fails, a session goes on taking what only a handshake may send."""
    reader = FrameReader(frozenset({FrameType.SHARED_INIT}))
    frame = encode_frame(FrameType.DATA, b"")
    with pytest.raises(ProtocolError):
        reader.next_frame(frame, 0, len(frame))
    reader.allowed_types = ALLOWED
    assert reader.next_frame(frame, 0, len(frame)) == (FrameType.DATA, 8)
