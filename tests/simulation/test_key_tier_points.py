"""Keys that are no honest keys, in every place where one travels: row 8, and rule 14 about twins.

Points of small order make the result of a Diffie-Hellman zero, whatever the other side's key is (RFC 7748, section
6.1); each has several spellings, as has every key. Who makes such messages knows the server's public key, so the
envelope does not stop him.
"""

from __future__ import annotations

from typing import Final

import pytest

from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import Ping, RekeyAsk, RekeyInit, RekeyReply, encode
from rustun.protocol.envelope import ENVELOPE_BYTES, Envelope
from rustun.protocol.frames import HEADER_BYTES, VERSION, FrameType, header
from rustun.protocol.handshake import PROTOCOL_LABEL, Initiator, session_keys
from rustun.protocol.noise import NoiseHandshake
from rustun.protocol.records import Cipher
from rustun.protocol.suites import KEY as KEY_SUITE
from rustun.protocol.suites import NO_PSK, public_key
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.middleman import ADDRESS, Middleman, pass_on
from tests.simulation.peers import NoisePeer, NoiseServer, RawPeer, credentials, hello
from tests.simulation.world import World, office, private_key, public_text

PRIME: Final = 2**255 - 19
ORDER_EIGHT: Final = (
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
)
SMALL: Final = [value.to_bytes(32, "little") for value in (0, 1, PRIME - 1, PRIME, PRIME + 1, *ORDER_EIGHT)]
POINTS: Final = [pytest.param(point, id=point[::-1].hex()[:6]) for point in SMALL]
SERVER_PUBLIC: Final = public_key(private_key("server"))
ENVELOPE: Final = Envelope(SERVER_PUBLIC)
NO_BUDGET = {"handshakes_per_second_per_source": 1_000_000, "handshake_burst_per_source": 1_000_000}


class Crafted(NoiseHandshake):
    """An initiator that claims another static public key than its own; it knows what a small order makes of `ss`."""

    claimed = b""

    def _static_public(self) -> bytes:
        return self.claimed

    def _mix_secret(self, token: str) -> None:
        if token == "ss" and self.claimed in SMALL:
            self._symmetric.mix_key(bytes(32))
        else:
            super()._mix_secret(token)


def crafted_first_frame(identity: str, claimed: bytes) -> tuple[bytes, Crafted]:
    """Return a first frame that says to be from `claimed`, its proof made with the key of m0."""
    payload = hello(identity).encode()
    frame_header = header(FrameType.KEY_INIT, len(payload) + KEY_SUITE.init_overhead_bytes)
    noise = Crafted(
        KEY_SUITE.protocol_name,
        initiator=True,
        prologue=PROTOCOL_LABEL + bytes([VERSION]) + b"key\0" + frame_header,
        psk=NO_PSK,
        static_private=private_key("m0"),
        remote_static=SERVER_PUBLIC,
        ephemeral_private=bytes([3]) * 32,
    )
    noise.claimed = claimed
    return frame_header + ENVELOPE.seal(frame_header, noise.write_message(payload), bytes(12)), noise


def resealed(frame: bytes, inside: bytes) -> bytes:
    """Return a frame with other contents in its envelope."""
    return frame[:HEADER_BYTES] + ENVELOPE.seal(frame[:HEADER_BYTES], inside, bytes(12))


def honest(world: World) -> tuple[bytes, bytes]:
    """Return an honest first frame of m0, and what is in its envelope."""
    frame = Initiator(credentials(world, "m0"), hello("m0"), world.random_bytes(32), world.random_bytes(12)).first_frame
    opened = ENVELOPE.open(frame)
    assert opened is not None and len(opened) == len(frame) - ENVELOPE_BYTES
    return frame, opened[HEADER_BYTES:]


def twin(public: bytes) -> bytes:
    """Return another spelling of a key: X25519 ignores the highest bit."""
    return public[:31] + bytes([public[31] | 0x80])


