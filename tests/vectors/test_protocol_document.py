"""A peer written from docs/protocol.md alone against the bytes that the document shows, and against a living relay."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld, make_world
from tests.simulation.peers import RawPeer
from tests.simulation.world import KEY, World, office, private_key
from tests.vectors.document_peer import (
    CONTROL,
    DATA,
    Client,
    Direction,
    Envelope,
    Noise,
    block,
    prologue,
    public,
    shared_psk,
    tier,
)

__all__ = ["make_world"]  # a fixture, found here by its name
KEY_STRING = "correct horse battery staple"
NO_PSK = bytes(32)


def test_a_server_written_from_the_document_understands_our_client() -> None:
    """Fails if docs/protocol.md leaves out, or misstates, anything between the key string and the first records."""
    init = block("shared-init")
    psk = shared_psk(KEY_STRING)
    assert psk == block("shared-psk")
    server = Noise("shared", prologue("shared", init[:8]), psk, initiator=False, e=b"\x22" * 32)
    assert server.read(init[8:]) == block("shared-hello-json")
    assert server.write(block("shared-welcome-json")) == block("shared-reply")[8:]
    assert server.split() == (block("split-client-to-server"), block("split-server-to-client"))
    assert server.hash == block("handshake-hash")
    from_client = Direction(server.split()[0], "aes256")
    assert from_client.open(block("record-ping")) == block("record-ping-json")
    assert from_client.open(block("record-data")) == block("record-item")


def test_a_server_written_from_the_document_understands_our_client_with_keys() -> None:
    """Fails if docs/protocol.md leaves out, or misstates, anything about envelope and handshake of the key tier."""
    init = block("key-init")
    assert public(b"\x66" * 32) == block("key-server-public")
    message = Envelope(block("key-server-public")).open(init)
    keys = {"s": b"\x66" * 32, "e": b"\x22" * 32}
    server = Noise("key", prologue("key", init[:8]), NO_PSK, initiator=False, **keys)
    assert server.read(message) == block("shared-hello-json")
    assert server.remote_static == block("key-client-public")
    assert server.write(block("shared-welcome-json")) == block("key-reply")[8:]
    assert server.split() == (block("key-split-client-to-server"), block("key-split-server-to-client"))
    assert server.hash == block("key-handshake-hash")


@pytest.mark.parametrize("name", ["shared", "key"])
def test_a_client_written_from_the_document_sends_what_ours_sends(name: str) -> None:
    """Fails if docs/protocol.md does not say all that a client needs for its first frame and the server's answer."""
    hello = block("shared-hello-json")
    if name == "key":
        statics = {"s": b"\x55" * 32, "rs": block("key-server-public")}
        client = Client("key", hello, NO_PSK, b"\x11" * 32, b"\x77" * 12, **statics)
    else:
        client = Client("shared", hello, shared_psk(KEY_STRING), b"\x11" * 32)
    assert client.first_frame == block(f"{name}-init")
    assert client.receive_answer(block(f"{name}-reply")) == json.loads(block("shared-welcome-json"))
    assert client.hash == block("handshake-hash" if name == "shared" else "key-handshake-hash")


def test_a_server_written_from_the_document_follows_a_rekey() -> None:
    """Fails if docs/protocol.md misstates what a rekey builds on, or where a direction changes its key."""
    init, reply = (json.loads(block(f"rekey-{name}-json")) for name in ("init", "reply"))
    chain = b"rustun rekey v1" + block("handshake-hash")
    server = Noise("shared", chain, shared_psk(KEY_STRING), initiator=False, e=b"\x44" * 32)
    assert server.read(base64.b64decode(init["noise"])) == b""
    assert server.write(b"") == base64.b64decode(reply["noise"])
    renewed, _ = server.split()
    assert renewed == block("rekey-client-to-server")
    old, new = Direction(block("split-client-to-server"), "aes256"), Direction(renewed, "aes256")
    for name in ("record-ping", "record-data"):
        old.open(block(name))
    assert json.loads(old.open(block("rekey-switch"))) == {"type": "rekey-switch"}
    assert json.loads(new.open(block("rekey-first-record")))["id"] == 1


