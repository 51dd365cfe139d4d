"""The client's session on the seed's wire (docs/protocol.md, section 2).

The server answers each KeepAlive with one that carries the whole cluster; there is no other news. An answer that names
another identity is passed over, like everything that this wire cannot prove.
"""

from __future__ import annotations

from rustun.backends.base import Callback, Stream
from rustun.client.peers import Peers
from rustun.client.session import ClientSession, Owner, Tools
from rustun.errors import ProtocolError
from rustun.protocol.codec import SeedCodec
from rustun.protocol.control import DirectoryEntry, parse_interface, parse_prefix
from rustun.protocol.frames import SEED_SESSION_TYPES, FrameReader, FrameType
from rustun.protocol.seed_messages import SeedKeepAlive, SeedPeerDetail
from rustun.protocol.tiers import Tier


def seed_entries(details: tuple[SeedPeerDetail, ...]) -> list[DirectoryEntry]:
    """Return peers as the seed tells them; one whose address or prefix makes no sense is left out."""
    entries = []
    for detail in details:
        try:
            parse_interface(detail.private_ip)
            prefixes = tuple(str(parse_prefix(prefix)) for prefix in detail.ciders)
        except ProtocolError:
            continue
        online = detail.last_active > 0
        entries.append(DirectoryEntry(detail.identity, detail.name, detail.private_ip, "", prefixes, online))
    return entries


class ClientSeedSession(ClientSession):
    """A session on the seed's wire; arguments as for ClientNoiseSession, as far as this wire has them."""

    tier = Tier.LEGACY
    takes_offloads = False

    def __init__(
        self,
        tools: Tools,
        stream: Stream,
        codec: SeedCodec,
        owner: Owner,
        held: bytes,
        *,
        identity: str,
        cipher_name: str,
        peers: Peers,
    ) -> None:
        super().__init__(tools, stream, codec, FrameReader(SEED_SESSION_TYPES), owner, held, peers)
        self.cipher_name = cipher_name
        self._identity = identity
        self._seed_codec = codec
        self._sent_at: float | None = None

    def begin(self) -> None:
        """Ask for the cluster at once."""
        self.send_keepalive()
        super().begin()

    def send_keepalive(self) -> None:
        """Send a KeepAlive; the answer carries the cluster."""
        self._sent_at = self.tools.reactor.now()
        body = SeedKeepAlive(identity=self._identity).encode(4096)
        self.send_control(lambda: self._seed_codec.seal_message(FrameType.SEED_KEEPALIVE, body))

    def drain(self, drained: Callback, seconds: float) -> None:
        """Call back at once: an answer on this wire names no question."""
        drained()

    def _on_tick(self, now: float) -> None:
        """This wire's one key never ends."""

    def _say_goodbye(self, reason: str) -> None:
        """This wire has no goodbye."""

    def _on_control(self, frame_type: int, frame: memoryview) -> None:
        if frame_type != FrameType.SEED_KEEPALIVE:
            raise ProtocolError(f"type 0x{frame_type:02x} is not expected here")
        answer = SeedKeepAlive.decode(self._seed_codec.open_message(frame, self.tools.buffers.plain))
        if answer.identity not in ("", self._identity):
            self.tools.pump.drops["foreign-identity"] += 1
            return
        if self._sent_at is not None:
            self.note_answer(self.tools.reactor.now())
            self.rtt_ms = (self.proved_at - self._sent_at) * 1e3
            self._sent_at = None
        if self._peers.replace(seed_entries(answer.peer_details)):
            self._owner.on_directory()
