"""How packets and control messages become frames, on either wire.

Both codecs have the same face: `open_data` turns one received frame into a run of items (see packet.py) and
`seal_items` turns a run into frames. So the relay and the client know runs only, whatever wire a peer speaks.
A codec that raised ProtocolError is dead, and so is its session.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rustun.errors import ProtocolError
from rustun.protocol.ciphers import NONCE_BYTES, SeedCipher
from rustun.protocol.frames import HEADER, HEADER_BYTES, MAGIC, MAX_PAYLOAD_BYTES, VERSION, FrameType
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, Cipher, RecordOpener, RecordSealer

RandomBytes = Callable[[int], bytes]

MAX_PACKET_IN_RECORD_BYTES: Final = MAX_PLAINTEXT_BYTES - ITEM_HEADER_BYTES  # 21 less than IP's own limit

# What `seal_items` may need beyond the run itself, for a run of MAX_PLAINTEXT_BYTES: an item is at least 20 bytes of
# packet and 5 of header, and becomes a frame with 8 bytes of header, 12 of nonce and 16 of tag.
MAX_SEED_GROWTH_BYTES: Final = MAX_PLAINTEXT_BYTES // 25 * (HEADER_BYTES + 12 + 16)


class RecordCodec:
    """The Noise tiers: one run is one data record.

    Args:
        cipher: record cipher of both directions.
        keys: what the handshake left.
        is_client: which of the two directions we seal.
        now: seconds of the boot-time clock at which the keys were agreed.
    Attributes:
        open_data: RecordOpener.open_into of the present key: no call in between on the path of every packet.
        seal_items: RecordSealer.seal_into of the present key.
    """

    __slots__ = ("_is_client", "_opener", "_sealer", "cipher", "open_data", "seal_items", "sealed_since")

    data_type: Final = FrameType.DATA

    def __init__(self, cipher: Cipher, keys: SessionKeys, *, is_client: bool, now: float) -> None:
        self.cipher = cipher
        self._is_client = is_client
        self.replace_sealer(keys, now)
        self.replace_opener(keys, now)

    def replace_sealer(self, keys: SessionKeys, now: float) -> None:
        """Seal everything from here on with new keys."""
        key = keys.client_to_server if self._is_client else keys.server_to_client
        self._sealer = RecordSealer(self.cipher, key, now)
        self.seal_items = self._sealer.seal_into
        self.sealed_since = now

    def replace_opener(self, keys: SessionKeys, now: float) -> None:
        """Open everything from here on with new keys."""
        key = keys.server_to_client if self._is_client else keys.client_to_server
        self._opener = RecordOpener(self.cipher, key, now)
        self.open_data = self._opener.open_into

    @property
    def records(self) -> int:
        """Records sealed or opened under the present keys, whichever is more: what a rekey is due by."""
        return max(self._sealer.records, self._opener.records)

    def alive(self, now: float) -> bool:
        """Tell whether both keys may still be used; ask once a batch."""
        return self._sealer.alive(now) and self._opener.alive(now)

    def open_control(self, frame: memoryview, scratch: memoryview) -> bytes:
        """Open a control record and return its plaintext. Raises ProtocolError."""
        length = self._opener.open_into(frame, scratch)
        return bytes(scratch[:length])

    def seal_control(self, message: bytes) -> bytes:
        """Seal one control message and return the whole frame. Raises ProtocolError."""
        frame = bytearray(len(message) + RECORD_OVERHEAD_BYTES)
        self._sealer.seal_into(message, memoryview(frame), 0, FrameType.CONTROL)
        return bytes(frame)


class SeedCodec:
    """The seed's wire: each packet is a frame of its own, under one key for everybody and a random nonce.

    Args:
        cipher: the configured method.
        random_bytes: source of nonces.
    """

    __slots__ = ("_cipher", "_random_bytes")

    data_type: Final = FrameType.SEED_DATA

    def __init__(self, cipher: SeedCipher, random_bytes: RandomBytes) -> None:
        self._cipher = cipher
        self._random_bytes = random_bytes

    def alive(self, now: float) -> bool:
        """Return True: this wire's one key has no end."""
        return True

    def open_data(self, frame: memoryview, plain: memoryview, at: int) -> int:
        """Open a Data frame into one item at `plain[at:]` and return where it ends. Raises ProtocolError."""
        start = at + ITEM_HEADER_BYTES
        length = self._cipher.open_into(frame[HEADER_BYTES:], plain[start : start + len(frame)])
        ITEM.pack_into(plain, at, 0, 0, length)
        return start + length

    def seal_items(self, run: memoryview | bytes | bytearray, out: memoryview, at: int) -> int:
        """Seal each packet of a run of complete packets to `out[at:]` and return where the last frame ends.

        A packet too long for the seed's frame is left out: its length field has 16 bits.
        """
        view = memoryview(run)
        position, end = 0, len(view)
        overhead = self._cipher.overhead_bytes
        while position < end:
            length = ITEM.unpack_from(view, position)[2]
            position += ITEM_HEADER_BYTES
            if length + overhead <= MAX_PAYLOAD_BYTES:
                at = self._seal_frame(FrameType.SEED_DATA, view[position : position + length], out, at)
            position += length
        return at

    def seal_message(self, frame_type: FrameType, message: bytes) -> bytes:
        """Seal one of the seed's JSON messages and return the whole frame."""
        if len(message) + self._cipher.overhead_bytes > MAX_PAYLOAD_BYTES:
            raise ProtocolError(f"a message of {len(message)} bytes does not fit the seed's frame")
        frame = bytearray(HEADER_BYTES + len(message) + self._cipher.overhead_bytes)
        self._seal_frame(frame_type, message, memoryview(frame), 0)
        return bytes(frame)

    def open_message(self, frame: memoryview, scratch: memoryview) -> bytes:
        """Open one of the seed's JSON messages and return its plaintext. Raises ProtocolError."""
        return bytes(scratch[: self._cipher.open_into(frame[HEADER_BYTES:], scratch)])

    def _seal_frame(self, frame_type: FrameType, plaintext: memoryview | bytes, out: memoryview, at: int) -> int:
        payload_bytes = len(plaintext) + self._cipher.overhead_bytes
        body = at + HEADER_BYTES
        HEADER.pack_into(out, at, MAGIC, VERSION, frame_type, payload_bytes)
        self._cipher.seal_into(plaintext, self._random_bytes(NONCE_BYTES), out[body : body + payload_bytes])
        return body + payload_bytes
