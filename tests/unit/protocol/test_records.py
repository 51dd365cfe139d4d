"""Records: one nonce once, in order, and nothing opens that was not sealed for this very place."""

from __future__ import annotations

import hmac
import random
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rustun.errors import ProtocolError
from rustun.protocol import records
from rustun.protocol.frames import HEADER_BYTES, FrameType
from rustun.protocol.records import (
    KEY_LIFE_SECONDS,
    MAX_PLAINTEXT_BYTES,
    RECORD_OVERHEAD_BYTES,
    Cipher,
    RecordOpener,
    RecordSealer,
)

KEY = bytes(range(32))
CIPHERS = list(Cipher)


def seal(sealer: RecordSealer, plaintext: bytes, frame_type: int = FrameType.DATA) -> bytes:
    out = memoryview(bytearray(len(plaintext) + RECORD_OVERHEAD_BYTES))
    assert sealer.seal_into(plaintext, out, 0, frame_type) == len(out)
    return bytes(out)


def opened(opener: RecordOpener, frame: bytes) -> bytes:
    out = memoryview(bytearray(len(frame)))
    return bytes(out[: opener.open_into(memoryview(frame), out)])


def by_hand(cipher: Cipher, counter: int, frame_type: int, plaintext: bytes) -> bytes:
    """Return the record as the specification says it, with HKDF (RFC 5869) written out."""
    extracted = hmac.digest(bytes(32), KEY, "sha256")
    key = hmac.digest(extracted, b"rustun record v1 " + cipher.value.encode() + b"\x01", "sha256")
    aead = AESGCM(key) if cipher is Cipher.AES256 else ChaCha20Poly1305(key)
    head = struct.pack("!IBBH", 0x91929394, 1, frame_type, len(plaintext) + 16)
    return head + aead.encrypt(bytes(4) + counter.to_bytes(8, "big"), plaintext, head)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_records_are_what_the_specification_says(cipher: Cipher) -> None:
    """If this fails, key derivation, nonce or associated data changed: no other release can read us."""
    sealer, opener = RecordSealer(cipher, KEY, 0.0), RecordOpener(cipher, KEY, 0.0)
    for counter, length in enumerate((0, 1, 15, 16, 17, 1500, MAX_PLAINTEXT_BYTES)):
        plaintext = random.Random(counter).randbytes(length)
        frame_type = FrameType.DATA if counter % 2 else FrameType.CONTROL
        frame = seal(sealer, plaintext, frame_type)
        assert frame == by_hand(cipher, counter, frame_type, plaintext)
        assert opened(opener, frame) == plaintext
    assert sealer.records == opener.records == 7


def test_records_are_written_where_they_belong() -> None:
    """If this fails, a record overwrites the one before it in the send buffer."""
    out = memoryview(bytearray(b"\xee" * 200))
    sealer, opener = RecordSealer(Cipher.AES256, KEY, 0.0), RecordOpener(Cipher.AES256, KEY, 0.0)
    middle = sealer.seal_into(b"first", out, 7)
    end = sealer.seal_into(b"second", out, middle)
    assert bytes(out[:7]) == b"\xee" * 7
    assert bytes(out[end:]) == b"\xee" * (200 - end)
    assert opened(opener, bytes(out[7:middle])) == b"first"
    assert opened(opener, bytes(out[middle:end])) == b"second"


@pytest.mark.parametrize("cipher", CIPHERS)
def test_order_is_part_of_the_seal(cipher: Cipher) -> None:
    """If this fails, somebody on the path can repeat, drop, swap or reflect packets."""
    sealer = RecordSealer(cipher, KEY, 0.0)
    frames = [seal(sealer, bytes([number])) for number in range(3)]
    for wrong in ([0, 0], [1], [0, 2], [0, 1, 1]):
        opener = RecordOpener(cipher, KEY, 0.0)
        for number in wrong[:-1]:
            opened(opener, frames[number])
        with pytest.raises(ProtocolError):
            opened(opener, frames[wrong[-1]])
    with pytest.raises(ProtocolError):
        opened(RecordOpener(cipher, bytes(32), 0.0), frames[0])  # the other direction's key


def test_every_bit_of_a_record_counts() -> None:
    """If this fails, somebody on the path can change a packet, or turn data into control."""
    frame = seal(RecordSealer(Cipher.AES256, KEY, 0.0), b"an inner packet")
    for bit in range(len(frame) * 8):
        altered = bytearray(frame)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ProtocolError):
            opened(RecordOpener(Cipher.AES256, KEY, 0.0), bytes(altered))


