"""The seed's JSON bodies: every key sent, any key missed, nothing of a peer's raises anything but ProtocolError."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive, SeedPeerDetail

WHOLE = 65_535
HOSTILE_TEXT = ["-j ACCEPT", "a[/b]", "[link=x]", "\x00", "a\nb", "\x1b[2J", "<script>", "\u202e", "$(reboot)", "%s"]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(HOSTILE_TEXT)
ports = st.integers(0, 65_535)
text_tuples = st.lists(texts, max_size=3).map(tuple)
peers = st.builds(
    SeedPeerDetail,
    name=texts,
    identity=texts,
    private_ip=texts,
    ciders=text_tuples,
    ipv6=texts,
    port=ports,
    stun_ip=texts,
    stun_port=ports,
    last_active=st.integers(0, 2**63 - 1),
)
peer_tuples = st.lists(peers, max_size=4).map(tuple)
keepalives = st.builds(
    SeedKeepAlive,
    name=texts,
    identity=texts,
    ipv6=texts,
    port=ports,
    stun_ip=texts,
    stun_port=ports,
    peer_details=peer_tuples,
)
replies = st.builds(
    SeedHandshakeReply,
    name=texts,
    private_ip=texts,
    mask=texts,
    gateway=texts,
    ciders=text_tuples,
    cider_mapping=st.dictionaries(texts, texts, max_size=3),
    peer_details=peer_tuples,
)
handshakes = st.builds(SeedHandshake, identity=texts.filter(bool))

# Bodies that are almost right: our keys with values of any kind.
json_leaves = st.none() | st.booleans() | st.integers(-5, 70_000) | st.floats(allow_nan=False) | texts
json_values = st.recursive(
    json_leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
KEYS = sorted({item.name for kind in (SeedKeepAlive, SeedHandshakeReply, SeedPeerDetail) for item in fields(kind)})
almost_peers = st.dictionaries(st.sampled_from(KEYS), json_values, max_size=8)
almost_bodies = st.dictionaries(
    st.sampled_from([*KEYS, "unknown"]), json_values | st.lists(almost_peers, max_size=3), max_size=8
)
MESSAGES: list[type[SeedHandshake] | type[SeedKeepAlive] | type[SeedHandshakeReply]] = [
    SeedHandshake,
    SeedKeepAlive,
    SeedHandshakeReply,
]


@given(st.one_of(handshakes, keepalives, replies))
def test_messages_come_back(message: SeedHandshake | SeedKeepAlive | SeedHandshakeReply) -> None:
    """Fails if a field is lost, renamed or mistaken for another between two ends."""
    data = message.encode(WHOLE)
    assert type(message).decode(data) == message
    assert type(message).decode(memoryview(data)) == message


@given(st.binary(max_size=120) | almost_bodies.map(json.dumps).map(str.encode))
def test_any_body_is_read_or_refused(data: bytes) -> None:
    """Fails if a body of a stranger raises anything but ProtocolError, or what was read cannot be sent on."""
    for kind in MESSAGES:
        try:
            message = kind.decode(data)
        except ProtocolError as error:
            assert "\n" not in error.message
        else:
            assert kind.decode(message.encode(WHOLE)) == message


def test_every_key_is_always_sent() -> None:
    """Fails if a seed's peer would refuse our message for a missing key."""
    peer = [{"name": "", "identity": "", "private_ip": "", "ciders": [], "ipv6": "", "port": 0, "stun_ip": "",
             "stun_port": 0, "last_active": 0}]  # fmt: skip
    assert json.loads(SeedKeepAlive(peer_details=(SeedPeerDetail(),)).encode(WHOLE)) == {
        "name": "", "identity": "", "ipv6": "", "port": 0, "stun_ip": "", "stun_port": 0, "peer_details": peer,
    }  # fmt: skip
    assert json.loads(SeedHandshakeReply(peer_details=(SeedPeerDetail(),)).encode(WHOLE)) == {
        "name": "", "private_ip": "", "mask": "", "gateway": "", "ciders": [], "cider_mapping": {},
        "peer_details": peer,
    }  # fmt: skip


