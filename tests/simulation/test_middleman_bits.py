"""A man in the middle flips every bit of both handshake messages, one at each try of a real client: row 8."""

from __future__ import annotations

import pytest

import rustun.client.backoff
from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.frames import HEADER_BYTES
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman, pass_on
from tests.simulation.picture import picture
from tests.simulation.world import Host, World, office

LONGEST_WAIT_S = 11.0  # a try that nobody answers
MANY_TRIES = {"handshakes_per_second_per_source": 10_000, "handshake_burst_per_source": 10_000}
NOTHING_BUT_THESE = {"envelope", "handshake-failed", "handshake-timeout", "end-of-stream", "connection-lost"}


class Flipper:
    """Flips one bit of the first frame of each connection, the next bit each time, in one direction."""

    def __init__(self, man: Middleman) -> None:
        self.man = man
        self.bit = 0

    def flip(self, frame: bytes) -> list[bytes]:
        """Return the frame with the present bit changed."""
        altered = bytearray(frame)
        altered[self.bit // 8] ^= 1 << self.bit % 8
        return [bytes(altered)]


def next_failure(world: World, host: Host) -> None:
    """Let the client try once more, by itself, and fail."""
    world.reactor.run_until_true(lambda: host.client.state == "handshaking", LONGEST_WAIT_S)
    world.reactor.run_until_true(lambda: host.client.state == "waiting", LONGEST_WAIT_S)
    world.run(0.05)  # the end of the connection arrives at the server


def honest_first_frames(world: World, man: Middleman) -> tuple[int, int]:
    """Return how long the first message and the answer are in this world."""
    host = world.host("m0", server=str(ADDRESS))
    world.run_until_online("m0")
    host.client.stop("the lengths are known", lambda: None)
    world.run(2.0)
    world.hosts.remove(host)
    return len(man.from_client[0]), len(man.from_server[0])


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
@pytest.mark.parametrize("message", ["first", "answer"])
def test_row_8_every_bit_of_both_messages(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, tier: Tier, message: str
) -> None:
    """Row 8. If this fails, somebody on the path steers a handshake, ends a client, or disturbs others."""
    monkeypatch.setattr(rustun.client.backoff, "LAST_SECONDS", 0.5)  # hours of waiting would be most of the work
    world = make_world(office(2), tier=tier, limits=MANY_TRIES)
    man = Middleman(world)
    (other,) = world.online("m1")
    length = honest_first_frames(world, man)[message == "answer"]
    before = picture(world, besides="m0")
    world.core.closes.clear()
    del man.from_server[:]
    flipper = Flipper(man)
    setattr(man, "to_server" if message == "first" else "to_client", flipper.flip)
    host = world.host("m0", server=str(ADDRESS))
    for flipper.bit in range(length * 8):
        next_failure(world, host)
        assert picture(world, besides="m0") == before, flipper.bit
        if message == "first":
            assert man.from_server == [], "silent"
    assert len(man.from_client) >= length * 8
    assert set(world.core.closes) <= NOTHING_BUT_THESE, world.core.closes
    assert host.failures == []
    man.to_server = man.to_client = pass_on
    world.run_until_online("m0", limit_s=LONGEST_WAIT_S)
    other.send(udp_packet("10.0.1.2", "10.0.1.1", (1, 2), b"hello"))
    world.run()
    assert len(host.packets) == 1
    assert other.client.reconnects == 0
    assert length > HEADER_BYTES + 64