def test_the_two_ciphers_never_share_a_key() -> None:
    """If this fails, one key serves two algorithms, which no proof covers."""
    frame = seal(RecordSealer(Cipher.AES256, KEY, 0.0), b"text")
    with pytest.raises(ProtocolError):
        opened(RecordOpener(Cipher.CHACHA20, KEY, 0.0), frame)


def test_a_failed_open_is_the_end() -> None:
    """If this fails, an attacker may try again and again against one living session."""
    sealer, opener = RecordSealer(Cipher.AES256, KEY, 0.0), RecordOpener(Cipher.AES256, KEY, 0.0)
    frames = [seal(sealer, b"first"), seal(sealer, b"second")]
    with pytest.raises(ProtocolError):
        opened(opener, frames[0][:-1] + b"\0")
    assert not opener.alive(0.0)
    for frame in frames:
        with pytest.raises(ProtocolError):
            opened(opener, frame)


@pytest.mark.parametrize("length", range(RECORD_OVERHEAD_BYTES))
def test_a_record_shorter_than_its_tag_is_refused(length: int) -> None:
    """If this fails, a frame of a few bytes ends the process instead of its session."""
    opener = RecordOpener(Cipher.AES256, KEY, 0.0)
    with pytest.raises(ProtocolError):
        opener.open_into(memoryview(bytes(length)), memoryview(bytearray(64)))
    assert not opener.alive(0.0)


@pytest.mark.parametrize(
    ("cipher", "limit"), [(Cipher.AES256, "MAX_RECORDS_AES"), (Cipher.CHACHA20, "MAX_RECORDS_CHACHA")]
)
def test_no_key_seals_or_opens_more_than_it_may(cipher: Cipher, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a key outlives what its algorithm can bear, and in the end a nonce comes twice."""
    monkeypatch.setattr(records, limit, 3)
    sealer, opener = RecordSealer(cipher, KEY, 0.0), RecordOpener(cipher, KEY, 0.0)
    for number in range(3):
        assert sealer.alive(0.0)
        assert opener.alive(0.0)
        opened(opener, seal(sealer, bytes([number])))
    assert not sealer.alive(0.0)
    assert not opener.alive(0.0)
    out = memoryview(bytearray(100))
    for _ in range(2):
        with pytest.raises(ProtocolError, match="sealed as many"):
            sealer.seal_into(b"more", out, 0)
        with pytest.raises(ProtocolError, match="opened all"):
            opener.open_into(memoryview(by_hand(cipher, 3, FrameType.DATA, b"more")), out)
    assert bytes(out) == bytes(100)
    assert sealer.records == 3


class NonceKeeper:
    """An AEAD that remembers the nonces it was given, and fails when told to."""

    def __init__(self) -> None:
        self.nonces: list[bytes] = []
        self.fails = False

    def encrypt_into(self, nonce: bytes, plaintext: bytes, head: memoryview, out: memoryview) -> int:
        self.nonces.append(nonce)
        if self.fails:
            raise MemoryError
        return len(out)


def test_no_nonce_is_used_twice_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an exception in the middle of sealing gives two plaintexts one nonce: the key is lost."""
    keeper = NonceKeeper()
    monkeypatch.setattr(records, "_aead", lambda cipher, key: keeper)
    monkeypatch.setattr(records, "MAX_RECORDS_AES", 200)
    sealer = RecordSealer(Cipher.AES256, KEY, 0.0)
    rng = random.Random(3)
    out = memoryview(bytearray(100))
    for _ in range(300):
        keeper.fails = rng.random() < 0.3
        try:
            sealer.seal_into(b"x", out, rng.choice((0, 0, 0, 95)))  # no room at 95
        except (MemoryError, ProtocolError, struct.error):
            pass
    assert len(keeper.nonces) == len(set(keeper.nonces))
    assert len(keeper.nonces) > 100
    assert max(int.from_bytes(nonce, "big") for nonce in keeper.nonces) < 200


@pytest.mark.parametrize("kind", [RecordSealer, RecordOpener])
def test_keys_die_of_age(kind: type[RecordSealer | RecordOpener]) -> None:
    """If this fails, a host that wakes from a long suspend goes on with old keys."""
    key = kind(Cipher.CHACHA20, KEY, 1000.0)
    assert key.alive(1000.0 + KEY_LIFE_SECONDS - 0.001)
    assert not key.alive(1000.0 + KEY_LIFE_SECONDS)


def test_the_longest_plaintext_fills_a_frame_exactly() -> None:
    """If this fails, the longest record does not fit the header's 16 bits, or room is wasted."""
    frame = seal(RecordSealer(Cipher.CHACHA20, KEY, 0.0), bytes(MAX_PLAINTEXT_BYTES))
    assert frame[6:HEADER_BYTES] == b"\xff\xff"
