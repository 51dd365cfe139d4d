"""Rekey: fresh keys in a living session, bound to the handshake before, and no record lost at the switch."""

from __future__ import annotations

import random
from collections import deque

import pytest

from rustun.errors import ProtocolError
from rustun.protocol import records
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import Message, RekeyInit, RekeyReply, RekeySwitch, decode, encode
from rustun.protocol.frames import FrameType
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.records import KEY_LIFE_SECONDS, REKEY_AFTER_SECONDS, Cipher
from rustun.protocol.rekey import RekeyClient, RekeyServer, rekey_is_due
from rustun.protocol.suites import SHARED, Credentials

PSK = bytes(range(32))
FIRST_HASH = bytes([9]) * 32
FIRST_KEYS = SessionKeys(bytes([1]) * 32, bytes([2]) * 32, FIRST_HASH)


def pair() -> tuple[RekeyClient, RekeyServer]:
    return RekeyClient(Credentials(SHARED, PSK), FIRST_HASH), RekeyServer(Credentials(SHARED, PSK), FIRST_HASH)


def one_rekey(client: RekeyClient, server: RekeyServer, number: int) -> SessionKeys:
    under_way = [client.under_way]
    init = client.begin(bytes([number]) * 32)
    under_way.append(client.under_way)
    reply, server_keys = server.receive(init, bytes([number + 100]) * 32)
    client_keys = client.receive(reply)
    assert [*under_way, client.under_way] == [False, True, False]
    assert server.switch(RekeySwitch()) == server_keys == client_keys
    return client_keys


def test_each_rekey_gives_both_sides_fresh_keys() -> None:
    """If this fails, a session dies at its first rekey, or goes on with keys that were used before."""
    client, server = pair()
    seen = {FIRST_KEYS.client_to_server, FIRST_KEYS.server_to_client, FIRST_HASH}
    for number in range(1, 6):
        keys = one_rekey(client, server, number)
        fresh = {keys.client_to_server, keys.server_to_client, keys.handshake_hash}
        assert len(fresh) == 3
        assert not fresh & seen
        seen |= fresh


def test_a_rekey_is_bound_to_the_handshake_before() -> None:
    """If this fails, a rekey message of another session, or of an earlier rekey, can be moved into this one."""
    client, server = pair()
    with pytest.raises(ProtocolError):
        RekeyServer(Credentials(SHARED, PSK), bytes(32)).receive(client.begin(bytes([1]) * 32), bytes([2]) * 32)
    client, server = pair()
    init = client.begin(bytes([1]) * 32)
    reply, _ = server.receive(init, bytes([101]) * 32)
    client.receive(reply)
    server.switch(RekeySwitch())
    with pytest.raises(ProtocolError):
        server.receive(init, bytes([3]) * 32)
    client.begin(bytes([4]) * 32)
    with pytest.raises(ProtocolError):
        client.receive(reply)


def test_messages_out_of_order_are_refused() -> None:
    """If this fails, a peer moves the other side to keys that it does not have itself."""
    client, server = pair()
    with pytest.raises(ProtocolError, match="nobody asked"):
        client.receive(RekeyReply(bytes(48)))
    with pytest.raises(ProtocolError, match="without a rekey"):
        server.switch(RekeySwitch())
    reply, _ = server.receive(client.begin(bytes([1]) * 32), bytes([2]) * 32)
    with pytest.raises(ProtocolError, match="second rekey"):
        server.receive(client.begin(bytes([3]) * 32), bytes([4]) * 32)
    server.switch(RekeySwitch())
    with pytest.raises(ProtocolError, match="without a rekey"):
        server.switch(RekeySwitch())
    with pytest.raises(ProtocolError):  # the answer to the first, while the second is awaited
        client.receive(reply)


def test_altered_rekey_messages_are_refused() -> None:
    """If this fails, whoever once learned the record keys can put himself into the middle of the next ones."""
    client, server = pair()
    init = client.begin(bytes([1]) * 32)
    reply, _ = server.receive(init, bytes([2]) * 32)
    for position in range(0, 48, 5):
        flip = bytes(at == position for at in range(48))
        altered = bytes(one ^ other for one, other in zip(init.noise, flip, strict=True))
        with pytest.raises(ProtocolError):
            RekeyServer(Credentials(SHARED, PSK), FIRST_HASH).receive(RekeyInit(altered), bytes([2]) * 32)
        fresh = RekeyClient(Credentials(SHARED, PSK), FIRST_HASH)
        fresh.begin(bytes([1]) * 32)
        altered = bytes(one ^ other for one, other in zip(reply.noise, flip, strict=True))
        with pytest.raises(ProtocolError):
            fresh.receive(RekeyReply(altered))
    assert client.receive(reply) == server.switch(RekeySwitch())


