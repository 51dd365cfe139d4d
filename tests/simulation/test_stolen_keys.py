"""Somebody has long-lived keys that are not his: what docs/security.md says that he can do with them, and cannot."""

from __future__ import annotations

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.errors import ProtocolError
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES, VERSION, FrameType, header
from rustun.protocol.handshake import PROTOCOL_LABEL, Initiator, Responder, Welcome
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.records import Cipher, RecordOpener
from rustun.protocol.suites import KEY as KEY_SUITE
from rustun.protocol.suites import NO_PSK, Credentials, public_key
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman
from tests.simulation.peers import RawPeer, credentials, hello
from tests.simulation.world import World, office, private_key

SERVER_PUBLIC = public_key(private_key("server"))
WELCOME = Welcome(Cipher.CHACHA20, "10.0.1.1/24", "", "", "0")


def servers_part(world: World) -> Credentials:
    """Return the server's long-lived keys."""
    return Credentials(KEY_SUITE, static=private_key("server")) if world.tier is Tier.KEY else credentials(world, "")


def opened(world: World, frame: bytes) -> bytes:
    """Return a first frame out of its envelope, where it has one."""
    found = Envelope(SERVER_PUBLIC).open(frame) if world.tier is Tier.KEY else frame
    assert found is not None
    return found


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
def test_long_lived_keys_open_no_recorded_packet(make_world: MakeWorld, tier: Tier) -> None:
    """If this fails, a key that gets out one day gives away all that was ever recorded: no forward secrecy."""
    world = make_world(office(2), tier=tier)
    man = Middleman(world)
    world.online("m1")
    (host,) = world.online("m0", server=str(ADDRESS))
    host.send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"secret"))
    world.run()
    answer = man.from_server[0]
    thief = Responder(servers_part(world), bytes([1]) * 32)
    assert thief.receive(opened(world, man.from_client[0])).identity == "m0", "that much the server's key does tell"
    keys = thief.answer(WELCOME)[1]
    for split_key in (keys.client_to_server, keys.server_to_client):
        for record in (man.from_client[1], man.from_server[1]):
            opener = RecordOpener(Cipher.CHACHA20, split_key, 0.0)
            with pytest.raises(ProtocolError):
                opener.open_into(memoryview(record), memoryview(bytearray(len(record))))
    other = Initiator(credentials(world, "m0"), hello("m0"), bytes([1]) * 32, bytes(12))
    with pytest.raises(ProtocolError):
        other.receive(answer[HEADER_BYTES:])


def test_a_members_key_does_not_play_the_server(make_world: MakeWorld) -> None:
    """If this fails, who stole a member's key reads what that member sends, without the server's key."""
    world = make_world(office(1), tier=Tier.KEY)
    first = Initiator(credentials(world, "m0"), hello("m0"), bytes([1]) * 32, bytes(12)).first_frame
    for stolen in (private_key("m0"), private_key("thief")):
        with pytest.raises(ProtocolError):
            Responder(Credentials(KEY_SUITE, static=stolen), bytes([2]) * 32).receive(opened(world, first))


class ServersKeyInHand(NoiseHandshake):
    """An initiator that has the server's private key, and m0's public key only."""

    def _static_public(self) -> bytes:
        return public_key(private_key("m0"))

    def _mix_secret(self, token: str) -> None:
        if token == "ss":  # the same value from the other side
            self._symmetric.mix_key(private_key("server").exchange(private_key("m0").public_key()))
        else:
            super()._mix_secret(token)


def test_the_servers_key_does_not_come_in_as_a_member(make_world: MakeWorld) -> None:
    """If this fails, who stole the server's key sends in every member's name, also where the real server stands."""
    world = make_world(office(1), tier=Tier.KEY)
    payload = hello("m0").encode()
    frame_header = header(FrameType.KEY_INIT, len(payload) + KEY_SUITE.init_overhead_bytes)
    thief = ServersKeyInHand(
        KEY_SUITE.protocol_name,
        initiator=True,
        prologue=PROTOCOL_LABEL + bytes([VERSION]) + b"key\0" + frame_header,
        psk=NO_PSK,
        static_private=private_key("server"),
        remote_static=SERVER_PUBLIC,
        ephemeral_private=bytes([3]) * 32,
    )
    peer = RawPeer(world)
    peer.send(frame_header + Envelope(SERVER_PUBLIC).seal(frame_header, thief.write_message(payload), bytes(12)))
    assert peer.received, "the first message is as good as m0's"
    with pytest.raises(ProtocolError):
        thief.read_message(bytes(peer.received[HEADER_BYTES:]))
    assert not world.present
    world.run(6.0)
    assert world.core.closes == {"handshake-timeout": 1}
