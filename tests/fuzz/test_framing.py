"""Streams, records and handshakes from a hostile peer: what was sent, or our protocol error; nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.frames import HEADER_BYTES, FrameReader, FrameType, encode_frame
from rustun.protocol.handshake import Hello, Initiator, Responder, Welcome
from rustun.protocol.packet import DropReason, examine, flow_key
from rustun.protocol.records import Cipher, RecordOpener, RecordSealer
from rustun.protocol.suites import SHARED, Credentials

ALLOWED = frozenset({FrameType.DATA, FrameType.CONTROL})
KEY = bytes(range(32))
HELLO = Hello("bj-dev", "0.1.0", (Cipher.AES256, Cipher.CHACHA20), frozenset({"csum"}), 10, 1500)
WELCOME = Welcome(Cipher.AES256, "10.0.1.2/24", "", "Development", "0.1.0")
OFFLOADS = st.frozensets(st.sampled_from(["csum", "tso4", "tso6", "uso"]))
FRAMES = st.tuples(st.integers(0, 0xFF), st.binary(max_size=40)).map(lambda pair: encode_frame(*pair))
STREAMS = st.lists(FRAMES | st.binary(max_size=20), max_size=6).map(b"".join)


def frames_of(parts: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    """Return the frames that a stream's parts make, and why the reader stopped, as a session reads them."""
    reader = FrameReader(ALLOWED, max_payload_bytes=32)
    found, buffer, start = [], b"", 0
    for part in parts:
        buffer += part
        try:
            while (frame := reader.next_frame(buffer, start, len(buffer))) is not None:
                frame_type, end = frame
                found.append((frame_type, buffer[start + HEADER_BYTES : end]))
                start = end
        except ProtocolError as error:
            return found, error.message
    return found, ""


@given(STREAMS, st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_in_pieces_gives_the_same_frames(stream: bytes, cuts: list[int]) -> None:
    """What a peer means would depend on how the network cut it."""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[left:right] for left, right in itertools.pairwise(edges)]
    single = [stream[at : at + 1] for at in range(len(stream))]
    assert frames_of([stream]) == frames_of(pieces) == frames_of(single)


@given(st.sampled_from(Cipher), st.binary(max_size=200), st.integers(0, 2000), st.integers(1, 255))
def test_no_altered_record_opens(cipher: Cipher, plaintext: bytes, position: int, flip: int) -> None:
    """Somebody on the path could change packets, or crash the receiver."""
    out = bytearray(300)
    end = RecordSealer(cipher, KEY, 0.0).seal_into(plaintext, memoryview(out), 0)
    altered = bytearray(out[:end])
    altered[position % end] ^= flip
    opened = memoryview(bytearray(300))
    assert RecordOpener(cipher, KEY, 0.0).open_into(memoryview(out)[:end], opened) == len(plaintext)
    assert bytes(opened[: len(plaintext)]) == plaintext
    assert refused(lambda: RecordOpener(cipher, KEY, 0.0).open_into(memoryview(altered), opened))


@given(st.sampled_from(Cipher), st.binary(max_size=100))
def test_foreign_records_are_refused(cipher: Cipher, data: bytes) -> None:
    """Any bytes in place of a record would end the process instead of the session."""
    opened = memoryview(bytearray(200))
    assert refused(lambda: RecordOpener(cipher, KEY, 0.0).open_into(memoryview(encode_frame(0x14, data)), opened))
    assert refused(lambda: RecordOpener(cipher, KEY, 0.0).open_into(memoryview(data), opened))


@given(st.sampled_from([SeedMethod.CHACHA20POLY1305, SeedMethod.AES256]), st.binary(max_size=100))
def test_foreign_seed_payloads_are_refused(method: SeedMethod, payload: bytes) -> None:
    """Any bytes in place of the seed's payload would end the process, or pass for a packet."""
    assert refused(lambda: seed_cipher(method, "key").open_into(payload, bytearray(200)))


@given(st.sampled_from([SeedMethod.XOR, SeedMethod.PLAIN]), st.binary(max_size=100))
def test_unprotected_payloads_open_within_their_length(method: SeedMethod, payload: bytes) -> None:
    """A payload of the insecure methods could write beyond its buffer."""
    out = bytearray(200)
    length = seed_cipher(method, "key").open_into(payload, out)
    assert length == len(payload)
    assert not any(out[length:])


@given(st.binary(max_size=600))
@example(b"")
def test_strangers_first_messages_are_refused(data: bytes) -> None:
    """Anybody who can reach the port could end the server."""
    assert refused(lambda: Responder(Credentials(SHARED, KEY), KEY).receive(data))


@given(st.integers(0, 600), st.integers(1, 255), st.booleans())
def test_an_altered_handshake_is_refused_by_either_side(position: int, flip: int, first: bool) -> None:
    """Somebody on the path could steer what two peers agree on."""
    initiator, responder = (
        Initiator(Credentials(SHARED, KEY), HELLO, bytes([1]) * 32),
        Responder(Credentials(SHARED, KEY), bytes([2]) * 32),
    )
    message = bytearray(initiator.first_frame)
    if first:
        message[position % len(message)] ^= flip
        assert refused(lambda: responder.receive(bytes(message)))
        return
    assert responder.receive(bytes(message)) == HELLO
    answer = bytearray(responder.answer(WELCOME)[0][HEADER_BYTES:])
    answer[position % len(answer)] ^= flip
    assert refused(lambda: initiator.receive(bytes(answer)))


@given(st.text(min_size=1, max_size=80), OFFLOADS, st.integers(1, 3600))
def test_hellos_arrive_as_they_were_sent(identity: str, offloads: frozenset[str], keepalive: int) -> None:
    """A member with an unusual name could not join, or would join as somebody else."""
    hello = replace(HELLO, identity=identity, offloads=offloads, keepalive_seconds=keepalive)
    try:
        data = hello.encode()
        identity.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no configuration lets through
        return
    if len(identity.encode()) <= 255 and len(data) <= 512:
        assert Hello.decode(data) == hello


@given(st.binary(max_size=200), st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(576, 65000))
def test_packets_from_nowhere_are_judged_without_a_crash(data: bytes, flags: int, segment: int, mtu: int) -> None:
    """One odd packet from one member would end the relay for all."""
    buffer = data + bytes(100)  # the relay's buffer goes on behind the packet
    verdict = examine(buffer, 0, len(data), flags, segment, mtu)
    assert verdict in (0, *DropReason)
    if not verdict:
        assert len(data) <= mtu or segment
        assert flow_key(buffer, 0)


def refused(work: Callable[[], object]) -> bool:
    """Return whether work ends with our protocol error; any other exception goes through."""
    try:
        work()
    except ProtocolError:
        return True
    return False
