"""Taking a right away in the middle of something: no later frame of the session is processed (rows 13 and 27)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.control import Goodbye, Ping, RekeyReply, RekeySwitch
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, hello, item
from tests.simulation.world import Entry, World, office, public_text

IN_FORCE_S = 1.0
PACKET = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"from m0")
END = "2027-01-15T08:00:30Z"  # half a minute after the beginning of virtual time


def entries(**of_m0: object) -> list[Entry]:
    """Return the members, m0 with something different."""
    first, *others = office(3)
    return [{**first, **of_m0}, *others]


def rewrite(**of_m0: object) -> Callable[[World], None]:
    """Return what changes m0's entry."""
    return lambda world: world.write_routes(keys(world, entries(**of_m0)))


def keys(world: World, changed: list[Entry]) -> list[Entry]:
    """Return entries with the public keys that they have in this world, unless they say another."""
    return [{"public_key": public_text(one["identity"]), **one} for one in changed]


def drop_the_servers_key(world: World) -> None:
    """Let the server have another key pair."""
    world.write_config(server_ages=("new",))
    world.server.reload()


def give_a_psk(world: World) -> None:
    """Write a pre-shared key, and name it in m0's entry."""
    path = world.folder / "m0.psk"
    path.touch(0o600)
    path.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    rewrite(psk_file=path.name)(world)


CHANGES: dict[str, tuple[Callable[[World], None], str]] = {
    "removed": (lambda world: world.write_routes(keys(world, office(3)[1:])), "removed"),
    "disabled": (rewrite(enabled=False), "disabled"),
    "moved": (rewrite(cluster="shanghai"), "moved"),
    "another key": (rewrite(public_key=public_text("m0", "new")), "re-keyed"),
    "a psk": (give_a_psk, "re-keyed"),
    "the server's key": (drop_the_servers_key, "re-keyed"),
}


def welcomed(world: World) -> NoisePeer:
    """A handshake was answered, and nothing is proved yet."""
    peer = NoisePeer(world, hello("m0", keepalive_s=60), connected=False)
    peer.shake_hands()
    return peer


def online(world: World) -> NoisePeer:
    """A session is up."""
    peer = NoisePeer(world, hello("m0", keepalive_s=60))
    peer.messages()
    return peer


def in_a_rekey(world: World) -> NoisePeer:
    """The server has answered a rekey, and waits for the switch mark."""
    peer = online(world)
    peer.say(peer.rekey.begin(world.random_bytes(32)))
    (reply,) = (message for message in peer.messages() if isinstance(message, RekeyReply))
    peer.codec.replace_opener(peer.rekey.receive(reply), world.reactor.now())
    return peer


STAGES = (welcomed, online, in_a_rekey)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@pytest.mark.parametrize("change", CHANGES)
def test_row_27_whatever_it_was_doing_its_session_ends(
    make_world: MakeWorld, change: str, stage: Callable[[World], NoisePeer]
) -> None:
    """Row 27. If this fails, who times a handshake or a rekey well stays in after its right was taken away."""
    act, reason = CHANGES[change]
    world = make_world(office(3), tier=Tier.KEY)
    first, second = world.online("m1", "m2")
    sessions = world.session("m1"), world.session("m2")
    peer = stage(world)
    late = [peer.codec.seal_control(b'{"type":"ping","id":7,"rtt_ms":null}'), peer.data(item(PACKET))]
    act(world)
    world.run(IN_FORCE_S)
    others = {"m1", "m2"} if change != "the server's key" else set()
    assert world.present == others
    assert world.core.closes[reason] == (1 if others else 3)
    assert peer.ended == "end"
    assert Goodbye(reason, reason) in peer.messages()
    for frame in late:
        peer.stream.send(frame)
    world.run(0.5)
    assert first.packets == []
    assert world.present == others
    if others:
        assert (world.session("m1"), world.session("m2")) == sessions
        assert first.client.reconnects == second.client.reconnects == 0


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_row_27_an_end_in_time_comes_whatever_it_is_doing(
    make_world: MakeWorld, stage: Callable[[World], NoisePeer]
) -> None:
    """Row 27. If this fails, `expires_at` is only looked at when somebody connects."""
    world = make_world(entries(expires_at=END), tier=Tier.KEY)
    world.online("m1", "m2")
    world.run(27.5)
    assert world.reactor.now() < 30.0
    peer = stage(world)
    assert not world.core.closes
    world.run(30.0 - world.reactor.now() + IN_FORCE_S)
    assert peer.ended == "end"
    assert world.core.closes == {"expired": 1}
    assert world.present == {"m1", "m2"}


def test_row_27_a_second_key_ends_nothing(make_world: MakeWorld) -> None:
    """Row 27. If this fails, the first step of giving a member a new key cuts it off."""
    world = make_world(office(3), tier=Tier.KEY)
    peer = in_a_rekey(world)
    rewrite(public_key=[public_text("m0"), public_text("m0", "new")])(world)
    world.run(IN_FORCE_S)
    peer.say(RekeySwitch())
    assert not peer.ended
    assert not world.core.closes
    assert world.present == {"m0"}


def test_row_27_a_handshake_of_a_member_that_comes_back_is_another_one(make_world: MakeWorld) -> None:
    """Row 27. If this fails, a removal that is taken back at once leaves a handshake from before in force."""
    world = make_world(office(3), tier=Tier.KEY)
    peer = welcomed(world)
    world.write_routes(keys(world, office(3)[1:]))
    world.run(IN_FORCE_S)
    world.write_routes(keys(world, office(3)))
    world.run(IN_FORCE_S)
    assert peer.ended
    again = NoisePeer(world, "m0", connected=False)
    again.shake_hands()
    again.say(Ping(0))
    assert world.present == {"m0"}
