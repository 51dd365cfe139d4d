"""Rekey: fresh keys for a living session, no packet lost (docs/protocol.md, section 6).

    client                                   server
      RekeyInit   (old keys) ------------->
                                             RekeyReply (old keys), from here on the server seals with the new key
      <-------------
      opens with the new key from here on
      RekeySwitch (old keys) ------------->  opens with the new key from here on
      seals with the new key from here on

Rules of this module
  1. Only a client begins; a server may ask (RekeyAsk). Any message out of this order is a ProtocolError.
  2. The handshake is the tier's own pattern, its prologue the hash of the handshake before, so rekeys form a chain.
  3. Key tier: both sides use the static keys that the session began with; another one ends it.
  4. Streams keep order, so each switch is one exact point per direction.
"""

from __future__ import annotations

from typing import Final

from rustun.errors import ProtocolError
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import RekeyInit, RekeyReply, RekeySwitch
from rustun.protocol.handshake import SessionKeys, session_keys
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.records import REKEY_AFTER_SECONDS, REKEY_AFTER_SHARE
from rustun.protocol.suites import Credentials

_LABEL: Final = b"rustun rekey v1"


def rekey_is_due(codec: RecordCodec, now: float) -> bool:
    """Tell whether the keys in use should be replaced, by age or by the number of their records."""
    return now - codec.sealed_since >= REKEY_AFTER_SECONDS or codec.records >= (
        REKEY_AFTER_SHARE * codec.cipher.max_records
    )


class RekeyClient:
    """The client's side; one object serves all rekeys of a session."""

    def __init__(self, credentials: Credentials, handshake_hash: bytes) -> None:
        self._credentials = credentials
        self._chain = handshake_hash
        self._noise: NoiseHandshake | None = None

    @property
    def under_way(self) -> bool:
        """Whether an answer is awaited."""
        return self._noise is not None

    def begin(self, ephemeral: bytes) -> RekeyInit:
        """Return the message that begins a rekey; `ephemeral` is 32 fresh random bytes."""
        self._noise = self._credentials.begin(_LABEL + self._chain, ephemeral, initiator=True)
        return RekeyInit(self._noise.write_message(b""))

    def receive(self, reply: RekeyReply) -> SessionKeys:
        """Open the server's answer and return the new keys. Raises ProtocolError."""
        noise, self._noise = self._noise, None
        if noise is None:
            raise ProtocolError("a rekey reply that nobody asked for")
        noise.read_message(reply.noise)
        self._chain = noise.handshake_hash
        return session_keys(noise)


class RekeyServer:
    """The server's side; one object serves all rekeys of a session."""

    def __init__(self, credentials: Credentials, handshake_hash: bytes) -> None:
        self._credentials = credentials
        self._chain = handshake_hash
        self._awaiting_switch: SessionKeys | None = None

    def receive(self, init: RekeyInit, ephemeral: bytes) -> tuple[RekeyReply, SessionKeys]:
        """Open a client's message and return the answer and the keys to seal with after it. Raises ProtocolError."""
        if self._awaiting_switch is not None:
            raise ProtocolError("a second rekey before the first was switched to")
        noise = self._credentials.begin(_LABEL + self._chain, ephemeral, initiator=False)
        noise.read_message(init.noise)
        if noise.remote_static != self._credentials.remote_static:
            raise ProtocolError("a rekey with another key than the session's")
        reply = RekeyReply(noise.write_message(b""))
        self._chain = noise.handshake_hash
        self._awaiting_switch = session_keys(noise)
        return reply, self._awaiting_switch

    def switch(self, message: RekeySwitch) -> SessionKeys:
        """Return the keys to open with after the client's switch mark. Raises ProtocolError."""
        keys, self._awaiting_switch = self._awaiting_switch, None
        if keys is None:
            raise ProtocolError(f"{message.type} without a rekey under way")
        return keys
