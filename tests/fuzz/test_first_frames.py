"""Damaged first messages of every tier against a relay with members online: silence or a sealed answer, and no change.

`./invoke soak` sends some hundred thousand of them; beside everything else a hundred batches of each kind are enough.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES, FrameType, encode_frame, header
from rustun.protocol.handshake import MAX_INIT_BYTES, MAX_REPLY_BYTES, PROTOCOL_LABEL, Hello, Initiator
from rustun.protocol.seed_messages import SeedHandshake
from rustun.protocol.suites import KEY, SHARED, Credentials, public_key
from rustun.protocol.tiers import Tier
from tests.fuzz.mutation import damaged
from tests.simulation.peers import RawPeer, hello
from tests.simulation.seed_peer import seal
from tests.simulation.stretched import stretched
from tests.simulation.world import KEY as SHARED_KEY
from tests.simulation.world import World, entry, private_key

METHOD: Final = "chacha20poly1305"
ATTACKER: Final = "203.0.113.7"
HANDSHAKE_LIMIT_S: Final = 6.0  # a little more than a relay gives
NO_BUDGETS: Final[dict[str, object]] = {
    "connections_per_second_per_source": 1_000_000,
    "handshakes_per_second_per_source": 1_000_000,
    "handshake_burst_per_source": 1_000_000,
    "pending_per_source": 60_000,
    "pending_connections": 60_000,
}
ENTRIES: Final = [
    entry("key-member", "10.0.1.1"),
    entry("other-key-member", "10.0.1.2"),
    entry("switched-off", "10.0.1.3", enabled=False),
    entry("shared-member", "10.0.1.4", tier="shared"),
    entry("legacy-member", "10.0.1.5", tier="legacy"),
    entry("key-elsewhere", "10.0.1.1", "shanghai"),
]
ONLINE: Final = ("key-member", "key-elsewhere", "shared-member", "legacy-member")
SUITES: Final = {
    Tier.KEY: Credentials(KEY, static=private_key("key-member"), remote_static=public_key(private_key("server"))),
    Tier.SHARED: Credentials(SHARED, stretched(SHARED_KEY)),
}
HELLOS: Final = tuple(hello(str(one["identity"])) for one in ENTRIES) + (hello("nobody"),)
IDENTITIES: Final = tuple(one.identity for one in HELLOS if one.identity != "legacy-member")
HONEST: Final = {
    tier: tuple(Initiator(credentials, one, b"\x55" * 32, b"\x66" * 12).first_frame for one in HELLOS)
    for tier, credentials in SUITES.items()
}
STRANGERS: Final = tuple(
    Initiator(credentials, HELLOS[0], b"\x55" * 32, b"\x66" * 12).first_frame
    for credentials in (
        Credentials(KEY, static=private_key("key-member"), remote_static=public_key(private_key("elsewhere"))),
        Credentials(SHARED, b"\x77" * 32),
    )
)
SEED_MESSAGES: Final = tuple(SeedHandshake(identity).encode() for identity in IDENTITIES)
SEED_FRAMES: Final = tuple(
    encode_frame(FrameType.SEED_HANDSHAKE, seal(METHOD, SHARED_KEY, bytes(12), message)) for message in SEED_MESSAGES
)


class Siege:
    """A relay whose members must not notice anything."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, ENTRIES, tier=Tier.KEY, security={"minimum_tier": "shared"}, limits=NO_BUDGETS)
        self.hosts = self.world.online("key-member", "key-elsewhere")
        self.hosts += self.world.online("shared-member", method=METHOD)
        self.hosts += self.world.online("legacy-member", method=METHOD, legacy=True)
        self._before = self.visible()

    def visible(self) -> object:
        """Return everything that a member, or an operator who looks at members, can see."""
        core = self.world.core
        return (
            {id(session) for session in core.sessions},
            {name: (cluster.epoch, cluster.directory.generation) for name, cluster in core.clusters.items()},
            [(host.client.state, host.client.reconnects, len(host.packets)) for host in self.hosts],
        )

    def send(self, streams: Sequence[bytes]) -> list[bytes]:
        """Send each on a connection of its own, wait until all are closed, and return what came back."""
        peers = [RawPeer(self.world, ATTACKER) for _ in streams]
        self.world.run(0.01)
        for peer, stream in zip(peers, streams, strict=True):
            peer.stream.send(stream)
        self.world.run(HANDSHAKE_LIMIT_S)
        assert all(peer.ended for peer in peers)
        assert not len(self.world.server.acceptor.pending)
        assert self.visible() == self._before
        assert not self.world.log.texts("internal-error")
        self.world.log.events.clear()
        return [bytes(peer.received) for peer in peers]


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    with tempfile.TemporaryDirectory() as folder:
        one = Siege(Path(folder))
        yield one
        one.world.finish()


