"""A peer of the seed, written from its wire alone: own header, own ciphers, own JSON; nothing of rustun/protocol.

It is as strict as the seed's binaries are: what they would not take, it does not take either. `test_seed_wire.py`
first proves it against recorded frames, then puts it in front of our server and behind our client.
"""

from __future__ import annotations

import json
import struct
from itertools import cycle
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from rustun.backends.base import Stream
from rustun.backends.memory import MemoryListener
from tests.simulation.world import SERVER, World

MAGIC = bytes.fromhex("9192939401")
HANDSHAKE, KEEPALIVE, DATA, REPLY = 1, 2, 3, 4
KEEPALIVE_KEYS = {"name", "identity", "ipv6", "port", "stun_ip", "stun_port", "peer_details"}
REPLY_KEYS = {"name", "private_ip", "mask", "gateway", "ciders", "cider_mapping", "peer_details"}
DETAIL_KEYS = {
    "name", "identity", "private_ip", "ciders", "ipv6", "port", "stun_ip", "stun_port", "last_active"
}  # fmt: skip


def seal(method: str, key: str, nonce: bytes, plaintext: bytes) -> bytes:
    """Return a payload."""
    if method == "plain":
        return plaintext
    if method == "xor":
        return bytes(byte ^ other for byte, other in zip(plaintext, cycle(key.encode()), strict=False))
    return nonce + _aead(method, key).encrypt(nonce, plaintext, None)


def unseal(method: str, key: str, payload: bytes) -> bytes:
    """Return the plaintext of a payload."""
    if method in ("plain", "xor"):
        return seal(method, key, b"", payload)
    return _aead(method, key).decrypt(payload[:12], payload[12:], None)


def _aead(method: str, key: str) -> AESGCM | ChaCha20Poly1305:
    key_bytes = key.encode()[:32].ljust(32, b"\0")
    return AESGCM(key_bytes) if method == "aes256" else ChaCha20Poly1305(key_bytes)


class SeedWire:
    """Frames of the seed on one stream.

    Attributes:
        frames: (type, plaintext) of all that came, oldest first.
        ended: whether the connection ended.
    """

    def __init__(self, world: World, stream: Stream, method: str, key: str) -> None:
        self.world = world
        self.stream = stream
        self.frames: list[tuple[int, bytes]] = []
        self.ended = False
        self._crypto = (method, key)
        self._received = b""
        world.reactor.watch(stream, self._on_readable, None)

    def frame(self, frame_type: int, plaintext: bytes) -> bytes:
        """Return a whole frame."""
        payload = seal(*self._crypto, self.world.random_bytes(12), plaintext)
        return MAGIC + struct.pack("!BH", frame_type, len(payload)) + payload

    def send(self, frame_type: int, body: bytes | dict[str, Any]) -> None:
        """Send a frame and let it be answered."""
        plaintext = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        frame = self.frame(frame_type, plaintext)
        assert self.stream.send(frame) == len(frame)
        self.world.run()

    def bodies(self, frame_type: int) -> list[dict[str, Any]]:
        """Return the JSON objects of all frames of one type."""
        return [json.loads(plaintext) for found, plaintext in self.frames if found == frame_type]

    @property
    def packets(self) -> list[bytes]:
        """Packets that came."""
        return [plaintext for found, plaintext in self.frames if found == DATA]

    def close(self) -> None:
        """Close in order."""
        self.world.reactor.unwatch(self.stream)
        self.stream.close()

    def _on_readable(self) -> None:
        buffer = bytearray(65536)
        try:
            length = self.stream.receive_into(memoryview(buffer))
        except ConnectionError:
            length = 0
        if not length:
            self.ended = True
            self.close()
            return
        self._received += buffer[:length]
        while len(self._received) >= 8:
            end = 8 + int.from_bytes(self._received[6:8], "big")
            if len(self._received) < end:
                return
            frame, self._received = self._received[:end], self._received[end:]
            assert frame[:5] == MAGIC
            plaintext = unseal(*self._crypto, frame[8:])
            self._judge(frame[5], plaintext)
            self.frames.append((frame[5], plaintext))

    def _judge(self, frame_type: int, plaintext: bytes) -> None:
        """Refuse what the seed's binaries refuse: an unknown type, a JSON object that lacks a key."""
        assert frame_type in (HANDSHAKE, KEEPALIVE, DATA, REPLY), frame_type
        if frame_type in (KEEPALIVE, REPLY):
            body = json.loads(plaintext)
            assert body.keys() >= (KEEPALIVE_KEYS if frame_type == KEEPALIVE else REPLY_KEYS)
            assert all(detail.keys() >= DETAIL_KEYS for detail in body["peer_details"])


class SeedClient(SeedWire):
    """A client of the seed, connected to our server; its keepalives are sent by the test."""

    def __init__(self, world: World, identity: str, method: str, key: str) -> None:
        stream = world.new_host().connect(SERVER)
        super().__init__(world, stream, method, key)
        self.identity = identity
        world.run()

    def shake_hands(self) -> dict[str, Any] | None:
        """Say who this is and return the server's reply, None when it closed."""
        self.send(HANDSHAKE, {"identity": self.identity})
        replies = self.bodies(REPLY)
        return replies[0] if replies else None

    def keep_alive(self, **fields: Any) -> dict[str, Any]:
        """Send a KeepAlive and return the newest that the server sent."""
        body = {"name": "", "identity": self.identity, "ipv6": "", "port": 0, "stun_ip": "", "stun_port": 0}
        self.send(KEEPALIVE, {**body, "peer_details": [], **fields})
        return self.bodies(KEEPALIVE)[-1]


class SeedServer:
    """A server of the seed at the usual address: takes connections, answers as the test says."""

    def __init__(self, world: World, method: str, key: str) -> None:
        self.world = world
        self.connections: list[SeedWire] = []
        self._crypto = (method, key)
        self.listener: MemoryListener = world.network.listen(SERVER)
        world.reactor.watch(self.listener, self._accept, None)

    def close(self) -> None:
        """Stop listening and close everything."""
        self.world.reactor.unwatch(self.listener)
        self.listener.close()
        for connection in self.connections:
            connection.close()

    def _accept(self) -> None:
        stream = self.listener.accept()
        if stream is not None:
            self.connections.append(SeedWire(self.world, stream, *self._crypto))