def test_row_8_every_bit_inside_the_envelope(make_world: MakeWorld) -> None:
    """Row 8. If this fails, an ex-member on the path, whom the envelope does not stop, steers a handshake."""
    world = make_world(office(1), tier=Tier.KEY, limits=NO_BUDGET)
    frame, inside = honest(world)
    peers = []
    for bit in range(len(inside) * 8):
        altered = bytearray(inside)
        altered[bit // 8] ^= 1 << bit % 8
        peers.append(RawPeer(world))
        peers[-1].send(resealed(frame, bytes(altered)))
    assert all(peer.ended == "reset" and peer.received == b"" for peer in peers)
    assert world.core.closes == {"handshake-failed": len(inside) * 8}
    assert not world.core.sessions
    last = RawPeer(world)
    last.send(resealed(frame, inside))
    assert last.received, "resealing itself is not what failed"


@pytest.mark.parametrize("point", POINTS)
def test_row_8_an_ephemeral_key_of_small_order(make_world: MakeWorld, point: bytes) -> None:
    """Row 8. If this fails, a client chooses what the server takes for a shared secret."""
    world = make_world(office(1), tier=Tier.KEY)
    frame, inside = honest(world)
    for spelling in (point, twin(point)):
        peer = RawPeer(world)
        peer.send(resealed(frame, spelling + inside[32:]))
        assert (peer.ended, bytes(peer.received)) == ("reset", b"")
    assert world.core.closes == {"handshake-failed": 2}
    (said, _) = world.log.texts("handshake-failed")
    assert "of low order" in said


@pytest.mark.parametrize("point", POINTS)
def test_row_8_a_static_key_of_small_order(make_world: MakeWorld, point: bytes) -> None:
    """Row 8. If this fails, a proof without a private key is taken for one."""
    world = make_world(office(1), tier=Tier.KEY)
    peer = RawPeer(world)
    peer.send(crafted_first_frame("m0", point)[0])
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")
    assert world.core.closes == {"handshake-failed": 1}
    (said,) = world.log.texts("handshake-failed")
    assert "of low order" in said


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
@pytest.mark.parametrize("point", POINTS)
def test_row_8_an_answer_of_small_order(make_world: MakeWorld, tier: Tier, point: bytes) -> None:
    """Row 8. If this fails, somebody on the path makes a client agree on a secret that he knows."""
    world = make_world(office(1), tier=tier)
    man = Middleman(world)
    man.to_client = lambda frame: [frame[:HEADER_BYTES] + point + frame[HEADER_BYTES + 32 :]]
    host = world.host("m0", server=str(ADDRESS))
    world.run(5.0)
    assert "this is no answer of a rustun server that has our key" in host.client.last_error
    assert host.failures == []
    man.to_client = pass_on
    world.run_until_online("m0")


@pytest.mark.parametrize("point", POINTS)
def test_row_8_a_first_message_of_the_shared_tier_of_small_order(make_world: MakeWorld, point: bytes) -> None:
    """Row 8. If this fails, a holder of the shared key chooses the secret of a session."""
    world = make_world(office(1))
    frame = Initiator(credentials(world, "m0"), hello("m0"), world.random_bytes(32)).first_frame
    peer = RawPeer(world)
    peer.send(frame[:HEADER_BYTES] + point + frame[HEADER_BYTES + 32 :])
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")


@pytest.mark.parametrize("tier", [Tier.KEY, Tier.SHARED])
def test_row_8_a_rekey_of_small_order(make_world: MakeWorld, tier: Tier) -> None:
    """Row 8. If this fails, a member or a server makes the next keys ones that everybody knows."""
    world = make_world(office(1), tier=tier)
    for number, point in enumerate(SMALL, 1):
        peer = NoisePeer(world, "m0")
        init = peer.rekey.begin(world.random_bytes(32))
        peer.say(RekeyInit(point + init.noise[32:]))
        assert peer.ended
        assert world.core.closes["protocol-error"] == number
    world.stop_server()
    server = NoiseServer(world)
    host = world.host("m0")
    world.run()
    server.welcome()
    server.messages()
    server.say(RekeyAsk())
    (asked,) = (message for message in server.messages() if isinstance(message, RekeyInit))
    reply, _ = server.rekey.receive(asked, world.random_bytes(32))
    server.say(RekeyReply(SMALL[1] + reply.noise[32:]))
    assert server.ended
    assert "broke the protocol" in host.client.last_error
    server.close()


def test_a_twin_of_a_members_key_is_that_member(make_world: MakeWorld) -> None:
    """If this fails, another spelling of a key outlives the key's removal, or shuts an odd client out."""
    world = make_world(office(2), tier=Tier.KEY)
    own = public_key(private_key("m0"))
    frame, noise = crafted_first_frame("m0", twin(own))
    peer = RawPeer(world)
    peer.send(frame)
    noise.read_message(bytes(peer.received[HEADER_BYTES:]))
    codec = RecordCodec(Cipher.CHACHA20, session_keys(noise), is_client=True, now=world.reactor.now())
    peer.send(codec.seal_control(encode(Ping(0))))
    assert world.present == {"m0"}
    entries = office(2)
    entries[0]["public_key"] = public_text("m0", "new")
    world.write_routes(entries)
    world.run(1.0)
    assert peer.ended
    assert world.core.closes == {"re-keyed": 1}


def test_a_twin_of_another_members_key_is_not_this_member(make_world: MakeWorld) -> None:
    """If this fails, spelling a key differently is enough to be somebody else."""
    world = make_world(office(2), tier=Tier.KEY)
    peer = RawPeer(world)
    peer.send(crafted_first_frame("m1", twin(public_key(private_key("m0"))))[0])
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")
