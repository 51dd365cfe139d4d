"""A session on the seed's wire, hardened as far as that wire allows (docs/protocol.md, section 2).

Rules of this module
  1. The session owns the identity: a KeepAlive that names another one is passed over and counted; its directory is
     always that of the session's own cluster.
  2. Every KeepAlive is answered with one that carries the cluster as it is now: the seed's client learns of changes
     from nothing else.
  3. Members on this wire are told IPv4 prefixes only; they know no others.
  4. A KeepAlive costs milliseconds in a large cluster, so they are limited as control messages are.
  5. What does not fit into a frame is left out and said in the log: a length never wraps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rustun.backends.base import Stream
from rustun.config.keys import Secret
from rustun.config.member import Member
from rustun.errors import ProtocolError
from rustun.protocol.ciphers import SeedCipher, SeedMethod
from rustun.protocol.codec import MAX_PACKET_IN_RECORD_BYTES, SeedCodec
from rustun.protocol.frames import MAX_PAYLOAD_BYTES, SEED_SESSION_TYPES, FrameReader, FrameType
from rustun.protocol.seed_messages import SeedHandshakeReply, SeedKeepAlive, SeedPeerDetail
from rustun.protocol.tiers import Tier
from rustun.relay.cluster import Cluster
from rustun.relay.session import RelaySession, Wire

if TYPE_CHECKING:
    from rustun.relay.core import RelayCore

SeedSecret = tuple[SeedMethod | None, Secret | None]  # method and key
SEED_MTU: Final = MAX_PACKET_IN_RECORD_BYTES  # the seed's wire announces none; what a run can hold is taken


class SeedSession(RelaySession):
    """One member's session on the seed's wire; arguments as for RelaySession, and the secret that it is sealed with."""

    def __init__(
        self,
        core: RelayCore,
        stream: Stream,
        member: Member,
        cluster: Cluster,
        *,
        cipher: SeedCipher,
        cipher_name: str,
        secret: SeedSecret,
        held: bytes,
    ) -> None:
        codec = SeedCodec(cipher, core.random_bytes)
        super().__init__(
            core,
            stream,
            member,
            cluster,
            Wire(
                Tier.LEGACY,
                codec,
                FrameReader(SEED_SESSION_TYPES),
                frozenset(),
                SEED_MTU,
                core.limits.legacy_silence_seconds,
            ),
            held,
        )
        self.cipher_name = cipher_name
        self.secret = secret
        self._seed_codec = codec
        self._room = MAX_PAYLOAD_BYTES - cipher.overhead_bytes
        self._told = SeedKeepAlive()  # where the member says that it can be reached, for others on this wire

    def confirm(self) -> None:
        """Become visible and tell the member its configuration; the wire has no proof of keys to wait for."""
        self.confirmed = True
        member = self.member
        reply = SeedHandshakeReply(
            name=member.name,
            private_ip=str(member.private_ip),
            mask=str(member.interface.netmask),
            gateway=str(member.gateway) if member.gateway is not None else "",
            ciders=tuple(str(prefix) for prefix in member.ciders if prefix.version == 4),
            cider_mapping={str(seen): str(real) for seen, real in member.cider_mapping if seen.version == 4},
            peer_details=self._peers(),
        )
        self._send_directory(FrameType.SEED_HANDSHAKE_REPLY, reply)

    def detail(self) -> SeedPeerDetail:
        """Return what others on this wire are told about this member."""
        told = self._told
        active = int(self.core.reactor.wall_clock() - (self.core.reactor.now() - self.heard_at))
        return self._detail(self.member, told, max(active, 1))

    def _send_news(self) -> None:
        """News travel in the answers to KeepAlives, rule 2."""

    def _say_goodbye(self, code: str, reason: str, window_seconds: float) -> None:
        """This wire has no goodbye."""

    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        if frame_type != FrameType.SEED_KEEPALIVE:
            raise ProtocolError(f"type 0x{frame_type:02x} is not expected here")
        self._spend_control_token()
        keepalive = SeedKeepAlive.decode(self._seed_codec.open_message(frame, self.core.buffers.plain))
        if keepalive.identity != self.identity:
            self.traffic.drops["foreign-identity"] += 1
            return
        self._told = keepalive
        answer = SeedKeepAlive(name=self.member.name, identity=self.identity, peer_details=self._peers())
        self._send_directory(FrameType.SEED_KEEPALIVE, answer)

    def _peers(self) -> tuple[SeedPeerDetail, ...]:
        details = []
        for identity, member in self.cluster.members.items():
            if identity == self.identity:
                continue
            session = self.cluster.sessions.get(identity)
            if isinstance(session, SeedSession):
                details.append(session.detail())
            else:
                active = int(self.core.reactor.wall_clock()) if session is not None else 0
                details.append(self._detail(member, SeedKeepAlive(), active))
        return tuple(details)

    @staticmethod
    def _detail(member: Member, told: SeedKeepAlive, last_active: int) -> SeedPeerDetail:
        return SeedPeerDetail(
            name=member.name,
            identity=member.identity,
            private_ip=str(member.private_ip),
            ciders=tuple(str(prefix) for prefix in member.ciders if prefix.version == 4),
            ipv6=told.ipv6,
            port=told.port,
            stun_ip=told.stun_ip,
            stun_port=told.stun_port,
            last_active=last_active,
        )

    def _send_directory(self, frame_type: FrameType, message: SeedHandshakeReply | SeedKeepAlive) -> None:
        """Send a message with as much of the cluster as fits its frame; rule 4."""
        body, left_out = message.fit(self._room)
        if left_out:
            self.core.log.event(
                "warning",
                "directory-too-long",
                f"{left_out} members do not fit the seed's frame and were left out",
                identity=self.identity,
                left_out=left_out,
            )
        self.send_control(lambda: self._seed_codec.seal_message(frame_type, body))
