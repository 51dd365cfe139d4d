"""Control messages of the Noise tiers: JSON objects in control records (docs/protocol.md, section 5).

Rules of this module
  1. A message is one frozen record; `encode` makes bytes of it, `decode` the record of bytes.
  2. Whatever bytes come, `decode` raises ProtocolError or returns; an unknown type is a ProtocolError too, since both
     ends agreed on a version.
  3. No message names a session's own identity, cluster or address: these belong to the session.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface, ip_network
from typing import ClassVar, Final

from rustun.errors import ProtocolError
from rustun.protocol.fields import base64_bytes, boolean, integer, number, objects, string_map, strings, text
from rustun.protocol.handshake import MAX_IDENTITY_BYTES
from rustun.protocol.strict_json import MAX_DEPTH, MAX_ITEMS, dumps, loads_object

MAX_CONTROL_BYTES: Final = 60_000  # what either side may send in one control record
MAX_CLIENT_CONTROL_BYTES: Final = 16_384  # what a server takes from a client
MAX_NAME_BYTES: Final = 1024
MAX_ASKED: Final = 200  # members in one question about presence
MAX_PAGES: Final = 10_000
MAX_COUNTER: Final = (1 << 53) - 1  # every JSON reader holds such a number exactly
MAX_NOISE_BYTES: Final = 512

Prefix = IPv4Network | IPv6Network


def parse_prefix(value: str) -> Prefix:
    """Read a prefix that a peer sent. Raises ProtocolError for host bits, a zone or anything that is no prefix."""
    try:
        return ip_network(_without_zone(value))
    except ValueError:
        raise ProtocolError(f"not a prefix: {value[:64]!r}") from None


def _without_zone(value: str) -> str:
    """Return the text; ValueError for fd00::%eth0 and the like: a second spelling, of any characters (RFC 4007)."""
    if "%" in value:
        raise ValueError("names a zone")
    return value


def parse_interface(value: str) -> IPv4Interface | IPv6Interface:
    """Read an address, with or without a prefix length, that a peer sent. Raises ProtocolError; for a zone, too."""
    try:
        return ip_interface(_without_zone(value))
    except ValueError:
        raise ProtocolError(f"not an address: {value[:64]!r}") from None


def _check_interface(value: str) -> str:
    if value:
        parse_interface(value)
    return value


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a Pong; the client's first record is one and proves that it holds the keys."""

    type: ClassVar[str] = "ping"
    id: int
    rtt_ms: float | None = None  # what the sender last measured, for the other side's status

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"id": self.id, "rtt_ms": self.rtt_ms}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Ping:
        """Read a peer's message. Raises ProtocolError."""
        return cls(integer(fields, "id", 0, MAX_COUNTER), number(fields, "rtt_ms", 0, 1e9))


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers the Ping of that id."""

    type: ClassVar[str] = "pong"
    id: int

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"id": self.id}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Pong:
        """Read a peer's message. Raises ProtocolError."""
        return cls(integer(fields, "id", 0, MAX_COUNTER))


@dataclass(frozen=True, slots=True)
class Config:
    """The server tells a client its own entry: after the first valid record and whenever it changes."""

    type: ClassVar[str] = "config"
    name: str
    address: str
    address6: str
    prefixes: tuple[str, ...]
    mapping: dict[str, str]

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {
            "name": self.name,
            "address": self.address,
            "address6": self.address6,
            "prefixes": list(self.prefixes),
            "mapping": self.mapping,
        }

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Config:
        """Read a peer's message. Raises ProtocolError."""
        mapping = string_map(fields, "mapping")
        prefixes = tuple(strings(fields, "prefixes"))
        for prefix in (*prefixes, *mapping, *mapping.values()):
            parse_prefix(prefix)
        return cls(
            text(fields, "name", 0, MAX_NAME_BYTES),
            _check_interface(text(fields, "address", 1, 64)),
            _check_interface(text(fields, "address6", 0, 64)),
            prefixes,
            mapping,
        )


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One other member of the cluster; `prefixes` are its LANs, `online` is None where presence is not told."""

    identity: str
    name: str
    address: str
    address6: str
    prefixes: tuple[str, ...]
    online: bool | None

    def fields(self) -> dict[str, object]:
        """Return what travels."""
        return {
            "identity": self.identity,
            "name": self.name,
            "address": self.address,
            "address6": self.address6,
            "prefixes": list(self.prefixes),
            "online": self.online,
        }

    @classmethod
    def parse(cls, fields: dict[str, object]) -> DirectoryEntry:
        """Read one entry. Raises ProtocolError."""
        prefixes = tuple(strings(fields, "prefixes"))
        for prefix in prefixes:
            parse_prefix(prefix)
        return cls(
            text(fields, "identity", 1, MAX_IDENTITY_BYTES),
            text(fields, "name", 0, MAX_NAME_BYTES),
            _check_interface(text(fields, "address", 0, 64)),
            _check_interface(text(fields, "address6", 0, 64)),
            prefixes,
            None if fields.get("online") is None else boolean(fields, "online"),
        )


@dataclass(frozen=True, slots=True)
class Directory:
    """One page of what changed in the cluster since generation `base`; base 0 replaces everything known.

    The receiver applies all pages of a generation together, when the last one has come.
    """

    type: ClassVar[str] = "directory"
    generation: int
    base: int
    page: int
    pages: int
    members: tuple[DirectoryEntry, ...]
    gone: tuple[str, ...]

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {
            "generation": self.generation,
            "base": self.base,
            "page": self.page,
            "pages": self.pages,
            "members": [member.fields() for member in self.members],
            "gone": list(self.gone),
        }

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Directory:
        """Read a peer's message. Raises ProtocolError."""
        pages = integer(fields, "pages", 1, MAX_PAGES)
        return cls(
            integer(fields, "generation", 1, MAX_COUNTER),
            integer(fields, "base", 0, MAX_COUNTER),
            integer(fields, "page", 0, pages - 1),
            pages,
            tuple(DirectoryEntry.parse(entry) for entry in objects(fields, "members")),
            tuple(strings(fields, "gone")),
        )


