"""The inventory as it is written: a model for each table, with the meaning and an example of each key.

Rules of this module
  1. These models are the only list of keys: what reads a table (validation.py), the JSON Schema that editors complete
     by (schema.py) and the nearest name for a slip are all made of them.
  2. Texts become addresses, prefixes and keys through the runtime's own converters, so that both refuse the same and
     in the same words. Nothing is converted silently: "true" is no flag and 1.0 no number.
  3. None means: not written here. What is built in and which level wins, fleet.py knows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from rustun.backends.base import Endpoint, Prefix
from rustun.config.addresses import parse_endpoint, parse_ipv4, parse_listen, parse_prefix
from rustun.config.client import MAX_MTU, MIN_MTU
from rustun.config.consent import NAME_CHOICES
from rustun.config.findings import Complaint, describe, nearest
from rustun.config.keys import parse_public_key
from rustun.config.member import MAX_PUBLIC_KEYS
from rustun.config.names import parse_label, parse_name
from rustun.config.server import CIPHERS
from rustun.config.web import parse_web_host
from rustun.ops.destination import parse_destination
from rustun.ops.filenames import parse_server_name
from rustun.printable import quoted
from rustun.protocol.tiers import Tier

T = TypeVar("T")
MIN_HOST_BITS: Final = 2  # of a cluster's network: a member and the gateway have to fit
MAX_KEY_NUMBER: Final = 9999
MAX_HOLD_DAYS: Final = 36_500
COMPLAINT: Final = "complaint"  # pydantic's type of an error that has the reason and the remedy of a Complaint
_EXAMPLE_KEY: Final = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="


def refused(reason: str, remedy: str) -> PydanticCustomError:
    """Return the exception by which a converter tells pydantic what is wrong."""
    return PydanticCustomError(COMPLAINT, "{reason}", {"reason": reason, "remedy": remedy})


def _text(convert: Callable[[str], T]) -> PlainValidator:
    """Return the conversion of a text by a function that raises Complaint."""

    def read(value: object) -> T:
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        try:
            return convert(value)
        except Complaint as complaint:
            raise refused(complaint.reason, complaint.remedy) from None

    return PlainValidator(read, json_schema_input_type=str)


def _listed(value: object) -> object:
    """Return what may be written by itself or as a list as a tuple."""
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value


def _fleet_name(text: str) -> str:
    if text.isascii() and text.replace("-", "").replace("_", "").isalnum():
        return text
    raise Complaint(f"{quoted(text)} cannot name a folder", "letters, digits, - and _: files go to build/NAME")


def _public_key(text: str) -> str:
    """Return the key as it was written, once it is known to be one."""
    parse_public_key(text)
    return text


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise Complaint(f"{quoted(text)} is not an IPv6 address", "as in fd00:1::7") from None


def _network(kind: type[T], example: str) -> PlainValidator:
    def parse(text: str) -> T:
        prefix = parse_prefix(text)
        if not isinstance(prefix, kind):
            raise Complaint(f"{quoted(text)} is of the wrong family", f"as in {example}")
        if prefix.max_prefixlen - prefix.prefixlen < MIN_HOST_BITS:
            longest = prefix.max_prefixlen - MIN_HOST_BITS
            raise Complaint(f"{quoted(text)} has no room for members", f"take a /{longest} or a larger one")
        return prefix

    return _text(parse)


def _moment(value: object) -> dt.datetime:
    """Return a point in time in UTC; a bare date means its first moment."""
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        raise refused(f"is {value}, a time without a zone", f"write {value.isoformat()}Z for UTC")
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    raise refused(f"is {describe(value)}, not a date", "write it like 2027-06-30, without quotes")


def _key_numbers(value: object, info: ValidationInfo) -> tuple[int, ...]:
    """Return the number of a key pair, or two of them."""
    numbers = value if isinstance(value, list) else [value]
    whole = all(type(number) is int and 1 <= number <= MAX_KEY_NUMBER for number in numbers)
    if whole and numbers and len(set(numbers)) == len(numbers) <= MAX_PUBLIC_KEYS:
        return tuple(numbers)
    key = info.field_name
    remedy = f"write {key} = 2, or {key} = [1, 2] while the old and the new one are both valid"
    raise refused(f"is {describe(value)}, not the number of a key, or two of them", remedy)


def one_of(options: tuple[T, ...]) -> PlainValidator:
    """Return the conversion of a text that has to be one of some; what comes out is the option itself."""

    def read(value: object) -> T:
        for option in options:
            if value == option:
                return option
        close = nearest(value, map(str, options)) if isinstance(value, str) else None
        meant = f"did you mean {close}? " if close else ""
        raise refused(f"is {describe(value)}", f"{meant}one of {', '.join(map(str, options))}")

    return PlainValidator(read)


def choice(options: tuple[str, ...]) -> WithJsonSchema:
    """Return what editors are told of a text that has to be one of some."""
    return WithJsonSchema({"type": "string", "enum": list(map(str, options))})


_NUMBER: Final = {"type": "integer", "minimum": 1, "maximum": MAX_KEY_NUMBER}
_TWO: Final = {"minItems": 1, "maxItems": MAX_PUBLIC_KEYS, "uniqueItems": True}
_DATES: Final = [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]
TIERS: Final = tuple(Tier)

Name = Annotated[str, _text(parse_name)]
Label = Annotated[str, _text(parse_label)]
Ssh = Annotated[str, _text(parse_destination)]
IPv4 = Annotated[IPv4Address, _text(parse_ipv4), WithJsonSchema({"type": "string", "format": "ipv4"})]
IPv6 = Annotated[IPv6Address, _text(_ipv6), WithJsonSchema({"type": "string", "format": "ipv6"})]
Network4 = Annotated[IPv4Network, _network(IPv4Network, "10.0.1.0/24")]
Network6 = Annotated[IPv6Network, _network(IPv6Network, "fd00:1::/64")]
Net = Annotated[Prefix, _text(parse_prefix)]
Nets = Annotated[tuple[Net, ...], BeforeValidator(_listed, json_schema_input_type=Net | list[Net])]
Names = Annotated[tuple[Name, ...], BeforeValidator(_listed, json_schema_input_type=Name | list[Name])]
Address = Annotated[Endpoint, _text(parse_endpoint)]
Listen = Annotated[Endpoint, _text(parse_listen)]
Listens = Annotated[tuple[Listen, ...], BeforeValidator(_listed, json_schema_input_type=Listen | list[Listen])]
WebHost = Annotated[str, _text(parse_web_host)]
WebHosts = Annotated[tuple[WebHost, ...], BeforeValidator(_listed, json_schema_input_type=WebHost | list[WebHost])]
PublicKey = Annotated[str, _text(_public_key)]
PublicKeys = Annotated[
    tuple[PublicKey, ...],
    Field(max_length=MAX_PUBLIC_KEYS),
    BeforeValidator(_listed, json_schema_input_type=PublicKey | list[PublicKey]),
]
Moment = Annotated[dt.datetime, PlainValidator(_moment), WithJsonSchema({"anyOf": _DATES})]
KeyNumbers = Annotated[
    tuple[int, ...],
    PlainValidator(_key_numbers),
    WithJsonSchema({"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, **_TWO}]}),
]
LowestTier = Annotated[Tier, one_of(TIERS), choice(TIERS)]
Cipher = Annotated[str, one_of(CIPHERS), choice(CIPHERS)]
NameChoice = Annotated[str, one_of(NAME_CHOICES), choice(NAME_CHOICES)]


def may(description: str, *examples: object, **more: Any) -> Any:
    """Return a key that may be left out; `more` as of pydantic's Field."""
    if "default_factory" not in more:
        more.setdefault("default", None)
    return Field(description=description, examples=list(examples) or None, **more)


