"""Messages inside frames: a record that encodes to the same meaning, or our protocol error; nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol import control
from rustun.protocol.handshake import Hello, decode_answer
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive
from rustun.protocol.strict_json import loads_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.sampled_from(["10.0.1.1", "10.0.1.1/24", "192.168.1.0/24", "fd00::/64", "AAAA", "0.0.0.0/0", "a" * 300])
NUMBERS = st.integers(-1, 2**63)
VALUES = TEXTS | NUMBERS | JSON | st.lists(TEXTS, max_size=3) | st.dictionaries(TEXTS, TEXTS, max_size=2)


def objects(*keys: str) -> st.SearchStrategy[bytes]:
    """Return texts of JSON objects that have some of these keys, with values near and far from right ones."""
    fields = st.dictionaries(st.sampled_from(keys), VALUES, max_size=len(keys))
    return fields.map(lambda value: json.dumps(value).encode())


ENTRIES = st.fixed_dictionaries(
    {"identity": TEXTS, "name": TEXTS, "address": TEXTS, "address6": TEXTS, "prefixes": st.lists(TEXTS, max_size=2)},
    optional={"online": st.booleans() | JSON, "generation": NUMBERS},
)
CONTROL = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(control._PARSERS)) | TEXTS},
    optional={
        "id": NUMBERS, "rtt_ms": st.floats() | JSON, "name": TEXTS, "address": TEXTS | JSON, "address6": TEXTS,
        "prefixes": st.lists(TEXTS, max_size=3) | JSON, "mapping": st.dictionaries(TEXTS, TEXTS, max_size=2) | JSON,
        "generation": NUMBERS, "base": NUMBERS, "page": st.integers(-1, 3), "pages": st.integers(-1, 3),
        "members": st.lists(ENTRIES, max_size=3) | JSON, "gone": st.lists(TEXTS, max_size=2), "noise": TEXTS,
        "reason": TEXTS, "window": st.floats() | NUMBERS,
    },
).map(lambda value: json.dumps(value).encode())  # fmt: skip
PEERS = ("name", "identity", "private_ip", "mask", "gateway", "ciders", "cider_mapping", "port", "stun_ip", "stun_port",
         "ipv6", "last_active", "peer_details", "others", "cluster")  # fmt: skip


@given(st.binary(max_size=300) | CONTROL)
def test_control_messages_keep_their_meaning_or_are_refused(data: bytes) -> None:
    """A member could end the relay, or two releases would understand one message differently."""
    try:
        message = control.decode(data, 4096)
    except ProtocolError:
        return
    assert control.decode(control.encode(message), 1 << 16) == message


@given(st.binary(max_size=300) | objects("identity", "version", "ciphers", "offloads", "keepalive", "mtu"))
def test_hellos_keep_their_meaning_or_are_refused(data: bytes) -> None:
    """A client that knows the key could end the server with its first message."""
    try:
        hello = Hello.decode(data)
    except ProtocolError:
        return
    assert Hello.decode(hello.encode()) == hello


@given(st.binary(max_size=300) | objects("cipher", "address", "address6", "name", "version", "refused", "reason"))
def test_answers_keep_their_meaning_or_are_refused(data: bytes) -> None:
    """A server could end its clients with its first message."""
    try:
        answer = decode_answer(data)
    except ProtocolError:
        return
    assert decode_answer(answer.encode()) == answer


@given(st.sampled_from([SeedHandshake, SeedKeepAlive, SeedHandshakeReply]), st.binary(max_size=300) | objects(*PEERS))
def test_seed_messages_keep_their_meaning_or_are_refused(
    kind: type[SeedHandshake | SeedKeepAlive | SeedHandshakeReply], data: bytes
) -> None:
    """A seed peer could end one of ours, or be told another thing than it said."""
    try:
        message = kind.decode(data)
    except ProtocolError:
        return
    assert kind.decode(message.encode(65535)) == message


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.integers(0, 400), st.integers(0, 255))
def test_strict_json_takes_only_what_is_one_thing(value: dict[str, object], position: int, byte: int) -> None:
    """Two readers of one text could see two things in it."""
    data = bytearray(json.dumps(value).encode())
    data[position % len(data)] = byte
    try:
        found = loads_object(bytes(data), max_bytes=4096)
    except ProtocolError:
        return
    assert found == json.loads(bytes(data))
