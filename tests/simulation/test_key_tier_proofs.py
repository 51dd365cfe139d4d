"""Who comes in by the key tier and who does not: rows 8 and 13, and the policy behind them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from rustun.errors import ProtocolError
from rustun.protocol.control import RekeyReply
from rustun.protocol.envelope import Envelope
from rustun.protocol.frames import HEADER_BYTES, FrameType, header
from rustun.protocol.handshake import Initiator, Refusal, Welcome
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.suites import KEY as KEY_SUITE
from rustun.protocol.suites import NO_PSK, Credentials, public_key
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, RawPeer, hello, proof
from tests.simulation.seed_peer import SeedClient
from tests.simulation.world import KEY, Entry, World, entry, office, private_key, public_text

PSK, OTHER_PSK = bytes(range(32)), bytes(range(1, 33))


def keys_of(name: str, age: str = "", *, server_age: str = "", psk: bytes = NO_PSK) -> Credentials:
    """Return what a client with this key pair proves to the server."""
    return Credentials(KEY_SUITE, psk, private_key(name, age), public_key(private_key("server", server_age)))


def assert_silent(world: World, peer: RawPeer, reason: str) -> None:
    """The connection was closed without a byte, for this reason, and nobody is there because of it."""
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")
    assert world.core.closes == {reason: 1}
    assert not world.core.sessions


def test_row_8_a_message_for_another_server(make_world: MakeWorld) -> None:
    """Row 8. If this fails, who does not even know this server makes it compute, or learns that it is there."""
    world = make_world(office(1), tier=Tier.KEY)
    peer = RawPeer(world)
    peer.send(Initiator(keys_of("m0", server_age="other"), hello("m0"), bytes([1]) * 32, bytes(12)).first_frame)
    assert_silent(world, peer, "envelope")


def test_row_8_a_client_of_another_server_keeps_trying(make_world: MakeWorld) -> None:
    """Row 8. If this fails, whoever answers at the server's address ends its clients."""
    world = make_world(office(1), tier=Tier.KEY)
    host = world.host_of(world.client_config("m0", server_ages=("other",)))
    world.run(60.0)
    assert host.failures == []
    assert host.client.last_error.endswith("closed without a word: wrong key, wrong server key, tier or limit?")
    assert set(world.core.closes) == {"envelope"}


def test_row_8_an_envelope_with_something_else_inside(make_world: MakeWorld) -> None:
    """Row 8. If this fails, who knows the server's public key and nothing more gets an answer."""
    world = make_world(office(1), tier=Tier.KEY)
    inside = bytes([9]) * 160
    frame_header = header(FrameType.KEY_INIT, len(inside) + 28)
    envelope = Envelope(public_key(private_key("server")))
    peer = RawPeer(world)
    peer.send(frame_header + envelope.seal(frame_header, inside, bytes(12)))
    assert_silent(world, peer, "handshake-failed")


@pytest.mark.parametrize("claimed", ["m0", "disabled", "expired"])
def test_row_8_a_known_identity_with_another_key(make_world: MakeWorld, claimed: str) -> None:
    """Row 8. If this fails, one member comes in as another, or who has some key learns how a member stands."""
    entries = [
        *office(2),
        entry("disabled", "10.0.1.7", enabled=False),
        entry("expired", "10.0.1.8", expires_at="2020-01-01"),
    ]
    world = make_world(entries, tier=Tier.KEY)
    peer = RawPeer(world)
    peer.send(Initiator(keys_of("m1"), hello(claimed), bytes([1]) * 32, bytes(12)).first_frame)
    assert_silent(world, peer, "wrong-key")
    (said,) = (event for event in world.log.events if event[1] == "wrong-key")
    assert (said[0], said[3]["identity"]) == ("warning", claimed)