def sealed(tier: Tier, payload: bytes) -> bytes:
    """Return a first frame that proves the keys of a member and carries any payload."""
    credentials = SUITES[tier]
    suite = credentials.suite
    init_header = header(suite.init_type, len(payload) + suite.init_overhead_bytes)
    prologue = PROTOCOL_LABEL + b"\x01" + suite.tier.value.encode() + b"\0" + init_header
    message = credentials.begin(prologue, b"\x55" * 32, initiator=True).write_message(payload)
    if credentials.remote_static is not None:
        message = Envelope(credentials.remote_static).seal(init_header, message, bytes(12))
    return init_header + message


def is_answer(tier: Tier, received: bytes) -> bool:
    """Tell whether exactly one frame of the tier's answer came."""
    length = len(received) - HEADER_BYTES
    return 0 < length <= MAX_REPLY_BYTES and received[:HEADER_BYTES] == header(SUITES[tier].suite.reply_type, length)


def deserves_an_answer(tier: Tier, payload: bytes) -> bool:
    """Tell whether message 1 with this payload, sealed with a member's keys, is answered, be it with a refusal."""
    if len(payload) + SUITES[tier].suite.init_overhead_bytes > MAX_INIT_BYTES:
        return False
    try:
        identity = Hello.decode(payload).identity
    except ProtocolError:
        return False
    keyed = [str(one["identity"]) for one in ENTRIES if "tier" not in one]
    return tier is Tier.SHARED or identity == "key-member" or identity not in keyed


@pytest.mark.parametrize("tier", SUITES)
@given(draws=st.data())
def test_damaged_first_frames_meet_silence(siege: Siege, tier: Tier, draws: st.DataObject) -> None:
    """A stranger learns something, or a member notices him."""
    streams = draws.draw(st.lists(damaged((*HONEST[tier], *STRANGERS), max_bytes=5000), min_size=1, max_size=12))
    for stream, received in zip(streams, siege.send(streams), strict=True):
        assert received == b"" or (stream in HONEST[tier] and is_answer(tier, received))


@pytest.mark.parametrize("tier", SUITES)
@given(draws=st.data())
def test_damaged_messages_of_an_insider_are_answered_or_meet_silence(
    siege: Siege, tier: Tier, draws: st.DataObject
) -> None:
    """Who holds a key crashes the relay with his first message, or becomes visible without a proof that he is here."""
    payload = damaged(tuple(one.encode() for one in HELLOS), is_text=True, max_bytes=600)
    payloads = draws.draw(st.lists(payload, min_size=1, max_size=12))
    received = siege.send([sealed(tier, one) for one in payloads])
    for one, answer in zip(payloads, received, strict=True):
        assert is_answer(tier, answer) if deserves_an_answer(tier, one) else answer == b""


@given(st.lists(damaged(SEED_FRAMES, max_bytes=5000), min_size=1, max_size=12))
def test_damaged_seed_handshakes_meet_silence(siege: Siege, streams: list[bytes]) -> None:
    """A seed's handshake that is no member's is answered, or ends somebody's session."""
    assert not any(siege.send(streams))


@given(st.lists(damaged(SEED_MESSAGES, is_text=True, max_bytes=480), min_size=1, max_size=12))
def test_damaged_seed_messages_of_an_insider_meet_silence(siege: Siege, messages: list[bytes]) -> None:
    """Who holds the shared key crashes the relay with a seed's handshake, or takes a place by it."""
    nonces = iter(range(len(messages)))
    seal_one = partial(seal, METHOD, SHARED_KEY)
    payloads = [seal_one(siege.world.random_bytes(8) + next(nonces).to_bytes(4, "big"), one) for one in messages]
    assert not any(siege.send([encode_frame(FrameType.SEED_HANDSHAKE, payload) for payload in payloads]))


def test_memory_is_flat(siege: Siege) -> None:
    """Whoever can reach the port makes the relay grow until it dies."""
    streams = [*HONEST[Tier.KEY], *HONEST[Tier.SHARED], *STRANGERS, *SEED_FRAMES, *(b"\x91\x92" * n for n in range(40))]

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    for _ in range(12):  # tables that are bounded fill up
        siege.send(streams * 3)
    before = blocks()
    for _ in range(12):
        siege.send(streams * 3)
    grown = blocks() - before
    assert grown < len(streams) * 3, f"{grown} blocks more after {36 * len(streams)} first messages"
