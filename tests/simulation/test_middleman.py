"""A man in the middle of a whole session: every action of his at every kind of frame (tampering.py), rows 8, 10, 13.

What is expected is one of three:
    nothing   the session goes on and no packet is lost
    closed    the session, or the try, is over; the client comes back by itself
    silent    closed, and the server has not said a byte
In all of them nothing that was changed, doubled or put in another order is delivered, the client tries no other tier
and does not end, and everybody else goes on.
"""

from __future__ import annotations

from itertools import count

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.frames import FrameType
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman
from tests.simulation.picture import picture
from tests.simulation.tampering import (
    HARMFUL,
    HARMLESS,
    MOMENTS,
    Action,
    Moment,
    closed,
    cut_short,
    doubled,
    dropped,
    reflected,
    repeated,
    reset,
    stalled_long,
    swapped,
    tamper,
)
from tests.simulation.world import Host, World, entry, office

BY_ITSELF = {"envelope", "handshake-failed", "handshake-timeout", "protocol-error", "silent"}
ANSWERED = (doubled, reflected, repeated)  # the honest first message comes first, and is answered
EVERY_S = 0.5
TRAFFIC_S = 14.0  # over a keepalive
RETURN_S = 120.0  # a stall that is too long, the silence after it, and the longest wait
SAME_IN_BOTH = {"data upwards", "data downwards", "a keepalive", "a keepalive's answer"}  # records are records
FIRST_FRAMES = {Tier.KEY: FrameType.KEY_INIT, Tier.SHARED: FrameType.SHARED_INIT}
CASES = [
    pytest.param(tier, name, action, id=f"{tier}-{name}-{action.__name__}")
    for tier in FIRST_FRAMES
    for name in MOMENTS
    if tier is Tier.KEY or name not in SAME_IN_BOTH
    for action in HARMLESS + HARMFUL
]


def outcome(name: str, action: Action) -> str:
    """Return what has to come of an action at a moment."""
    if action in HARMLESS:
        return "nothing"
    return "silent" if name == "the first message" and action not in ANSWERED else "closed"


def ends(name: str, action: Action) -> set[str]:
    """Return how the server's side may end: it has judged itself, or the client has and closed, or it was told."""
    if action in (closed, reset):
        return {"end-of-stream"} if action is closed else {"connection-lost"}
    if action is stalled_long and name not in ("the first message", "the answer"):
        return {"end-of-stream", "superseded"}  # the client doubts, and takes another connection
    withheld = name == "the answer" and action in (dropped, cut_short, swapped, stalled_long)  # it is less patient
    upwards = MOMENTS[name].to == "to_server"
    return BY_ITSELF if withheld or upwards != (action is reflected) else {"end-of-stream"}


class Talk:
    """m0 and m1 send each other numbered packets at a steady pace."""

    def __init__(self, world: World, first: Host, second: Host) -> None:
        self._world = world
        self._hosts = first, second
        self._numbers = count()
        self.sent: tuple[list[bytes], list[bytes]] = [], []

    def go_on(self, seconds: float) -> None:
        """Let both talk for a while."""
        end = self._world.reactor.now() + seconds
        while self._world.reactor.now() < end:
            self.say()
            self._world.run(EVERY_S)

    def say(self) -> None:
        """Let each say one packet."""
        number = next(self._numbers).to_bytes(4, "big")
        for host, sent, own, other in zip(self._hosts, self.sent, (1, 2), (2, 1), strict=True):
            packet = udp_packet(f"10.0.1.{own}", f"10.0.1.{other}", (1, 2), number)
            host.send(packet)
            sent.append(packet)

    @property
    def arrived(self) -> tuple[list[bytes], list[bytes]]:
        """What each has of the other."""
        return self._hosts[1].packets, self._hosts[0].packets

    def assert_nothing_was_changed(self) -> None:
        """What arrived is some of what was sent, in its order, once."""
        for arrived, sent in zip(self.arrived, self.sent, strict=True):
            left = iter(sent)
            assert all(packet in left for packet in arrived)


def attacked(world: World, man: Middleman, moment: Moment, action: Action, talk: list[Talk]) -> Host:
    """Bring m0 online through the middleman, and let him act at the moment."""
    if moment.look_after_s is None:
        chosen = tamper(man, moment, action)
    host = world.host("m0", server=str(ADDRESS))
    talk.append(Talk(world, host, world.hosts[0]))
    if moment.look_after_s is not None:
        world.run_until_online("m0")
        world.run(moment.look_after_s)
        chosen = tamper(man, moment, action)
    talk[0].go_on(TRAFFIC_S)
    assert len(chosen) == 1
    return host


@pytest.mark.parametrize(("tier", "name", "action"), CASES)
def test_whatever_is_done_to_a_frame(make_world: MakeWorld, tier: Tier, name: str, action: Action) -> None:
    """Rows 8, 10, 13. If this fails, somebody on the path changes more than whether a connection works."""
    away = [entry("s0", "10.0.1.1", "shanghai"), entry("s1", "10.0.1.2", "shanghai")]
    world = make_world([*office(2), *away], tier=tier)
    man = Middleman(world)
    other, *_ = world.online("m1", "s0", "s1")
    world.hosts[1].send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"elsewhere"))
    world.run()
    elsewhere, session = picture(world, cluster="shanghai"), world.session("m1")
    talks: list[Talk] = []
    host = attacked(world, man, MOMENTS[name], action, talks)
    (talk,) = talks
    if outcome(name, action) == "nothing":
        assert host.log.texts("not-connected") == []
        assert not world.core.closes
        assert talk.arrived == talk.sent or MOMENTS[name].look_after_s is None
    else:
        client, log = host.client, host.log
        world.reactor.run_until_true(lambda: bool(client.reconnects or log.texts("not-connected")), RETURN_S)
        assert set(world.core.closes) <= ends(name, action)
        assert sum(world.core.closes.values()) <= 1
    if outcome(name, action) == "silent":
        assert man.answered[0] is False
    world.reactor.run_until_true(lambda: host.client.state == "online", RETURN_S)
    world.run(1.5)
    before = [len(packets) for packets in talk.arrived]
    talk.say()
    world.run()
    assert [len(packets) for packets in talk.arrived] == [number + 1 for number in before], "back, and well"
    talk.assert_nothing_was_changed()
    assert host.failures == []
    assert {frame[5] for frame in man.from_client} == {FIRST_FRAMES[tier], FrameType.DATA, FrameType.CONTROL}
    assert picture(world, cluster="shanghai") == elsewhere
    assert world.session("m1") is session
    assert other.client.reconnects == 0
    assert set(session.traffic.drops) <= {"offline"}