def test_missing_and_unknown_keys_are_taken() -> None:
    """Fails if the seed's mobile clients, or a later version of it, could not join."""
    assert SeedHandshake.decode(b'{"identity":"a","future":{"x":[1]}}') == SeedHandshake("a")
    assert SeedKeepAlive.decode(b"{}") == SeedKeepAlive()
    assert SeedHandshakeReply.decode(b'{"peer_details":[{}]}') == SeedHandshakeReply(peer_details=(SeedPeerDetail(),))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"identity":""}',
        b'{"identity":null}',
        b'{"identity":["a"]}',
        b'{"identity":"' + b"a" * 257 + b'"}',
        b'{"identity":"' + "京".encode() * 86 + b'"}',  # 258 bytes, 86 characters
        b'{"identity":"a","identity":"b"}',
        b'{"identity":"\\ud800"}',
    ],
)
def test_a_handshake_needs_one_identity(body: bytes) -> None:
    """Fails if a member without a name, with two, or with 10 kB of it gets to the routing table."""
    with pytest.raises(ProtocolError):
        SeedHandshake.decode(body)


@pytest.mark.parametrize(
    "member",
    [
        '"name":1',
        '"name":"' + "n" * 1025 + '"',
        '"port":-1',
        '"port":65536',
        '"port":true',
        '"port":1.0',
        '"port":"80"',
        '"ipv6":null',
        '"stun_ip":"' + "1" * 129 + '"',
        '"peer_details":{}',
        '"peer_details":["a"]',
        '"peer_details":[{"last_active":-1}]',
        '"peer_details":[{"last_active":9223372036854775808}]',
        '"peer_details":[{"ciders":"10.0.0.0/8"}]',
        '"peer_details":[{"ciders":[1]}]',
        '"ciders":["' + "c" * 129 + '"]',
        '"cider_mapping":[]',
        '"cider_mapping":{"a":1}',
    ],
)
def test_wrong_types_and_sizes_are_refused(member: str) -> None:
    """Fails if a value of another type or size reaches code that trusts it."""
    kind = SeedHandshakeReply if member.startswith('"cider') else SeedKeepAlive
    with pytest.raises(ProtocolError):
        kind.decode(b"{" + member.encode() + b"}")


def fleet(count: int) -> tuple[SeedPeerDetail, ...]:
    return tuple(
        SeedPeerDetail(f"Member {number}", f"member-{number}", f"10.0.{number // 250}.{number % 250 + 1}",
                       (f"192.168.{number % 250}.0/24",), "2001:db8::1", 51258, "203.0.113.7", 40000, 1_760_000_000)
        for number in range(count)
    )  # fmt: skip


@pytest.mark.parametrize(
    "message", [SeedKeepAlive(peer_details=fleet(2000)), SeedHandshakeReply(peer_details=fleet(2000))]
)
def test_as_many_peers_as_fit_are_sent(message: SeedKeepAlive | SeedHandshakeReply) -> None:
    """Fails if a big cluster wraps a frame's length, stops everybody's news, or shrinks without being noticed."""
    for room in (WHOLE, WHOLE - 28, 1000):
        data = message.encode(room)
        sent = type(message).decode(data).peer_details
        assert len(data) <= room
        assert sent == message.peer_details[: len(sent)]
        assert message.fit(room)[1] == 2000 - len(sent) > 0
        next_entry = len(json.dumps(json.loads(data)["peer_details"][-1], separators=(",", ":"))) + 1
        assert room - len(data) < next_entry + 10  # no room is left for one more
    assert len(message.encode(1000)) > 700


def test_fitting_is_exact() -> None:
    """Fails if the last peer is left out although it fits, or sent although it does not."""
    message = SeedKeepAlive(peer_details=fleet(3))
    whole = message.encode(WHOLE)
    assert message.encode(len(whole)) == whole and message.fit(len(whole))[1] == 0
    assert message.fit(len(whole) - 1)[1] == 1
    without_peers = len(SeedKeepAlive().encode(WHOLE))
    assert message.fit(without_peers)[1] == 3
    with pytest.raises(ProtocolError, match="without peers"):
        message.encode(without_peers - 1)
    with pytest.raises(ProtocolError):
        SeedHandshake("a" * 100).encode(50)
