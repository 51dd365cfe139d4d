"""The frame: a header of 8 bytes and a payload, the same on every tier (docs/protocol.md, section 1).

0        4        5      6            8
| magic  | version| type | payload len | payload ...
 91929394   01      u8     u16 big endian
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from rustun.errors import ProtocolError

MAGIC: Final = 0x91929394
VERSION: Final = 1
HEADER: Final = struct.Struct("!IBBH")  # magic, version, type, payload length in bytes
HEADER_BYTES: Final = HEADER.size
MAX_PAYLOAD_BYTES: Final = 0xFFFF  # the length field has 16 bits
MAX_FRAME_BYTES: Final = HEADER_BYTES + MAX_PAYLOAD_BYTES


class FrameType(IntEnum):
    """What a frame carries; 0x18 to 0x1f are reserved for records in datagrams."""

    SEED_HANDSHAKE = 0x01
    SEED_KEEPALIVE = 0x02
    SEED_DATA = 0x03
    SEED_HANDSHAKE_REPLY = 0x04
    SEED_PROBE_IPV6 = 0x06
    SEED_PROBE_HOLE_PUNCH = 0x07
    KEY_INIT = 0x10
    KEY_REPLY = 0x11
    SHARED_INIT = 0x12
    SHARED_REPLY = 0x13
    DATA = 0x14
    CONTROL = 0x15


RECORD_TYPES: Final = frozenset({FrameType.DATA, FrameType.CONTROL})  # in a session of the Noise tiers
SEED_SESSION_TYPES: Final = frozenset({FrameType.SEED_KEEPALIVE, FrameType.SEED_DATA})


def header(frame_type: int, payload_bytes: int) -> bytes:
    """Return the 8 header bytes of a frame; `payload_bytes` 0 to 65535, else struct.error: a bug of the caller."""
    return HEADER.pack(MAGIC, VERSION, frame_type, payload_bytes)


def encode_frame(frame_type: int, payload: bytes) -> bytes:
    """Return a whole frame as it stands on the wire; the payload is at most 65535 bytes."""
    return header(frame_type, len(payload)) + payload


class FrameReader:
    """Finds the frames in a received stretch of bytes without copying them.

    One reader per connection. It judges a header as soon as its 8 bytes are there, so a frame that will be refused is
    never waited for. The caller owns the buffer and keeps what is left over for the next stretch.

    Attributes:
        allowed_types: what may come next; may be replaced between frames.
        max_payload_bytes: longer payloads are refused at the header, 0 to 65535.
    """

    __slots__ = ("allowed_types", "max_payload_bytes")

    def __init__(self, allowed_types: frozenset[int], max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self.allowed_types = allowed_types
        self.max_payload_bytes = max_payload_bytes

    def next_frame(self, buffer: memoryview | bytes | bytearray, start: int, end: int) -> tuple[int, int] | None:
        """Look at the frame that begins at `start` in `buffer[:end]`.

        Returns: (type, end of its payload), or None until more bytes came.
        Raises: ProtocolError for a wrong magic, version, type or length; the stream's framing is lost for good.
        """
        if end - start < HEADER_BYTES:
            return None
        magic, version, frame_type, payload_bytes = HEADER.unpack_from(buffer, start)
        if (
            magic != MAGIC
            or version != VERSION
            or frame_type not in self.allowed_types
            or payload_bytes > self.max_payload_bytes
        ):
            raise ProtocolError(self._reason(magic, version, frame_type, payload_bytes))
        stop: int = start + HEADER_BYTES + payload_bytes
        return (frame_type, stop) if stop <= end else None

    def _reason(self, magic: int, version: int, frame_type: int, payload_bytes: int) -> str:
        if magic != MAGIC:
            return f"magic is 0x{magic:08x}"
        if version != VERSION:
            return f"version is {version}"
        if frame_type not in self.allowed_types:
            return f"type 0x{frame_type:02x} is not expected here"
        return f"payload of {payload_bytes} bytes, at most {self.max_payload_bytes} here"
