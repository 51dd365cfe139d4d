"""The tables of `[lab]` as they are written: rules as of model.py, values of links in the words of the laboratory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from netlab.links.impairment import MAX_BURST, MAX_MTU, MAX_QUEUE_PACKETS, PRESETS, SETTINGS, Flap, parse_duration
from rustun.config.client import MAX_MTU as MAX_TUNNEL_MTU
from rustun.config.client import MIN_MTU as MIN_TUNNEL_MTU
from rustun.config.findings import describe
from rustun.ops.lab.records import KINDS, NatKind
from rustun.ops.model import (
    Cipher,
    IPv4,
    IPv6,
    LowestTier,
    Name,
    Names,
    WrittenTable,
    choice,
    may,
    must,
    one_of,
    refused,
)

MAX_COUNT: Final = 250  # hosts of a LAN with 254 addresses, besides its gateway
MAX_TIMEOUT_S: Final = 30 * 86_400


def _words(read: Callable[[Any], object]) -> PlainValidator:
    """Return the conversion by a function that raises ValueError, "expected ..., found ..."."""

    def convert(value: object) -> object:
        if isinstance(value, list | dict | dt.date | dt.time):
            raise refused(f"is {describe(value)}", "expected one value: a number, or a text in quotes")
        try:
            return read(value)
        except ValueError as error:
            raise refused(f"is {describe(value)}", str(error).rpartition(", found ")[0]) from None

    return PlainValidator(convert)


def _setting(name: str) -> PlainValidator:
    return _words(SETTINGS[name].read)


def _number(low: int, high: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": low, "maximum": high})


def _timeout(value: str | float) -> int:
    wanted = f'expected whole seconds such as "30s", or "5m", at most "{MAX_TIMEOUT_S // 60}m"'
    try:
        seconds = parse_duration(value)
    except ValueError:
        seconds = 0.0
    if seconds != int(seconds) or not 1 <= seconds <= MAX_TIMEOUT_S:
        raise ValueError(f"{wanted}, found another")
    return int(seconds)


def _tunnel_mtu(value: object) -> int:
    if type(value) is not int or not MIN_TUNNEL_MTU <= value <= MAX_TUNNEL_MTU:
        raise ValueError(f"expected bytes of the TUN device, {MIN_TUNNEL_MTU} to {MAX_TUNNEL_MTU}, found another")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false, without quotes, found another")
    return value


def _several(value: object) -> object:
    """Return what may be written by itself or as a list as a tuple."""
    return tuple(value) if isinstance(value, list) else (value,)


def _axis(kind: Any) -> BeforeValidator:
    return BeforeValidator(_several, json_schema_input_type=kind | list[kind])


_TEXT: Final = WithJsonSchema({"type": "string"})
_SHARE: Final = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0, "maximum": 1}]})
_PRESETS: Final = tuple(PRESETS)

Delay = Annotated[float, _setting("delay"), _TEXT]
Share = Annotated[float, _setting("loss"), _SHARE]
Burst = Annotated[float, _setting("burst"), WithJsonSchema({"type": "number", "minimum": 1, "maximum": MAX_BURST})]
Rate = Annotated[int, _setting("rate"), _TEXT]
Queue = Annotated[int, _setting("queue"), _number(1, MAX_QUEUE_PACKETS)]
LinkMtu = Annotated[int, _setting("mtu"), _number(0, MAX_MTU)]
Switch = Annotated[bool, _setting("black_hole_icmp"), WithJsonSchema({"type": "boolean"})]
Schedule = Annotated[Flap | None, _setting("flap"), _TEXT]
Seed = Annotated[int, _setting("seed"), _number(0, 2**63 - 1)]
Preset = Annotated[str, one_of(_PRESETS), choice(_PRESETS)]
Kind = Annotated[NatKind, one_of(KINDS), choice(KINDS)]
Timeout = Annotated[int, _words(_timeout), _TEXT]
TunnelMtu = Annotated[int, _words(_tunnel_mtu), _number(MIN_TUNNEL_MTU, MAX_TUNNEL_MTU)]
OnOff = Annotated[bool, _words(_flag), WithJsonSchema({"type": "boolean"})]


class LabHostTable(WrittenTable):
    """A host without rustun in the LAN behind a member."""

    behind: Name = must("Identity of the member whose LAN it is in.", "office-gw")
    address: IPv4 = must("In that LAN.", "192.168.10.7")
    address6: IPv6 | None = may("In that LAN.", "fd00:10::7")
    count: int | None = may("So many: NAME-1 has the address, NAME-2 the next one.", 3, ge=1, le=MAX_COUNT)


class LabNatTable(WrittenTable):
    """A NAT router between members and the outside."""

    kind: Kind = may("What it maps and lets in.", "open", "moderate", "strict", default="moderate")
    before: Names = must("The members behind it, or other routers.", ["bj-dev", "home-router"])
    udp_timeout: Timeout | None = may("Silence after which a UDP mapping is gone; left out: as Linux does.", "30s")
    tcp_timeout: Timeout | None = may("The same of an established TCP connection.", "5m")


class LabDirectionTable(WrittenTable):
    """What a cable does to packets one way."""

    delay: Delay | None = may("One way.", "20ms")
    jitter: Delay | None = may("At most that much more or less delay; packets stay in order.", "5ms")
    loss: Share | None = may("Share of packets that are lost.", "1%", 0.01)
    burst: Burst | None = may("Mean number of packets that are lost in a row.", 3)
    rate: Rate | None = may("Bits per second, of whole frames.", "10mbit")
    queue: Queue | None = may("Packets that may wait for the rate.", 100)
    duplicate: Share | None = may("Share of packets that arrive twice.", "0.1%")
    reorder: Share | None = may("Share of packets that skip the delay.", "0.5%")
    mtu: LinkMtu | None = may("Largest IP packet, bytes; 0: the interface's own.", 1400)
    black_hole_icmp: Switch | None = may("Errors, such as too big, do not pass.", True)
    flap: Schedule | None = may("Up for a time, then down for another, again and again.", "10s/2s", default=None)
    seed: Seed | None = may("Of everything random.", 7)


class LabLinkTable(LabDirectionTable):
    """A cable: NAME is a node's to the outside, or "A-B". What is said here holds both ways."""

    preset: Preset | None = may("What the other keys start from.", "mobile")
    up: LabDirectionTable | None = may("Only away from the node, from A to B.", {"rate": "5mbit"})
    down: LabDirectionTable | None = may("Only towards the node, from B to A.", {"rate": "50mbit"})


