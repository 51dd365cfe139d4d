"""Runs to frames and back, on either wire."""

from __future__ import annotations

import itertools
import random

import pytest

from rustun.errors import ProtocolError
from rustun.protocol import records
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import MAX_SEED_GROWTH_BYTES, RecordCodec, SeedCodec
from rustun.protocol.frames import HEADER_BYTES, MAX_PAYLOAD_BYTES, FrameReader, FrameType
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, Cipher

KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, bytes(32))
METHODS = list(SeedMethod)


def record_codec(*, is_client: bool) -> RecordCodec:
    return RecordCodec(Cipher.AES256, KEYS, is_client=is_client, now=0.0)


def seed_codec(method: SeedMethod, seed: int = 1) -> SeedCodec:
    return SeedCodec(seed_cipher(method, "a key of the seed"), random.Random(seed).randbytes)


def item(packet: bytes) -> bytes:
    return ITEM.pack(0, 0, len(packet)) + packet


def frames_in(data: memoryview, allowed: FrameType) -> list[memoryview]:
    reader, found, start = FrameReader(frozenset({allowed})), [], 0
    while (frame := reader.next_frame(data, start, len(data))) is not None:
        found.append(data[start : frame[1]])
        start = frame[1]
    assert start == len(data)
    return found


def test_each_direction_has_its_own_key() -> None:
    """If this fails, a peer's own records can be sent back to it and open."""
    client, server = record_codec(is_client=True), record_codec(is_client=False)
    out = memoryview(bytearray(500))
    end = client.seal_items(b"upwards", out, 0)
    assert server.open_data(out[:end], memoryview(plain := bytearray(100)), 3) == 3 + 7
    assert plain[3:10] == b"upwards"
    with pytest.raises(ProtocolError):
        record_codec(is_client=True).open_data(out[:end], memoryview(plain), 0)
    frame = server.seal_control(b'{"type":"pong"}')
    assert client.open_control(memoryview(frame), memoryview(plain)) == b'{"type":"pong"}'


def test_a_codec_is_as_alive_as_both_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a session goes on although one of its directions may not."""
    monkeypatch.setattr(records, "MAX_RECORDS_AES", 2)
    client, server = record_codec(is_client=True), record_codec(is_client=False)
    for _ in range(2):
        assert client.alive(0.0)
        assert server.alive(0.0)
        server.open_control(memoryview(client.seal_control(b"x")), memoryview(bytearray(100)))
    assert not client.alive(0.0)
    assert not server.alive(0.0)
    assert client.records == server.records == 2
    client.replace_sealer(KEYS, 100.0)
    assert client.alive(0.0)
    assert client.sealed_since == 100.0


@pytest.mark.parametrize("method", METHODS)
def test_seed_frames_carry_one_packet_each(method: SeedMethod) -> None:
    """If this fails, a peer of the seed gets packets glued together, or none."""
    rng = random.Random(4)
    packets = [rng.randbytes(length) for length in (20, 1, 1430, 40)]
    sender, receiver = seed_codec(method), seed_codec(method, seed=2)
    out = memoryview(bytearray(5000))
    end = sender.seal_items(b"".join(map(item, packets)), out, 10)
    frames = frames_in(out[10:end], FrameType.SEED_DATA)
    plain = memoryview(bytearray(5000))
    at = 0
    for frame in frames:
        at = receiver.open_data(frame, plain, at)
    assert bytes(plain[:at]) == b"".join(map(item, packets))


@pytest.mark.parametrize("method", METHODS)
def test_seed_messages_come_back(method: SeedMethod) -> None:
    """If this fails, no peer of the seed gets through its handshake."""
    frame = seed_codec(method).seal_message(FrameType.SEED_KEEPALIVE, b'{"identity":"x"}')
    assert frame[5] == FrameType.SEED_KEEPALIVE
    opened = seed_codec(method, seed=9).open_message(memoryview(frame), memoryview(bytearray(500)))
    assert opened == b'{"identity":"x"}'


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_fit_the_seeds_frame_never_wraps(method: SeedMethod) -> None:
    """If this fails, a large packet makes the length field wrap and the whole stream is lost."""
    overhead = seed_cipher(method, "k").overhead_bytes
    codec = seed_codec(method)
    longest = MAX_PAYLOAD_BYTES - overhead
    with pytest.raises(ProtocolError):
        codec.seal_message(FrameType.SEED_KEEPALIVE, bytes(longest + 1))
    assert len(codec.seal_message(FrameType.SEED_KEEPALIVE, bytes(longest))) == HEADER_BYTES + MAX_PAYLOAD_BYTES
    out = memoryview(bytearray(300_000))
    sizes = [30, longest, 31] + ([longest + 1, 32] if longest < MAX_PAYLOAD_BYTES else [])
    end = codec.seal_items(b"".join(item(bytes(size)) for size in sizes), out, 0)
    lengths = [len(frame) - HEADER_BYTES - overhead for frame in frames_in(out[:end], FrameType.SEED_DATA)]
    assert lengths == [size for size in sizes if size <= longest]


@pytest.mark.parametrize("method", METHODS)
def test_the_growth_of_a_run_on_the_seeds_wire_is_bounded(method: SeedMethod) -> None:
    """If this fails, a run of tiny packets for a peer of the seed overruns the send buffer."""
    run = item(bytes(20)) * (MAX_PLAINTEXT_BYTES // (20 + ITEM_HEADER_BYTES))
    out = memoryview(bytearray(len(run) + MAX_SEED_GROWTH_BYTES))
    end = seed_codec(method).seal_items(run, out, 0)
    assert len(frames_in(out[:end], FrameType.SEED_DATA)) == MAX_PLAINTEXT_BYTES // 25


@pytest.mark.parametrize("method", [SeedMethod.AES256, SeedMethod.CHACHA20POLY1305])
def test_nonces_of_the_seeds_wire_come_from_the_given_source(method: SeedMethod) -> None:
    """If this fails, frames under one key for everybody share a nonce."""
    asked: list[int] = []
    source = itertools.count(1)

    def random_bytes(length: int) -> bytes:
        asked.append(length)
        return next(source).to_bytes(length, "big")

    codec = SeedCodec(seed_cipher(method, "key"), random_bytes)
    out = memoryview(bytearray(1000))
    end = codec.seal_items(item(b"a" * 20) * 3, out, 0)
    nonces = [bytes(frame[HEADER_BYTES : HEADER_BYTES + 12]) for frame in frames_in(out[:end], FrameType.SEED_DATA)]
    assert nonces == [number.to_bytes(12, "big") for number in (1, 2, 3)]
    assert asked == [12, 12, 12]


@pytest.mark.parametrize("method", [SeedMethod.AES256, SeedMethod.CHACHA20POLY1305])
def test_altered_seed_frames_do_not_open(method: SeedMethod) -> None:
    """If this fails, somebody on the path changes packets of members on the seed's wire."""
    out = memoryview(bytearray(200))
    end = seed_codec(method).seal_items(item(b"packet" * 5), out, 0)
    for position in range(HEADER_BYTES, end):
        altered = bytearray(out[:end])
        altered[position] ^= 0x10
        with pytest.raises(ProtocolError):
            seed_codec(method).open_data(memoryview(altered), memoryview(bytearray(300)), 0)
