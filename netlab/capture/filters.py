"""Which packets a capture takes: a small language of expressions, made into classic BPF programs for the kernel.

Rules of this module
  1. The kernel decides before anything is copied, so what a filter leaves out costs nothing here.
  2. Offsets count from the network header (SKF_NET_OFF), so one program fits every tap, Ethernet and TUN alike.
  3. Expressions mean what tcpdump's (pcap-filter(7)) mean, but there are fewer:

         tcp, udp, icmp (of IPv4), icmp6, ip, ip6, arp
         [src | dst] host ADDRESS      [src | dst] net PREFIX      [tcp | udp] [src | dst] port NUMBER
         not X      X and Y      X or Y      ( X )            `not` binds closest, `and` before `or`

  4. A port is that of TCP or UDP in a first fragment, directly behind the IP header: extension headers of IPv6 are not
     skipped. Neither are VLAN tags.

Text -> a tree of Test, Not, All and Any -> instructions. Each part of the tree jumps to one of two labels that follow
it, so there are no loops and no jumps back.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import count
from typing import Final, NoReturn, TypeVar

from netlab.errors import BadInput

T = TypeVar("T")

MOST_WORDS: Final = 300
DEEPEST: Final = 30  # parentheses and negations inside each other
MOST_JUMP: Final = 255  # instructions; a classic program has one byte for it
MOST_PORT: Final = 65_535
ETHERTYPES: Final = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806}
PROTOCOLS: Final = {"tcp": 6, "udp": 17}
ICMP: Final = 1
ICMP6: Final = 58

_NET: Final = 0xFFF00000  # SKF_NET_OFF, linux/filter.h
_ETHERTYPE: Final = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL
_LOAD: Final = {1: 0x30, 2: 0x28, 4: 0x20}  # by size, at [k]
_LOAD_HALF_BEYOND: Final = 0x48  # at [x + k]
_HEADER_LENGTH: Final = 0xB1  # x = 4 * ([k] & 0xf)
_AND: Final = 0x54
_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("=HBBI")  # sock_filter: code, jump where true and where false, k
_WORD: Final = re.compile(r"[()!]|[^\s()!]+")
_EXAMPLE: Final = "such as: host 10.0.1.1 and not tcp"


@dataclass(frozen=True, slots=True)
class Test:
    """Run some instructions (code, k), then compare what they loaded."""

    loads: tuple[tuple[int, int], ...]
    value: int


@dataclass(frozen=True, slots=True)
class Not:
    """What the part does not match."""

    part: Tree


@dataclass(frozen=True, slots=True)
class All:
    """What every part matches; all packets where there are none."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """What some part matches, of at least one."""

    parts: tuple[Tree, ...]


Tree = Test | Not | All | Any


def compiled(expression: str, most_bytes: int) -> bytes:
    """Return the program, as SO_ATTACH_FILTER takes it, that lets matching packets through, cut to `most_bytes`.

    Args:
        expression: see rule 3; an empty one matches all.

    Raises:
        BadInput: what stands where, and what was expected; or it is too long for the kernel.
    """
    tree = _Reader(expression).whole()
    labels = count()
    accept, refuse = next(labels), next(labels)
    lines = [*_lines(tree, accept, refuse, labels), accept, (_RETURN, most_bytes), refuse, (_RETURN, 0)]
    return _assembled(lines)


# --- instructions ----------------------------------------------------------------------------------------------------

Line = int | tuple[int, int] | tuple[int, int, int, int]  # a label; code, k; code, k, labels where true and where false


def _lines(tree: Tree, true: int, false: int, labels: Iterator[int]) -> Iterator[Line]:
    match tree:
        case Test(loads, value):
            yield from loads
            yield _EQUAL, value, true, false
        case Not(part):
            yield from _lines(part, false, true, labels)
        case All(parts) | Any(parts):
            for part in parts[:-1]:
                further = next(labels)
                yield from _lines(part, *((further, false) if isinstance(tree, All) else (true, further)), labels)
                yield further
            yield from _lines(parts[-1], true, false, labels) if parts else ((_EQUAL, 0, true, true),)


def _assembled(lines: list[Line]) -> bytes:
    places: dict[int, int] = {}
    instructions: list[tuple[int, ...]] = []
    for line in lines:
        if isinstance(line, int):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    program = bytearray()
    for at, (code, k, *targets) in enumerate(instructions):
        true, false = (places[label] - at - 1 for label in targets) if targets else (0, 0)
        if max(true, false) > MOST_JUMP:
            raise BadInput("filter: too long for the kernel", "join hosts to networks, or capture more")
        program += _INSTRUCTION.pack(code, true, false, k)
    return bytes(program)


# --- what the words test ---------------------------------------------------------------------------------------------


def _field(offset: int, size: int, value: int, mask: int = 0) -> Test:
    """Compare `size` bytes behind the network header's beginning, the bits of `mask` alone if there is one."""
    loads = ((_LOAD[size], _NET + offset),)
    return Test((*loads, (_AND, mask)) if mask else loads, value)


def _ethertype(name: str) -> Test:
    return Test(((_LOAD[4], _ETHERTYPE),), ETHERTYPES[name])


def _protocol4(number: int) -> Tree:
    return All((_ethertype("ip"), _field(9, 1, number)))


def _protocol6(number: int) -> Tree:
    return All((_ethertype("ip6"), _field(6, 1, number)))