# --- a living relay --------------------------------------------------------------------------------------------------


class Connected(RawPeer):
    """The document's client on a connection to a relay."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world)
        hello = {"identity": "m0", "version": "1", "ciphers": ["chacha20"], "keepalive": 10, "mtu": 1500}
        if name == "key":
            statics = {
                "s": private_key("m0").private_bytes_raw(),
                "rs": public(private_key("server").private_bytes_raw()),
            }
            self.peer = Client("key", json.dumps(hello).encode(), NO_PSK, b"\x11" * 32, b"\x77" * 12, **statics)
        else:
            self.peer = Client("shared", json.dumps(hello).encode(), shared_psk(KEY), b"\x11" * 32)
        self._read = 0

    def frames(self) -> list[bytes]:
        """Return the frames that came since the last call."""
        found = []
        while len(self.received) > self._read:
            end = self._read + 8 + struct.unpack_from("!H", self.received, self._read + 6)[0]
            found.append(bytes(self.received[self._read : end]))
            self._read = end
        return found

    def control(self) -> dict[str, list[dict[str, Any]]]:
        """Return the control messages that came since the last call, by type."""
        found: dict[str, list[dict[str, Any]]] = {}
        for frame in self.frames():
            message = json.loads(self.peer.receiving.open(frame))
            found.setdefault(message["type"], []).append(message)
        return found


@pytest.mark.parametrize("name", ["shared", "key"])
def test_a_client_written_from_the_document_is_a_member(make_world: MakeWorld, name: str) -> None:
    """Fails if somebody who has only docs/protocol.md could not write a client that a relay takes for one."""
    world = make_world(office(2), tier=Tier(name))
    (other,) = world.online("m1")
    me = Connected(world, name)
    me.send(me.peer.first_frame)
    (frame,) = me.frames()
    assert frame[5] == tier(name)[1][1]
    assert me.peer.receive_answer(frame)["address"] == "10.0.1.1/16"
    assert "m0" not in world.present
    me.send(me.peer.say(type="ping", id=5, rtt_ms=None))
    world.run(2.0)
    told = me.control()
    assert [pong["id"] for pong in told["pong"]] == [5]
    assert told["config"][0]["address6"] == "fd00:1::1/64"
    entries = {entry["identity"]: entry for page in told["directory"] for entry in page["members"]}
    assert (entries["m1"]["address"], entries["m1"]["online"]) == ("10.0.1.2", True)
    there = udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"there")
    me.send(me.peer.sending.seal(DATA, struct.pack("!BHH", 0, 0, len(there)) + there))
    assert other.packets == [there]
    exchange_packets_over_a_rekey(world, me, other)
    me.send(me.peer.say(type="goodbye", code="stopping", reason="the test is over"))
    assert me.ended
    assert "m0" not in world.present


def exchange_packets_over_a_rekey(world: World, me: Connected, other: Any) -> None:
    """Renew the keys between two packets from the other member."""
    back = [udp_packet("10.0.1.2", "10.0.1.1", (2, 1), b"back %d" % number) for number in range(2)]
    other.send(back[0])
    world.run()
    items = [me.peer.receiving.open(frame) for frame in me.frames() if frame[5] == DATA]
    me.send(me.peer.begin_rekey(b"\x33" * 32))
    (reply,) = me.control()["rekey-reply"]
    me.send(me.peer.finish_rekey(reply["noise"]) + me.peer.say(type="ping", id=6, rtt_ms=0.5))
    other.send(back[1])
    world.run()
    found = {frame[5]: me.peer.receiving.open(frame) for frame in me.frames()}
    assert json.loads(found[CONTROL]) == {"type": "pong", "id": 6}
    items.append(found[DATA])
    assert [item[5:] for item in items] == back
