"""Control messages: each comes back as it was said, and what is out of range ends the session, not the process."""

from __future__ import annotations

import json
import typing

import pytest

from rustun.config.member import MAX_CIDERS
from rustun.errors import ProtocolError
from rustun.protocol import control
from rustun.protocol.control import (
    MAX_CONTROL_BYTES,
    MAX_COUNTER,
    MAX_NOISE_BYTES,
    Config,
    Directory,
    DirectoryEntry,
    Goodbye,
    Message,
    Ping,
    Pong,
    Presence,
    PresenceAsk,
    RekeyAsk,
    RekeyInit,
    RekeyReply,
    RekeySwitch,
    decode,
    encode,
)

ENTRY = DirectoryEntry("sh-dev", "Shanghai", "10.0.1.3", "fd00::3", ("192.168.9.0/24", "fd09::/64"), True)
MESSAGES: list[Message] = [
    Ping(0),
    Ping(MAX_COUNTER, 0.25),
    Pong(7),
    Config("Development", "10.0.1.2/24", "fd00::2/64", ("192.168.0.0/24",), {"192.168.0.0/24": "192.168.1.0/24"}),
    Config("", "10.0.1.2/24", "", (), {}),
    Directory(5, 4, 0, 2, (ENTRY, DirectoryEntry("é", "", "", "", (), None)), ("gone", "left")),
    Directory(1, 0, 0, 1, (), ()),
    RekeyInit(bytes(range(48))),
    RekeyReply(b"\0"),
    RekeySwitch(),
    RekeyAsk(),
    PresenceAsk(("m0", "m1")),
    Presence(("m0",), ("m1",)),
    Goodbye("stopping", "the server stops", 2.5),
    Goodbye("superseded", "", 0.0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_as_they_were_said(message: Message) -> None:
    """If this fails, two peers understand one message differently."""
    data = encode(message)
    assert json.loads(data)["type"] == message.type
    assert decode(data, MAX_CONTROL_BYTES) == message
    assert decode(memoryview(data), len(data)) == message
    with pytest.raises(ProtocolError):
        decode(data, len(data) - 1)


def test_every_message_has_its_reader() -> None:
    """If this fails, one end says what the other calls unknown, and the session ends."""
    kinds = typing.get_args(Message)
    assert set(kinds) == {type(message) for message in MESSAGES}
    assert {kind.type for kind in kinds} == set(control._PARSERS)


WRONG: list[tuple[str, dict[str, object]]] = [
    ("no type", {"id": 1}),
    ("unknown type", {"type": "teleport"}),
    ("type is a number", {"type": 5}),
    ("long type", {"type": "p" * 33}),
    ("no id", {"type": "ping"}),
    ("negative id", {"type": "ping", "id": -1}),
    ("id beyond a float", {"type": "pong", "id": MAX_COUNTER + 1}),
    ("id is a bool", {"type": "pong", "id": True}),
    ("rtt is a text", {"type": "ping", "id": 1, "rtt_ms": "fast"}),
    ("negative rtt", {"type": "ping", "id": 1, "rtt_ms": -1}),
    ("no address", {"type": "config"}),
    ("no such address", {"type": "config", "address": "10.0.1.300/24"}),
    ("no such prefix length", {"type": "config", "address": "10.0.1.2/33"}),
    ("IPv6 address is a name", {"type": "config", "address": "10.0.1.2/24", "address6": "host"}),
    ("host bits", {"type": "config", "address": "10.0.1.2/24", "prefixes": ["10.0.1.1/24"]}),
    ("a command", {"type": "config", "address": "10.0.1.2/24", "prefixes": ["-j ACCEPT"]}),
    ("mapped to a name", {"type": "config", "address": "10.0.1.2/24", "mapping": {"10.0.0.0/24": "lan"}}),
    ("mapped from a name", {"type": "config", "address": "10.0.1.2/24", "mapping": {"lan": "10.0.0.0/24"}}),
    ("long name", {"type": "config", "address": "10.0.1.2/24", "name": "n" * 1025}),
    ("no generation", {"type": "directory", "base": 0, "page": 0, "pages": 1}),
    ("generation 0", {"type": "directory", "generation": 0, "base": 0, "page": 0, "pages": 1}),
    ("no pages", {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 0}),
    ("page behind the last", {"type": "directory", "generation": 1, "base": 0, "page": 1, "pages": 1}),
    ("too many pages", {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 10_001}),
    ("members are texts", {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 1, "members": ["a"]}),
    ("member has no name", {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 1, "members": [{}]}),
    ("gone is a text", {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 1, "gone": "abc"}),
    ("no noise", {"type": "rekey-init"}),
    ("noise is not Base64", {"type": "rekey-reply", "noise": "!!!!"}),
    ("long noise", {"type": "rekey-init", "noise": "AAAA" * MAX_NOISE_BYTES}),
    ("reason is a list", {"type": "goodbye", "reason": []}),
    ("long reason", {"type": "goodbye", "reason": "r" * 257}),
    ("endless window", {"type": "goodbye", "reason": "", "window": 3601}),
]


@pytest.mark.parametrize("fields", [fields for _, fields in WRONG], ids=[name for name, _ in WRONG])
def test_what_is_out_of_range_is_a_protocol_error(fields: dict[str, object]) -> None:
    """If this fails, a peer puts something into our tables, routes or logs that must not be there."""
    with pytest.raises(ProtocolError):
        decode(json.dumps(fields).encode(), MAX_CONTROL_BYTES)


def test_many_items_are_refused_before_they_are_built() -> None:
    """If this fails, one message of a client costs the relay milliseconds for everybody."""
    gone = json.dumps({"type": "directory", "gone": [""] * 9000}).encode()
    with pytest.raises(ProtocolError, match="items"):
        decode(gone, MAX_CONTROL_BYTES)


def test_the_largest_entry_of_a_file_can_be_told() -> None:
    """If this fails, one member with many LANs ends every session of its cluster, again and again."""
    prefixes = tuple(f"fd00:1111:2222:3333:4444:5555:{0x6000 + number:x}:0/112" for number in range(MAX_CIDERS))
    config = Config("\\" * 255, "10.0.1.2/24", "fd00::2/64", prefixes, {prefix: prefix for prefix in prefixes})
    assert decode(encode(config), MAX_CONTROL_BYTES) == config
    entry = DirectoryEntry("\\" * 255, "\\" * 255, "10.0.1.2", "fd00::2", prefixes, True)
    directory = Directory(MAX_COUNTER, MAX_COUNTER - 1, 0, 1, (entry,), ())
    assert decode(encode(directory), MAX_CONTROL_BYTES) == directory


def test_a_peer_cannot_say_who_it_is() -> None:
    """If this fails, a field inside a message overrides what the handshake proved."""
    for message in MESSAGES:
        if not isinstance(message, Config):
            assert not {"identity", "cluster", "address"} & message.fields().keys()


@pytest.mark.parametrize("zone", ["eth0", "\x1b[31m", " "])
def test_nothing_that_a_peer_names_has_a_zone(zone: str) -> None:
    """A server routes a client's own LAN into the tunnel by a second spelling, or writes on its operator's terminal."""
    entry = {"identity": "a", "name": "", "address": "10.0.0.1", "address6": "", "prefixes": []}
    page = {"type": "directory", "generation": 1, "base": 0, "page": 0, "pages": 1, "gone": []}
    config = {"type": "config", "name": "", "address": "10.0.0.1/24", "address6": "", "prefixes": [], "mapping": {}}
    bad = f"fd00:1::%{zone}"
    for message in (
        {**page, "members": [{**entry, "prefixes": [f"{bad}/64"]}]},
        {**page, "members": [{**entry, "address6": bad}]},
        {**config, "prefixes": [f"{bad}/64"]},
        {**config, "address6": f"{bad}/64"},
        {**config, "mapping": {f"{bad}/64": "fd00:2::/64"}},
    ):
        with pytest.raises(ProtocolError):
            decode(json.dumps(message).encode(), 60_000)
    decode(json.dumps({**page, "members": [entry]}).encode(), 60_000)
    decode(json.dumps(config).encode(), 60_000)