def test_another_key_cannot_rekey() -> None:
    """If this fails, the record keys alone are enough to go on for ever."""
    client = RekeyClient(Credentials(SHARED, bytes(32)), FIRST_HASH)
    with pytest.raises(ProtocolError):
        RekeyServer(Credentials(SHARED, PSK), FIRST_HASH).receive(client.begin(bytes([1]) * 32), bytes([2]) * 32)


def test_a_rekey_is_due_by_age_or_by_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a session under full load runs into the limit of its key and dies."""
    assert REKEY_AFTER_SECONDS < KEY_LIFE_SECONDS
    monkeypatch.setattr(records, "MAX_RECORDS_AES", 8)
    codec = RecordCodec(Cipher.AES256, FIRST_KEYS, is_client=True, now=50.0)
    assert not rekey_is_due(codec, 50.0 + REKEY_AFTER_SECONDS - 0.1)
    assert rekey_is_due(codec, 50.0 + REKEY_AFTER_SECONDS)
    due = []
    while codec.alive(50.0):
        codec.seal_control(b"x")
        due.append(rekey_is_due(codec, 50.0))
    assert due == [False] * 5 + [True] * 3
    received = RecordCodec(Cipher.AES256, FIRST_KEYS, is_client=False, now=50.0)
    peer = RecordCodec(Cipher.AES256, FIRST_KEYS, is_client=True, now=50.0)
    for _ in range(6):
        received.open_control(memoryview(peer.seal_control(b"x")), memoryview(bytearray(100)))
    assert rekey_is_due(received, 50.0)  # what comes in counts as well


class Side:
    """One side of a session as both sessions do it: a codec, frames on the way, and the rekey's rules."""

    def __init__(self, rng: random.Random, *, is_client: bool) -> None:
        self.codec = RecordCodec(Cipher.CHACHA20, FIRST_KEYS, is_client=is_client, now=0.0)
        self.client, self.server = pair()
        self.sent: list[bytes] = []
        self.received: list[bytes] = []
        self.wire: deque[bytes] = deque()
        self.switches = 0
        self._rng = rng

    def send_data(self) -> None:
        run = self._rng.randbytes(self._rng.randint(1, 40))
        out = memoryview(bytearray(100))
        self.wire.append(bytes(out[: self.codec.seal_items(run, out, 0)]))
        self.sent.append(run)

    def say(self, message: Message) -> None:
        self.wire.append(self.codec.seal_control(encode(message)))

    def take(self, frame: bytes) -> None:
        plain = memoryview(bytearray(2000))
        if frame[5] == FrameType.DATA:
            self.received.append(bytes(plain[: self.codec.open_data(memoryview(frame), plain, 0)]))
            return
        message = decode(self.codec.open_control(memoryview(frame), plain), 2000)
        if isinstance(message, RekeyInit):
            reply, keys = self.server.receive(message, self._rng.randbytes(32))
            self.say(reply)
            self.codec.replace_sealer(keys, 0.0)
        elif isinstance(message, RekeyReply):
            keys = self.client.receive(message)
            self.codec.replace_opener(keys, 0.0)
            self.say(RekeySwitch())
            self.codec.replace_sealer(keys, 0.0)
            self.switches += 1
        elif isinstance(message, RekeySwitch):
            self.codec.replace_opener(self.server.switch(message), 0.0)
            self.switches += 1


@pytest.mark.parametrize("seed", range(5))
def test_no_packet_is_lost_at_the_switch(seed: int) -> None:
    """If this fails, a rekey under load ends the session, because a record meets the wrong key."""
    rng = random.Random(seed)
    client, server = Side(rng, is_client=True), Side(rng, is_client=False)
    for _ in range(600):
        rng.choice((client, server)).send_data()
        if rng.random() < 0.02 and client.switches == server.switches and not client.client.under_way:
            client.say(client.client.begin(rng.randbytes(32)))
        for sender, receiver in ((client, server), (server, client)):
            for _ in range(rng.randint(0, 3)):
                if sender.wire:
                    receiver.take(sender.wire.popleft())
    while client.wire or server.wire:
        for sender, receiver in ((client, server), (server, client)):
            if sender.wire:
                receiver.take(sender.wire.popleft())
    assert (client.sent, server.sent) == (server.received, client.received)
    assert client.switches == server.switches > 3
