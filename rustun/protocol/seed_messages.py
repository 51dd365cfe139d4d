"""The JSON bodies of the seed's frames (docs/protocol.md, section 2).

Rules of this module
  1. Encoding always writes every key: the seed refuses a body that lacks one. Decoding takes any of them as missing
     ("" or 0 or nothing), because the seed's mobile clients leave some out, and passes over unknown ones.
  2. Keys are written in the order of the fields below, which is the seed's.
  3. A payload's length has 16 bits. Peers that do not fit are left out, from the end, and counted; nothing wraps.
  4. Strings stay strings here: whether "-j ACCEPT" is a prefix is asked where prefixes are used, what may be shown of
     a name where it is shown.
  5. Whatever bytes arrive, the only exception of a `decode` is ProtocolError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from rustun.errors import ProtocolError
from rustun.protocol.frames import MAX_PAYLOAD_BYTES
from rustun.protocol.strict_json import dumps, loads_object

MAX_IDENTITY_BYTES: Final = 256
MAX_NAME_BYTES: Final = 1024
MAX_ADDRESS_BYTES: Final = 128  # an IPv6 prefix takes 43; a zone or a port may be written behind it
MAX_PORT: Final = 0xFFFF
MAX_UNIX_SECONDS: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class SeedHandshake:
    """A client's first frame (0x01), and the body of the UDP probes 0x06 and 0x07."""

    identity: str

    def encode(self, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
        """Return the body; ProtocolError when it would be longer than `max_bytes`."""
        return _fit(self, (), max_bytes)[0]

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Read a body; ProtocolError for anything but one, or without an identity of 1 to 256 bytes."""
        identity = _Body.parse(data).text("identity", MAX_IDENTITY_BYTES)
        if not identity:
            raise ProtocolError("identity is missing or empty")
        return cls(identity)


@dataclass(frozen=True, slots=True)
class SeedPeerDetail:
    """What a member is told about another one; `last_active` in unix seconds, 0 = offline."""

    name: str = ""
    identity: str = ""
    private_ip: str = ""
    ciders: tuple[str, ...] = ()
    ipv6: str = ""
    port: int = 0
    stun_ip: str = ""
    stun_port: int = 0
    last_active: int = 0


class _PeerList:
    """What both messages that carry the directory of the cluster have in common."""

    __slots__ = ()
    peer_details: tuple[SeedPeerDetail, ...]

    def encode(self, max_bytes: int) -> bytes:
        """Return the body with as many peers as fit into `max_bytes`; ProtocolError when it is too long without any."""
        return self.fit(max_bytes)[0]

    def fit(self, max_bytes: int) -> tuple[bytes, int]:
        """Return the same body, and how many peers it leaves out."""
        return _fit(self, self.peer_details, max_bytes)


@dataclass(frozen=True, slots=True)
class SeedKeepAlive(_PeerList):
    """Sign of life in both directions (0x02); the server's carries the directory of the cluster."""

    name: str = ""
    identity: str = ""
    ipv6: str = ""
    port: int = 0
    stun_ip: str = ""
    stun_port: int = 0
    peer_details: tuple[SeedPeerDetail, ...] = ()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Read a body; ProtocolError for anything but one."""
        body = _Body.parse(data)
        return cls(
            name=body.text("name", MAX_NAME_BYTES),
            identity=body.text("identity", MAX_IDENTITY_BYTES),
            ipv6=body.text("ipv6", MAX_ADDRESS_BYTES),
            port=body.number("port", MAX_PORT),
            stun_ip=body.text("stun_ip", MAX_ADDRESS_BYTES),
            stun_port=body.number("stun_port", MAX_PORT),
            peer_details=body.peer_details(),
        )


@dataclass(frozen=True, slots=True)
class SeedHandshakeReply(_PeerList):
    """What the server gives a member (0x04); `cider_mapping`: prefix that the cluster sees -> real LAN behind it."""

    name: str = ""
    private_ip: str = ""
    mask: str = ""
    gateway: str = ""
    ciders: tuple[str, ...] = ()
    cider_mapping: Mapping[str, str] = field(default_factory=dict)
    peer_details: tuple[SeedPeerDetail, ...] = ()

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """Read a body; ProtocolError for anything but one."""
        body = _Body.parse(data)
        return cls(
            name=body.text("name", MAX_NAME_BYTES),
            private_ip=body.text("private_ip", MAX_ADDRESS_BYTES),
            mask=body.text("mask", MAX_ADDRESS_BYTES),
            gateway=body.text("gateway", MAX_ADDRESS_BYTES),
            ciders=body.texts("ciders"),
            cider_mapping=body.text_map("cider_mapping"),
            peer_details=body.peer_details(),
        )


class _Body:
    """One JSON object whose members are read with their types and limits; a missing one is empty or 0."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    @classmethod
    def parse(cls, data: bytes | memoryview) -> Self:
        return cls(loads_object(data, max_bytes=MAX_PAYLOAD_BYTES))

    def text(self, key: str, max_bytes: int) -> str:
        return _text(key, self._members.get(key, ""), max_bytes)

    def number(self, key: str, greatest: int) -> int:
        value = self._members.get(key, 0)
        if type(value) is not int or not 0 <= value <= greatest:  # a bool is an int to isinstance
            raise ProtocolError(f"{key} is not a number from 0 to {greatest}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(_text(key, value, MAX_ADDRESS_BYTES) for value in self._list(key))

    def text_map(self, key: str) -> dict[str, str]:
        value = self._members.get(key, {})
        if not isinstance(value, dict):
            raise ProtocolError(f"{key} is not an object")
        return {_text(key, k, MAX_ADDRESS_BYTES): _text(key, v, MAX_ADDRESS_BYTES) for k, v in value.items()}

    def peer_details(self) -> tuple[SeedPeerDetail, ...]:
        return tuple(_peer_detail(entry) for entry in self._list("peer_details"))

    def _list(self, key: str) -> list[object]:
        value = self._members.get(key, [])
        if not isinstance(value, list):
            raise ProtocolError(f"{key} is not a list")
        return value


def _peer_detail(entry: object) -> SeedPeerDetail:
    if not isinstance(entry, dict):
        raise ProtocolError("an entry of peer_details is not an object")
    body = _Body(entry)
    return SeedPeerDetail(
        name=body.text("name", MAX_NAME_BYTES),
        identity=body.text("identity", MAX_IDENTITY_BYTES),
        private_ip=body.text("private_ip", MAX_ADDRESS_BYTES),
        ciders=body.texts("ciders"),
        ipv6=body.text("ipv6", MAX_ADDRESS_BYTES),
        port=body.number("port", MAX_PORT),
        stun_ip=body.text("stun_ip", MAX_ADDRESS_BYTES),
        stun_port=body.number("stun_port", MAX_PORT),
        last_active=body.number("last_active", MAX_UNIX_SECONDS),
    )


def _text(key: str, value: object, max_bytes: int) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"{key} is not a string")
    if len(value.encode()) > max_bytes:
        raise ProtocolError(f"{key} is longer than {max_bytes} bytes")
    return value


def _members(record: Any) -> dict[str, object]:  # any of the records above
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _fit(message: SeedHandshake | _PeerList, peers: tuple[SeedPeerDetail, ...], max_bytes: int) -> tuple[bytes, int]:
    """Return the body and how many of `peers` it leaves out; `peer_details`, where there is one, is its last key."""
    members = _members(message)
    if "peer_details" in members:
        members["peer_details"] = ()
    body = dumps(members)
    if len(body) > max_bytes:
        raise ProtocolError(f"{type(message).__name__} of {len(body)} bytes without peers, at most {max_bytes} fit")
    room = max_bytes - len(body)
    entries: list[bytes] = []
    for peer in peers:
        entry = dumps(_members(peer))
        room -= len(entry) + (1 if entries else 0)  # a comma before each but the first
        if room < 0:
            break
        entries.append(entry)
    if entries:
        body = body[:-2] + b",".join(entries) + b"]}"
    return body, len(peers) - len(entries)
