"""The scratch memory holds whatever a turn may need."""

from __future__ import annotations

import random

import pytest

from netlab.worlds.ip_packets import tcp_packet
from rustun.link.buffers import PLAIN_BYTES, TURN_BYTES, Buffers
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.frames import MAX_FRAME_BYTES
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, Cipher
from rustun.protocol.segmentation import lower_run


def test_a_turn_and_an_unfinished_frame_fit() -> None:
    """If this fails, the longest unfinished frame leaves no room to read its end: the session hangs."""
    assert len(Buffers().received) >= TURN_BYTES + MAX_FRAME_BYTES - 1
    assert len(Buffers().plain) == PLAIN_BYTES >= TURN_BYTES + 2 * MAX_FRAME_BYTES


@pytest.mark.parametrize("record_bytes", [MAX_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES // 2 + 1])
def test_everything_in_the_plain_buffer_can_be_sealed_at_once(record_bytes: int) -> None:
    """If this fails, a client's full turn overruns the send buffer and ends its session."""
    buffers = Buffers()
    codec = RecordCodec(Cipher.AES256, SessionKeys(bytes(32), bytes(32), b""), is_client=True, now=0.0)
    end = 0
    for start in range(0, PLAIN_BYTES, record_bytes):
        end = codec.seal_items(buffers.plain[start : start + record_bytes], buffers.sealed, end)
    assert end <= len(buffers.sealed)


@pytest.mark.parametrize("packet_bytes", [20, 21, 576, MAX_PLAINTEXT_BYTES - ITEM_HEADER_BYTES])
def test_one_run_for_a_peer_of_the_seed_fits(packet_bytes: int) -> None:
    """If this fails, a run of tiny packets for a member on the seed's wire ends that session."""
    item = ITEM.pack(0, 0, packet_bytes) + bytes(packet_bytes)
    run = item * (MAX_PLAINTEXT_BYTES // len(item))
    codec = SeedCodec(seed_cipher(SeedMethod.AES256, "key"), random.Random(1).randbytes)
    assert codec.seal_items(run, buffer := Buffers().sealed, 0) <= len(buffer)


@pytest.mark.parametrize("packet_bytes", [20, 88, 576])
def test_a_full_turn_of_tiny_packets_for_the_seed_fits(packet_bytes: int) -> None:
    """If this fails, one stream with an MSS of 48 bytes stops the device of a client on the seed's wire."""
    item = ITEM.pack(0, 0, packet_bytes) + bytes(packet_bytes)
    run = item * (PLAIN_BYTES // len(item))
    codec = SeedCodec(seed_cipher(SeedMethod.AES256, "key"), random.Random(1).randbytes)
    assert codec.seal_items(run, buffer := Buffers().sealed, 0) <= len(buffer)


@pytest.mark.parametrize("mtu", [576, 1430])
def test_a_large_packet_cut_up_for_a_small_receiver_fits(mtu: int) -> None:
    """If this fails, a receiver without offloads ends with the first large packet for it."""
    payload = bytes(MAX_PLAINTEXT_BYTES - ITEM_HEADER_BYTES - 40)
    packet = tcp_packet("10.0.1.2", "10.0.1.3", (1, 2), payload)
    run = ITEM.pack(1, 1400, len(packet)) + packet
    codec = SeedCodec(seed_cipher(SeedMethod.AES256, "key"), random.Random(1).randbytes)
    sealed, end = Buffers().sealed, 0
    for part in lower_run(run, frozenset(), mtu, MAX_PLAINTEXT_BYTES):
        end = codec.seal_items(part, sealed, end)
    assert len(payload) < end <= len(sealed)