class LabMatrixTable(WrittenTable):
    """With --matrix: one laboratory for each combination of what is listed."""

    cipher: Annotated[tuple[Cipher, ...], _axis(Cipher)] | None = may("Of records.", ["aes256", "chacha20"])
    mtu: Annotated[tuple[TunnelMtu, ...], _axis(TunnelMtu)] | None = may("Of all TUN devices, bytes.", [1280, 1500])
    tier: Annotated[tuple[LowestTier, ...], _axis(LowestTier)] | None = may("Of all members.", ["key", "shared"])
    offload: Annotated[tuple[OnOff, ...], _axis(OnOff)] | None = may("Of all TUN devices.", [True, False])
    preset: Annotated[tuple[Preset, ...], _axis(Preset)] | None = may("As of [lab].", ["lan", "mobile"])
    nat: Annotated[tuple[Kind, ...], _axis(Kind)] | None = may("Kind of all routers.", ["open", "strict"])


class LabTable(WrittenTable):
    """What only the laboratory reads."""

    preset: Preset = may("Of the cables that end at the server.", "wifi", default="lan")
    host: dict[str, LabHostTable] = may("Hosts in LANs by name.", default_factory=dict)
    nat: dict[str, LabNatTable] = may("NAT routers by name.", default_factory=dict)
    link: dict[str, LabLinkTable] = may("Cables by the name of their node, or of both ends.", default_factory=dict)
    matrix: LabMatrixTable | None = may("Axes of the combinations to try.", {"mtu": [1280, 1500]})
