"""A member that sends more than it may: what that costs the others (row 37)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby

import pytest

from rustun.protocol.control import Ping, Pong, encode
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer
from tests.simulation.world import World, office

OnControl = Callable[[int, memoryview], None]
LIMIT = 20  # control messages a second, also the burst


def test_row_37_a_new_session_is_no_new_budget(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that floods and is thrown out floods on at once: each message costs the relay milliseconds."""
    world = make_world(office(2))
    same = world.new_host()
    monkeypatch.setattr(world, "new_host", lambda: same)
    flooder = NoisePeer(world, "m0")
    flooder.send(b"".join(flooder.codec.seal_control(encode(Ping(number))) for number in range(LIMIT + 1)))
    assert flooder.ended
    assert NoisePeer(world, "m0").ended, "it may go on at once"
    assert not (friend := NoisePeer(world, "m1")).ended, "another member pays for it"
    world.run(1.0)
    assert not NoisePeer(world, "m0").ended, "it may not come back at all"
    assert not friend.ended


def test_row_37_a_claimed_identity_spends_nothing_of_its_member(make_world: MakeWorld) -> None:
    """Whoever has the shared key spends the budget of every member by its name, and they are thrown out."""
    world = make_world(office(1))
    member = NoisePeer(world, "m0")
    claimant = NoisePeer(world, "m0")
    claimant.send(b"".join(claimant.codec.seal_control(encode(Ping(number))) for number in range(LIMIT + 1)))
    assert claimant.ended
    for number in range(5):
        member.say(Ping(number))
    assert Pong(4) in member.messages()


def test_row_37_slow_messages_do_not_make_one_turn(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that take milliseconds to read are read one behind the other, and all packets wait for that long."""
    world = make_world(office(2))
    peers = {identity: NoisePeer(world, identity) for identity in ("m0", "m1")}
    handled: list[str] = []
    for identity, peer in peers.items():
        session = world.session(identity)
        monkeypatch.setattr(session, "_on_control", partial(slowly, world, handled, identity, session._on_control))
        peer.stream.send(b"".join(peer.codec.seal_control(encode(Ping(number))) for number in range(10)))
    world.run(1.0)
    assert handled.count("m0") == handled.count("m1") == 10
    assert max(len(list(run)) for _, run in groupby(handled[:12])) <= 2, f"one waits for all of the other: {handled}"


def slowly(
    world: World, handled: list[str], identity: str, on_control: OnControl, frame_type: int, frame: memoryview
) -> None:
    """Handle a control message in 4 ms, what the longest ones take."""
    handled.append(identity)
    on_control(frame_type, frame)
    world.reactor._now += 0.004