def must(description: str, *examples: object, **more: Any) -> Any:
    """Return a key that has to be there; `more` as of pydantic's Field."""
    return Field(description=description, examples=list(examples) or None, **more)


class WrittenTable(BaseModel):
    """What all tables have in common: no key beside those listed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class SettingsTable(WrittenTable):
    """The keys that may stand in the fleet, a cluster, a tag and a member; the same fields as fleet.Settings."""

    masquerade: bool | None = may("A gateway hides tunnel addresses from its LAN behind its own.", True)
    tier: LowestTier | None = may("The lowest way in that the member may use.", "key", "shared")
    key: KeyNumbers | None = may("Number of the generated key pair; two of them during a rotation.", 2, [1, 2])
    psk: bool | None = may("Besides its key pair a member has a generated pre-shared key.", True)
    enabled: bool | None = may("false keeps the member in the inventory and out of the tunnel.", False)
    expires_at: Moment | None = may("Date or time, without quotes, from which the member is out.", dt.date(2027, 6, 30))
    mtu: int | None = may("Of the TUN device, bytes.", 1500, ge=MIN_MTU, le=MAX_MTU)
    offload: bool | None = may("Whether the TUN device hands over and takes large packets.", False)
    keepalive_interval: int | None = may("Seconds between proofs of life.", 10, ge=1, le=3600)
    keepalive_threshold: int | None = may("Intervals without an answer that mean a dead server.", 5, ge=1, le=100)
    accept_routes: Nets | None = may("The only prefixes that the host lets a server push.", ["10.0.0.0/8"])
    offer_exit: bool | None = may("Others may use this host as exit node.", True)
    exit_node: Label | None = may("Identity of the member that everything goes through; empty: none.", "office-gw")
    kill_switch: bool | None = may("Nothing leaves the host beside its exit node.", True)
    names: NameChoice | None = may("Names of members in /etc/hosts.", "hosts", "off")


class TagTable(SettingsTable):
    """Settings for all members that have this tag; they win over the cluster's, and the member's own win over them."""


class MemberTable(SettingsTable):
    """A member: a host with a client. The last part of the header is its identity, unique in the whole fleet."""

    name: Label = may("What people call it.", "Beijing office", default="")
    address: IPv4 | None = may("In the cluster's network; left out: the lowest free one, and kept.", "10.0.1.1")
    address6: IPv6 | None = may("In the cluster's network6; left out: the number that address has.", "fd00:1::1")
    ciders: Nets = may("The LANs behind it.", ["192.168.1.0/24"], default=())
    cider_mapping: dict[Net, Net] = may(
        "LANs that others see under another prefix: seen = real.",
        {"192.168.11.0/24": "192.168.10.0/24"},
        default_factory=dict,
    )
    public_key: PublicKeys = may(
        "Of a key pair that the member made itself; two during a rotation.", _EXAMPLE_KEY, default=()
    )
    tags: Names = may("Settings of [tag.NAME] count, the last one most; others are labels.", ["gateway"], default=())
    ssh: Ssh = may("How ssh reaches it: user@host:port, or a Host of ssh_config.", "root@gw.example.org", default="")


class ClusterTable(SettingsTable):
    """One tenant: members reach each other, and nobody else. In a folder its members may stand in other files."""

    network: Network4 | None = may("The members' IPv4 addresses.", "10.0.1.0/24")
    network6: Network6 | None = may("The members' IPv6 addresses.", "fd00:1::/64")
    member: dict[str, MemberTable] = may("The members by identity.", default_factory=dict)


class ServerTable(WrittenTable):
    """One relay."""

    name: Annotated[str, _text(parse_server_name)] | None = may("Its files are NAME.toml and NAME.key.", "hk-1")
    address: Address = must("HOST:PORT where clients find it.", "vpn.example.org:8080")
    ssh: Ssh = may("How ssh reaches it: user@host:port, or a Host of ssh_config.", "root@vpn.example.org", default="")
    public_key: PublicKeys = may("Of a key pair made on the server; two during a rotation.", _EXAMPLE_KEY, default=())


class FleetTable(SettingsTable):
    """What holds for the whole fleet."""

    name: Annotated[str, _text(_fleet_name)] = must("Generated files go to build/NAME/.", "acme")
    servers: Annotated[
        tuple[ServerTable, ...],
        BeforeValidator(_listed, json_schema_input_type=Annotated[list[ServerTable], Field(min_length=1)]),
    ] = must("The relays, in the order in which clients try them.", [{"address": "vpn.example.org:8080"}])
    listen: Listens = may("What servers bind; left out: all addresses, on their ports.", ["0.0.0.0:8080"], default=())
    cipher: Cipher = may("Of records; auto: AES-256-GCM where both ends have AES in hardware.", "auto", default="auto")
    minimum_tier: LowestTier = may("What the servers serve at least.", "key", default=Tier.KEY)
    server_key: KeyNumbers = may("Number of the servers' key pairs; two during a rotation.", 2, [1, 2], default=(1,))
    dashboard: Listens = may("Where servers show the dashboard; left out: nowhere.", "127.0.0.1:8081", default=())
    dashboard_hosts: WebHosts = may(
        "Names that a proxy shows the dashboard under, besides its own addresses.", ["vpn.example.org"], default=()
    )
    metrics: Listens = may("Where servers have /metrics; left out: nowhere.", "127.0.0.1:9101", default=())
    address_hold_days: int = may(
        "Days for which the address of a member that is gone is given to nobody else.",
        30,
        default=30,
        ge=0,
        le=MAX_HOLD_DAYS,
    )
