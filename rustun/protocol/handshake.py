"""The handshakes of the Noise tiers: two messages, then keys (docs/protocol.md, section 3).

Rules of this module
  1. Message 1's payload is a Hello, message 2's a Welcome or a Refusal; all are sealed by Noise.
  2. The prologue binds label, protocol version, tier and the 8 header bytes of message 1: a changed header, a retyped
     frame or another tier ends in a message that does not open.
  3. Until message 1 has opened, the responder answers nothing at all; after that a refusal by policy is sealed.
  4. Randomness comes from the caller: one fresh X25519 private key, 32 bytes, for each handshake and each side, and
     the envelope's nonce.
  5. In the key tier message 1 travels in an envelope (envelope.py), which the server opens before this module is asked.
  6. Any ProtocolError leaves the object dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rustun.errors import ProtocolError
from rustun.protocol.envelope import Envelope
from rustun.protocol.fields import integer, strings, text
from rustun.protocol.frames import HEADER_BYTES, VERSION, header
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.records import Cipher
from rustun.protocol.strict_json import dumps, loads_object
from rustun.protocol.suites import Credentials, Suite

PROTOCOL_LABEL: Final = b"rustun noise v1"
MAX_INIT_BYTES: Final = 512  # payload of message 1: what a stranger can make a server hold
MAX_REPLY_BYTES: Final = 1024  # payload of message 2: what a replayed message 1 can make a server send
MAX_IDENTITY_BYTES: Final = 255
OFFLOADS: Final = frozenset({"csum", "tso4", "tso6", "uso"})
MIN_MTU: Final = 576  # RFC 791: what every IPv4 host takes
MAX_MTU: Final = 65000
MAX_KEEPALIVE_SECONDS: Final = 3600


class RefusalCode(StrEnum):
    """Why a server that knows our key will not have us."""

    UNKNOWN_IDENTITY = "unknown-identity"
    DISABLED = "disabled"
    EXPIRED = "expired"
    TIER = "tier"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client says of itself in message 1.

    Attributes:
        identity: 1 to 255 bytes of UTF-8.
        version: of the client's software, for people.
        ciphers: record ciphers in order of liking.
        offloads: which unfinished packets this client takes, a subset of OFFLOADS.
        keepalive_seconds: the interval at which it will send proof of life, 1 to 3600.
        mtu: of its TUN device, bytes.
    """

    identity: str
    version: str
    ciphers: tuple[Cipher, ...]
    offloads: frozenset[str]
    keepalive_seconds: int
    mtu: int

    def encode(self) -> bytes:
        """Return the JSON that travels."""
        return dumps(
            {
                "identity": self.identity,
                "version": self.version,
                "ciphers": [cipher.value for cipher in self.ciphers],
                "offloads": sorted(self.offloads),
                "keepalive": self.keepalive_seconds,
                "mtu": self.mtu,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Read a peer's Hello; ciphers and offloads unknown here are passed over. Raises ProtocolError."""
        fields = loads_object(data, max_bytes=MAX_INIT_BYTES)
        ciphers = tuple(Cipher(name) for name in strings(fields, "ciphers") if name in set(Cipher))
        return cls(
            identity=text(fields, "identity", 1, MAX_IDENTITY_BYTES),
            version=text(fields, "version", 0, 64),
            ciphers=ciphers,
            offloads=frozenset(strings(fields, "offloads")) & OFFLOADS,
            keepalive_seconds=integer(fields, "keepalive", 1, MAX_KEEPALIVE_SECONDS),
            mtu=integer(fields, "mtu", MIN_MTU, MAX_MTU),
        )


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the server answers in message 2: enough to set the device up; the rest follows in control records.

    Attributes:
        cipher: the record cipher for both directions.
        address: own IPv4 address with prefix length.
        address6: own IPv6 address with prefix length, or empty.
        name: how the server's configuration calls the member.
        version: of the server's software, for people.
    """

    cipher: Cipher
    address: str
    address6: str
    name: str
    version: str

    def encode(self) -> bytes:
        """Return the JSON that travels."""
        return dumps(
            {
                "cipher": self.cipher.value,
                "address": self.address,
                "address6": self.address6,
                "name": self.name,
                "version": self.version,
            }
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the server answers in message 2 when it will not have us; `reason` is for people."""

    code: str
    reason: str

    def encode(self) -> bytes:
        """Return the JSON that travels."""
        return dumps({"refused": self.code, "reason": self.reason})


def decode_answer(data: bytes) -> Welcome | Refusal:
    """Read message 2's payload. Raises ProtocolError."""
    fields = loads_object(data, max_bytes=MAX_REPLY_BYTES)
    if "refused" in fields:
        return Refusal(text(fields, "refused", 1, 64), text(fields, "reason", 0, 512))
    name = text(fields, "cipher", 1, 32)
    if name not in set(Cipher):
        raise ProtocolError(f"the server chose a cipher that is unknown here: {name!r}")
    return Welcome(
        Cipher(name),
        text(fields, "address", 1, 64),
        text(fields, "address6", 0, 64),
        text(fields, "name", 0, 512),
        text(fields, "version", 0, 64),
    )


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What a finished handshake leaves: 32 bytes for each direction, and the hash that a rekey is bound to."""

    client_to_server: bytes
    server_to_client: bytes
    handshake_hash: bytes

    def __repr__(self) -> str:
        return "SessionKeys(hidden)"


def session_keys(noise: NoiseHandshake) -> SessionKeys:
    """Return the keys of a finished handshake."""
    client_to_server, server_to_client = noise.split()
    return SessionKeys(client_to_server, server_to_client, noise.handshake_hash)


def _prologue(suite: Suite, init_header: bytes) -> bytes:
    return PROTOCOL_LABEL + bytes([VERSION]) + suite.tier.value.encode() + b"\0" + init_header


class Initiator:
    """The client's side of one handshake.

    Args:
        credentials: what this client brings; key tier: the server's public key among it.
        hello: what to say of ourselves.
        ephemeral: a fresh X25519 private key, 32 random bytes.
        envelope_nonce: 12 fresh random bytes; key tier only.

    Attributes:
        first_frame: message 1, header included.
        keys: set once the answer has opened.
    Raises: ProtocolError when the Hello does not fit into 512 bytes: an identity too long.
    """

    def __init__(self, credentials: Credentials, hello: Hello, ephemeral: bytes, envelope_nonce: bytes = b"") -> None:
        suite = credentials.suite
        payload = hello.encode()
        length = len(payload) + suite.init_overhead_bytes
        if length > MAX_INIT_BYTES:
            raise ProtocolError(f"the first message would take {length} bytes, at most {MAX_INIT_BYTES} are allowed")
        init_header = header(suite.init_type, length)
        self._noise = credentials.begin(_prologue(suite, init_header), ephemeral, initiator=True)
        message = self._noise.write_message(payload)
        if credentials.remote_static is not None:
            message = Envelope(credentials.remote_static).seal(init_header, message, envelope_nonce)
        self.first_frame = init_header + message
        self.keys: SessionKeys | None = None

    def receive(self, message: bytes) -> Welcome | Refusal:
        """Open the server's answer. Raises ProtocolError when it does not open or makes no sense."""
        answer = decode_answer(self._noise.read_message(message))
        self.keys = session_keys(self._noise)
        return answer


class Responder:
    """The server's side of one handshake: `receive`, then `answer` once.

    Args:
        credentials: what the server brings; key tier: the member's psk follows by `set_psk`, its public key by itself.
        ephemeral: the server's own, as for Initiator.
    """

    def __init__(self, credentials: Credentials, ephemeral: bytes) -> None:
        self._credentials = credentials
        self._ephemeral = ephemeral
        self._noise: NoiseHandshake | None = None

    def receive(self, frame: bytes) -> Hello:
        """Open message 1, header included, out of its envelope. Raises ProtocolError: close without a byte."""
        init_header, message = frame[:HEADER_BYTES], frame[HEADER_BYTES:]
        prologue = _prologue(self._credentials.suite, init_header)
        self._noise = self._credentials.begin(prologue, self._ephemeral, initiator=False)
        hello = Hello.decode(self._noise.read_message(message))
        self._credentials = self._credentials.with_remote(self._noise.remote_static, self._credentials.psk)
        return hello

    @property
    def credentials(self) -> Credentials:
        """What the session's rekeys need; complete once message 1 was opened and the psk is right."""
        return self._credentials

    def set_psk(self, psk: bytes) -> None:
        """Use this member's own pre-shared key, 32 bytes; between `receive` and `answer`, key tier only."""
        if self._noise is None:
            raise ProtocolError("no first message was received")
        self._noise.set_psk(psk)
        self._credentials = self._credentials.with_remote(self._credentials.remote_static, psk)

    def answer(self, answer: Welcome | Refusal) -> tuple[bytes, SessionKeys]:
        """Return message 2, header included, and the keys that follow from it."""
        if self._noise is None:
            raise ProtocolError("no first message was received")
        message = self._noise.write_message(answer.encode())
        if len(message) > MAX_REPLY_BYTES:
            raise ProtocolError(f"the answer would take {len(message)} bytes, at most {MAX_REPLY_BYTES} are allowed")
        return header(self._credentials.suite.reply_type, len(message)) + message, session_keys(self._noise)