def _prefix(offset: int, prefix: IPv4Network | IPv6Network) -> Tree:
    """Compare the address at an offset, word by word; bits beyond the prefix do not count."""
    values, masks = (struct.unpack(f"!{len(one.packed) // 4}I", one.packed) for one in (prefix[0], prefix.netmask))
    words = zip(values, masks, strict=True)
    return All(tuple(_field(offset + 4 * i, 4, value, mask) for i, (value, mask) in enumerate(words) if mask))


def _network(prefix: IPv4Network | IPv6Network, side: str) -> Tree:
    def at(name: str, source: int, destination: int) -> Tree:
        offsets = {"src": (source,), "dst": (destination,)}.get(side, (source, destination))
        return All((_ethertype(name), Any(tuple(_prefix(offset, prefix) for offset in offsets))))

    return at("ip6", 8, 24) if prefix.version == 6 else Any((at("ip", 12, 16), at("arp", 14, 24)))


def _port(number: int, side: str) -> Tree:
    places = {"src": (0,), "dst": (2,)}.get(side, (0, 2))
    behind4 = (Test(((_HEADER_LENGTH, _NET), (_LOAD_HALF_BEYOND, _NET + place)), number) for place in places)
    behind6 = (_field(40 + place, 2, number) for place in places)
    first = _field(6, 2, 0, 0x1FFF)  # the fragment's offset, RFC 791 section 3.1
    return Any(
        (
            All((Any(tuple(map(_protocol4, PROTOCOLS.values()))), first, Any(tuple(behind4)))),
            All((Any(tuple(map(_protocol6, PROTOCOLS.values()))), Any(tuple(behind6)))),
        )
    )


_PLAIN: Final[dict[str, Tree]] = {
    **{name: _ethertype(name) for name in ETHERTYPES},
    **{name: Any((_protocol4(number), _protocol6(number))) for name, number in PROTOCOLS.items()},
    "icmp": _protocol4(ICMP),
    "icmp6": _protocol6(ICMP6),
}


# --- the language ----------------------------------------------------------------------------------------------------


class _Reader:
    """Reads an expression from left to right by recursive descent."""

    def __init__(self, expression: str) -> None:
        self._words = _WORD.findall(expression)
        self._place = 0
        if len(self._words) > MOST_WORDS:
            raise BadInput(f"filter: {len(self._words)} words, at most {MOST_WORDS}", _EXAMPLE)

    def whole(self) -> Tree:
        """Return the tree of all words. Raises BadInput."""
        tree = self._any(0) if self._words else All(())
        if self._place < len(self._words):
            self._fail("and, or, or the end")
        return tree

    def _any(self, depth: int) -> Tree:
        return self._joined(("or", "||"), self._all, Any, depth)

    def _all(self, depth: int) -> Tree:
        return self._joined(("and", "&&"), self._one, All, depth)

    def _joined(self, words: tuple[str, str], read: Callable[[int], Tree], kind: type[All | Any], depth: int) -> Tree:
        parts = [read(depth)]
        while self._peek() in words:
            self._place += 1
            parts.append(read(depth))
        return kind(tuple(parts)) if len(parts) > 1 else parts[0]

    def _one(self, depth: int) -> Tree:
        if depth > DEEPEST:
            self._fail(f"at most {DEEPEST} levels of parentheses and negations")
        if self._peek() in ("not", "!"):
            self._place += 1
            return Not(self._one(depth + 1))
        if self._peek() != "(":
            return self._primitive()
        self._place += 1
        tree = self._any(depth + 1)
        if self._peek() != ")":
            self._fail('")"')
        self._place += 1
        return tree

    def _primitive(self) -> Tree:
        word = self._peek()
        if word not in _PLAIN:
            return self._sided(("host", "net", "port"), f"not, src, dst, host, net, port, {', '.join(_PLAIN)}")
        self._place += 1
        if word in PROTOCOLS and self._peek() in ("src", "dst", "port"):
            return All((_PLAIN[word], self._sided(("port",), "port")))
        return _PLAIN[word]

    def _sided(self, kinds: tuple[str, ...], wanted: str) -> Tree:
        side = self._peek() if self._peek() in ("src", "dst") else ""
        self._place += bool(side)
        kind = self._peek()
        if kind not in kinds:
            self._fail(" or ".join(kinds) if side else wanted)
        self._place += 1
        if kind == "port":
            return _port(self._value(_port_number, "a port from 0 to 65535"), side)
        if kind == "host":
            return _network(self._value(lambda word: ip_network(ip_address(word)), "an address"), side)
        return _network(self._value(ip_network, "a prefix such as 10.0.1.0/24"), side)

    def _value(self, read: Callable[[str], T], wanted: str) -> T:
        try:
            value = read(self._peek())
        except ValueError:
            self._fail(wanted)
        self._place += 1
        return value

    def _peek(self) -> str:
        return self._words[self._place] if self._place < len(self._words) else ""

    def _fail(self, wanted: str) -> NoReturn:
        found = f'"{self._peek()}"' if self._peek() else "the end"
        behind = f' behind "{" ".join(self._words[: self._place])}"' if self._place else ""
        raise BadInput(f"filter: expected {wanted}{behind}, found {found}", _EXAMPLE)


def _port_number(word: str) -> int:
    if not word.isdecimal() or int(word) > MOST_PORT:
        raise ValueError(word)
    return int(word)