@dataclass(frozen=True, slots=True)
class PresenceAsk:
    """The client asks who of these is online, where a cluster is too large for presence to be told unasked."""

    type: ClassVar[str] = "presence-ask"
    identities: tuple[str, ...]

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"identities": list(self.identities)}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> PresenceAsk:
        """Read a peer's message. Raises ProtocolError."""
        return cls(_identities(fields, "identities"))


@dataclass(frozen=True, slots=True)
class Presence:
    """The server's answer: who of those asked for is online and who is not; strangers to the cluster are in neither."""

    type: ClassVar[str] = "presence"
    online: tuple[str, ...]
    offline: tuple[str, ...]

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"online": list(self.online), "offline": list(self.offline)}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Presence:
        """Read a peer's message. Raises ProtocolError."""
        return cls(_identities(fields, "online"), _identities(fields, "offline"))


def _identities(fields: dict[str, object], key: str) -> tuple[str, ...]:
    identities = tuple(strings(fields, key))
    if len(identities) > MAX_ASKED:
        raise ProtocolError(f"{key!r} names {len(identities)} members, at most {MAX_ASKED} are allowed")
    return identities


@dataclass(frozen=True, slots=True)
class _NoiseMessage:
    noise: bytes

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"noise": base64.b64encode(self.noise).decode()}


@dataclass(frozen=True, slots=True)
class RekeyInit(_NoiseMessage):
    """The client begins a rekey: message 1 of a new handshake; sent under the old keys."""

    type: ClassVar[str] = "rekey-init"

    @classmethod
    def parse(cls, fields: dict[str, object]) -> RekeyInit:
        """Read a peer's message. Raises ProtocolError."""
        return cls(base64_bytes(fields, "noise", MAX_NOISE_BYTES))


@dataclass(frozen=True, slots=True)
class RekeyReply(_NoiseMessage):
    """The server's message 2; its next record is sealed with the new key."""

    type: ClassVar[str] = "rekey-reply"

    @classmethod
    def parse(cls, fields: dict[str, object]) -> RekeyReply:
        """Read a peer's message. Raises ProtocolError."""
        return cls(base64_bytes(fields, "noise", MAX_NOISE_BYTES))


@dataclass(frozen=True, slots=True)
class RekeySwitch:
    """The client's last record under the old key; its next one is sealed with the new key."""

    type: ClassVar[str] = "rekey-switch"

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> RekeySwitch:
        """Read a peer's message."""
        return cls()


@dataclass(frozen=True, slots=True)
class RekeyAsk:
    """The server asks the client to begin a rekey; passed over while one is under way."""

    type: ClassVar[str] = "rekey-ask"

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> RekeyAsk:
        """Read a peer's message."""
        return cls()


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The last record of a session.

    Attributes:
        code: a fixed word; what it asks of the receiver stands in docs/protocol.md, section 5.
        reason: for people.
        window_seconds: a client is asked to spread its return over that time.
    """

    type: ClassVar[str] = "goodbye"
    code: str
    reason: str
    window_seconds: float = 0.0

    def fields(self) -> dict[str, object]:
        """Return what travels beside the type."""
        return {"code": self.code, "reason": self.reason, "window": self.window_seconds}

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Goodbye:
        """Read a peer's message. Raises ProtocolError."""
        return cls(
            text(fields, "code", 1, 64), text(fields, "reason", 0, 256), number(fields, "window", 0, 3600) or 0.0
        )


RekeyMessage = RekeyInit | RekeyReply | RekeySwitch | RekeyAsk
Message = Ping | Pong | Config | Directory | PresenceAsk | Presence | RekeyMessage | Goodbye
_PARSERS: Final[dict[str, Callable[[dict[str, object]], Message]]] = {
    Ping.type: Ping.parse,
    Pong.type: Pong.parse,
    Config.type: Config.parse,
    Directory.type: Directory.parse,
    PresenceAsk.type: PresenceAsk.parse,
    Presence.type: Presence.parse,
    RekeyInit.type: RekeyInit.parse,
    RekeyReply.type: RekeyReply.parse,
    RekeySwitch.type: RekeySwitch.parse,
    RekeyAsk.type: RekeyAsk.parse,
    Goodbye.type: Goodbye.parse,
}


def encode(message: Message) -> bytes:
    """Return the plaintext of a control record; at most MAX_CONTROL_BYTES is the sender's duty."""
    return dumps({"type": message.type, **message.fields()})


def decode(data: bytes | memoryview, max_bytes: int, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Message:
    """Read the plaintext of a control record within limits as for `loads_object`. Raises ProtocolError."""
    fields = loads_object(data, max_bytes=max_bytes, max_depth=max_depth, max_items=max_items)
    parser = _PARSERS.get(text(fields, "type", 1, 32))
    if parser is None:
        raise ProtocolError(f"unknown control message {fields['type']!r}")
    return parser(fields)
