"""Decoders of what peers send: frames, records, messages, packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from netlab.worlds.ip_packets import tcp_packet, udp_packet
from rustun.backends.base import HostReport
from rustun.client.peers import OwnEntry, Peers, own_entry
from rustun.client.seed_session import seed_entries
from rustun.config.consent import HostConsent
from rustun.errors import ProtocolError
from rustun.protocol import control
from rustun.protocol.ciphers import NONCE_BYTES, SeedMethod, seed_cipher
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.frames import FrameReader, FrameType, encode_frame
from rustun.protocol.handshake import Hello, Refusal, SessionKeys, Welcome, decode_answer
from rustun.protocol.offload import GSO_TCP4, HEADER, NEEDS_CHECKSUM, from_kernel
from rustun.protocol.packet import ITEM, MAX_PACKET_BYTES, examine, flow_key
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, RECORD_OVERHEAD_BYTES, Cipher
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive, SeedPeerDetail
from rustun.protocol.segmentation import lower_run
from rustun.protocol.strict_json import loads_object
from tests.fuzz.decoders import Decoder

KEYS: Final = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, bytes(32))
HELLO: Final = Hello("bj-dev", "0.1.0", (Cipher.AES256, Cipher.CHACHA20), frozenset({"csum"}), 10, 1500)
WELCOME: Final = Welcome(Cipher.AES256, "10.0.1.2/24", "fd00:1::2/64", "Development", "0.1.0")
ENTRIES: Final = tuple(
    control.DirectoryEntry(f"m{number}", "A name", f"10.0.1.{number}", f"fd00:1::{number}", ("192.168.1.0/24",), True)
    for number in range(1, 4)
)
CONTROL: Final[tuple[control.Message, ...]] = (
    control.PresenceAsk(("m0", "m1")),
    control.Presence(("m0",), ("m1",)),
    control.Ping(7, 1.5),
    control.Pong(7),
    control.Config("Office", "10.0.1.2/24", "fd00:1::2/64", ("192.168.1.0/24",), {"192.168.1.0/24": "10.9.9.0/24"}),
    control.Directory(3, 2, 0, 1, ENTRIES, ("m9",)),
    control.Directory(4, 0, 0, 1, ENTRIES[:1], ()),
    control.PresenceAsk(("m1", "m2")),
    control.Presence(("m1",), ("m2",)),
    control.RekeyInit(bytes(48)),
    control.RekeyReply(bytes(48)),
    control.RekeySwitch(),
    control.RekeyAsk(),
    control.Goodbye("stopping", "the server stops", 0.5),
)
SEED_PEERS: Final = (
    SeedPeerDetail("One", "m1", "10.0.1.1", ("192.168.1.0/24",), "", 0, "", 0, 1_700_000_000),
    SeedPeerDetail("Two", "m2", "10.0.1.2", (), "2001:db8::1", 4500, "203.0.113.9", 4501, 0),
)
PACKETS: Final = (
    udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"payload"),
    tcp_packet("10.0.1.1", "10.0.1.2", (1, 2), bytes(3000), options=b"\1" * 8),
    tcp_packet("fd00::1", "fd00::2", (1, 2), bytes(3000)),
    udp_packet("fd00::1", "fd00::2", (1, 2), bytes(1400)),
)
MTU: Final = 1500


def frames(data: bytes) -> None:
    """Read a stream of a session's frames as an Inbox does."""
    reader, start = FrameReader(frozenset({FrameType.DATA, FrameType.CONTROL})), 0
    while (found := reader.next_frame(data, start, len(data))) is not None:
        start = found[1]


def news(data: bytes) -> None:
    """Read a control message, and when it is news of the cluster or of its own entry act on it as a client does."""
    message = control.decode(data, control.MAX_CONTROL_BYTES)
    peers = Peers("m1")
    peers.own = own_entry("m1", "10.0.1.1/24", "", ("192.168.9.0/24",))
    if isinstance(message, control.Directory):
        peers.receive(control.Directory(2, 0, 0, 1, ENTRIES, ()))
        peers.receive(message)
    elif isinstance(message, control.Presence):
        peers.receive(control.Directory(2, 0, 0, 1, ENTRIES, ()))
        peers.note_presence(message)
    elif isinstance(message, control.Config):
        peers.own = own_entry(message.name, message.address, message.address6, message.prefixes)
    route(peers)


def route(peers: Peers) -> None:
    """Take all prefixes into the tunnel, each of which has one spelling and no zone."""
    own = peers.own or OwnEntry("", (), ())
    prefixes = peers.prefixes(own)
    numbers = {(prefix.version, int(prefix.network_address), prefix.prefixlen) for prefix in prefixes}
    assert len(numbers) == len(prefixes)
    assert all(str(prefix).isprintable() for prefix in prefixes)
    peers.set_routed(HostReport(tuple(prefixes), addresses=own.addresses), HostConsent(as_told=True), own)


def seed_news(data: bytes) -> None:
    """Read the seed's list of peers and act on it as a client does."""
    peers = Peers("m1")
    peers.replace(seed_entries(SeedKeepAlive.decode(data).peer_details))
    route(peers)


def seed_reply(data: bytes) -> None:
    """Read the seed's answer to a handshake and act on it as a client does."""
    reply = SeedHandshakeReply.decode(data)
    own_entry(reply.name, f"{reply.private_ip}/{reply.mask}", "", reply.ciders)
    seed_entries(reply.peer_details)


def answer(data: bytes) -> None:
    """Read message 2's payload and act on it as a client does."""
    found = decode_answer(data)
    if isinstance(found, Welcome):
        own_entry(found.name, found.address, found.address6, ())