REFUSED: dict[str, tuple[Entry, str]] = {
    "unknown-identity": (entry("somebody", "10.0.1.1"), ""),
    "disabled": (entry("m0", "10.0.1.1", enabled=False), "disabled"),
    "expired": (entry("m0", "10.0.1.1", expires_at="2020-01-01"), "ended"),
    "tier": (entry("m0", "10.0.1.1", tier="shared"), "no public key of this member"),
    "method": (entry("m0", "10.0.1.1"), "set to chacha20"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_travels_sealed(make_world: MakeWorld, code: str) -> None:
    """If this fails, a member with its own key is told nothing, or the whole path reads how it stands."""
    one, words = REFUSED[code]
    world = make_world([one], tier=Tier.KEY)
    ciphers = (Cipher.AES256,) if code == "method" else (Cipher.CHACHA20,)
    peer = NoisePeer(world, hello("m0", ciphers=ciphers), keys_of("m0"), connected=False)
    answer = peer.shake_hands()
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert words in answer.reason
    assert peer.ended == "end"
    assert answer.reason.encode() not in peer.received
    assert world.core.closes == {"refused": 1}
    assert not world.core.sessions


@pytest.mark.parametrize("own", [NO_PSK, PSK, OTHER_PSK], ids=["none", "right", "wrong"])
@pytest.mark.parametrize("entrys", [NO_PSK, PSK], ids=["entry-none", "entry-psk"])
def test_the_pre_shared_key_has_to_be_that_of_the_entry(make_world: MakeWorld, own: bytes, entrys: bytes) -> None:
    """If this fails, psk_file protects nothing, or shuts out who has the right one."""
    world = make_world(office(1), tier=Tier.KEY)
    if entrys != NO_PSK:
        path = world.folder / "m0.psk"
        path.touch(0o600)
        path.write_text(b64encode(entrys).decode())
        world.write_routes([entry("m0", "10.0.1.1", public_key=public_text("m0"), psk_file="m0.psk")])
        world.run(1.0)
    config = replace(world.client_config("m0"), psk=None)
    if own != NO_PSK:
        secret = type(config.private_keys[0].secret)(b64encode(own).decode())
        config = replace(config, psk=secret)
    host = world.host_of(config)
    world.run(130.0)  # a rekey included, which uses it again
    if own == entrys:
        assert host.client.state == "online"
        assert host.client.reconnects == 0
    else:
        assert not world.present
        assert host.failures == []
        assert set(world.core.closes) == {"end-of-stream"}, "the client did not take the answer"


@pytest.mark.parametrize("age", ["", "new"])
def test_either_of_two_keys_of_a_member_comes_in(make_world: MakeWorld, age: str) -> None:
    """If this fails, a member cannot be given a new key without an outage."""
    keys = [public_text("m0"), public_text("m0", "new")]
    world = make_world([entry("m0", "10.0.1.1", public_key=keys)], tier=Tier.KEY)
    host = world.host_of(world.client_config("m0", ages=(age,)))
    world.run_until_online("m0", limit_s=1.0)
    assert host.client.reconnects == 0
    stranger = RawPeer(world)
    stranger.send(Initiator(keys_of("m0", "older"), hello("m0"), bytes([1]) * 32, bytes(12)).first_frame)
    assert stranger.ended == "reset" and stranger.received == b""


@pytest.mark.parametrize("minimum", ["shared", "legacy"])
@pytest.mark.parametrize("more", [{}, {"tier": "key"}], ids=["no-tier", "tier-key"])
def test_row_13_an_entry_with_a_key_is_not_had_for_less(
    make_world: MakeWorld, minimum: str, more: dict[str, Any]
) -> None:
    """Row 13. If this fails, the shared key, or the seed's, is enough to be a member that has a key of its own."""
    one = entry("m0", "10.0.1.1", public_key=public_text("m0"), **more)
    world = make_world([one], tier=Tier.KEY, security={"minimum_tier": minimum})
    answer = NoisePeer(world, "m0", proof(KEY), connected=False).shake_hands()
    assert isinstance(answer, Refusal)
    assert answer.code == "tier"
    seed = SeedClient(world, "m0", world.method, KEY)
    assert seed.shake_hands() is None
    assert seed.ended
    assert world.core.closes == {"refused": 2}
    assert isinstance(NoisePeer(world, "m0", connected=False).shake_hands(), Welcome)


REKEYS: dict[str, Credentials] = {
    "with another key of the member": keys_of("m0", "new"),
    "with another member's key": keys_of("m1"),
    "for another key of the server": keys_of("m0", server_age="new"),
}


@pytest.mark.parametrize("other", REKEYS.values(), ids=REKEYS.keys())
def test_a_rekey_has_the_keys_of_its_session(make_world: MakeWorld, other: Credentials) -> None:
    """If this fails, a session passes to somebody else, or outlives the key that it was begun with."""
    keys = [public_text("m0"), public_text("m0", "new")]
    world = make_world([entry("m0", "10.0.1.1", public_key=keys), entry("m1", "10.0.1.2")], tier=Tier.KEY)
    world.write_config(server_ages=("", "new"))
    world.server.reload()
    world.run(1.0)
    (bystander,) = world.online("m1")
    peer = NoisePeer(world, "m0")
    peer.messages()
    peer.say(RekeyClient(other, peer.keys.handshake_hash).begin(bytes([7]) * 32))
    assert peer.ended
    assert world.core.closes == {"protocol-error": 1}
    assert bystander.client.reconnects == 0


@pytest.mark.parametrize(("psk", "opens"), [(NO_PSK, True), (PSK, False)])
def test_a_rekey_has_the_psk_of_its_session(make_world: MakeWorld, psk: bytes, opens: bool) -> None:
    """If this fails, the pre-shared key protects the first two minutes alone, or no rekey works at all."""
    world = make_world(office(1), tier=Tier.KEY)
    peer = NoisePeer(world, "m0")
    peer.messages()
    rekey = RekeyClient(keys_of("m0", psk=psk), peer.keys.handshake_hash)
    peer.say(rekey.begin(bytes([7]) * 32))
    (reply,) = (message for message in peer.messages() if isinstance(message, RekeyReply))
    if opens:
        rekey.receive(reply)
    else:  # the client has no keys now, and what the server sends from here on opens for nobody
        with pytest.raises(ProtocolError):
            rekey.receive(reply)
    assert not peer.ended


def test_a_first_frame_fits_its_limit_with_the_longest_identity(make_world: MakeWorld) -> None:
    """If this fails, an identity that configuration allows can never connect."""
    identity = "i" * 255
    world = make_world([entry(identity, "10.0.1.1")], tier=Tier.KEY)
    peer = NoisePeer(world, identity)
    assert len(peer.initiator.first_frame) <= HEADER_BYTES + 512
    assert world.present == {identity}