def packet(data: bytes) -> None:
    """Judge an item (flags, segment size, packet) and lower it for the poorest receiver, as a relay does."""
    if len(data) < 3:
        return
    flags, segment_bytes, body = data[0], int.from_bytes(data[1:3], "big"), data[3:]
    if not examine(body + bytes(100), 0, len(body), flags, segment_bytes, MTU):
        flow_key(body, 0)
        run = ITEM.pack(flags, segment_bytes, len(body)) + body
        parts = list(lower_run(run, frozenset(), 576, MAX_PLAINTEXT_BYTES))
        assert sum(map(len, parts)) < 4 * len(run) + 100


def from_device(data: bytes) -> None:
    """Take a packet with the kernel's offload header in front, as a client does."""
    header, body = data[: HEADER.size], data[HEADER.size :]
    if len(header) == HEADER.size and not examine(body + bytes(100), 0, len(body), 0, 0, MAX_PACKET_BYTES):
        item = from_kernel(header, body, len(body))
        assert item is None or item[0] in (0, 1)


def record(is_control: bool) -> Callable[[bytes], None]:
    """Return what opens one record as the server does."""

    def read(data: bytes) -> None:
        codec, plain = RecordCodec(Cipher.AES256, KEYS, is_client=False, now=0.0), memoryview(bytearray(70_100))
        if is_control:
            codec.open_control(memoryview(data), plain)
        else:
            codec.open_data(memoryview(data), plain, 0)

    return read


def seed_frame(method: SeedMethod, is_message: bool) -> Callable[[bytes], None]:
    """Return what opens a frame of the seed's wire."""

    def read(data: bytes) -> None:
        codec, plain = SeedCodec(seed_cipher(method, "rustun"), bytes), memoryview(bytearray(70_100))
        if is_message:
            codec.open_message(memoryview(data), plain)
        else:
            codec.open_data(memoryview(data), plain, 0)

    return read


def sealed_record(plaintext: bytes) -> bytes:
    """Return the client's first record."""
    out = bytearray(len(plaintext) + RECORD_OVERHEAD_BYTES)
    RecordCodec(Cipher.AES256, KEYS, is_client=True, now=0.0).seal_items(plaintext, memoryview(out), 0)
    return bytes(out)


def sealed_control(plaintext: bytes) -> bytes:
    """Return the client's first record, a control record."""
    return RecordCodec(Cipher.AES256, KEYS, is_client=True, now=0.0).seal_control(plaintext)


def sealed_seed(method: SeedMethod) -> tuple[bytes, ...]:
    """Return a frame of the seed's wire."""
    codec = SeedCodec(seed_cipher(method, "rustun"), lambda _: bytes(NONCE_BYTES))
    return (codec.seal_message(FrameType.SEED_DATA, PACKETS[0]),)


ITEM_EXAMPLES: Final = (
    *(bytes(3) + each for each in (PACKETS[0], PACKETS[3])),
    *(b"\1" + (1000).to_bytes(2, "big") + each for each in PACKETS[1:3]),
)
DEVICE_EXAMPLES: Final = (
    bytes(HEADER.size) + PACKETS[0],
    HEADER.pack(NEEDS_CHECKSUM, GSO_TCP4, 48, 1000, 20, 16) + PACKETS[1],
)
RUN: Final = ITEM.pack(0, 0, len(PACKETS[0])) + PACKETS[0]

WIRE: Final = (
    Decoder("frames.FrameReader.next_frame", (encode_frame(0x14, bytes(40)) * 3, b""), frames, ProtocolError),
    Decoder("codec.RecordCodec.open_data", (sealed_record(RUN),), record(False), ProtocolError),
    Decoder("codec.RecordCodec.open_control", (sealed_control(b"{}"),), record(True), ProtocolError),
    *(
        Decoder(f"codec.SeedCodec.{word}, {method}", sealed_seed(method), seed_frame(method, is_message), ProtocolError)
        for method in SeedMethod
        for is_message, word in ((False, "open_data"), (True, "open_message"))
    ),
    Decoder("packet.examine and segmentation.lower_run", ITEM_EXAMPLES, packet, ProtocolError),
    Decoder("offload.from_kernel", DEVICE_EXAMPLES, from_device, ProtocolError),
)
MESSAGES: Final = (
    Decoder(
        "strict_json.loads_object",
        tuple(control.encode(message) for message in CONTROL),
        lambda data: loads_object(data, max_bytes=65_535),
        ProtocolError,
        is_text=True,
    ),
    *(
        Decoder(f"control.{type(message).__name__}", (control.encode(message),), news, ProtocolError, True, 60_000)
        for message in CONTROL
    ),
    Decoder("handshake.Hello.decode", (HELLO.encode(),), Hello.decode, ProtocolError, True, 512),
    Decoder(
        "handshake.decode_answer",
        (WELCOME.encode(), Refusal("disabled", "this member is disabled").encode()),
        answer,
        ProtocolError,
        True,
        1024,
    ),
    Decoder("seed_messages.SeedHandshake", (SeedHandshake("m1").encode(),), SeedHandshake.decode, ProtocolError, True),
    Decoder(
        "seed_messages.SeedKeepAlive",
        (SeedKeepAlive("A", "m1", "", 0, "", 0, SEED_PEERS).encode(9999), SeedKeepAlive(identity="m1").encode(999)),
        seed_news,
        ProtocolError,
        True,
    ),
    Decoder(
        "seed_messages.SeedHandshakeReply",
        (
            SeedHandshakeReply(
                "A", "10.0.1.1", "255.255.255.0", "10.0.1.254", ("192.168.1.0/24",),
                {"192.168.1.0/24": "10.9.0.0/24"}, SEED_PEERS,
            ).encode(9999),
        ),
        seed_reply,
        ProtocolError,
        True,
    ),
)  # fmt: skip
