"""The steps that change a host, each a record that knows the command which a person would type for it.

Rules of this module
  1. A step is made by `host_plan.py`, printed by `--dry-run` and carried out by `host_executor.py`: what is printed is
     what is done.
  2. A command stands for a shell, and does the same as its step: a test runs both and compares the hosts.
  3. Interfaces stand in routes by number; `Names` gives them the names that a person knows.
  4. An encapsulation is copied from the path that the host has, unread. A command cannot say it, so that one step is a
     comment.
"""

from __future__ import annotations

import shlex
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from rustun.backends.base import Interface
from rustun.backends.forwarding import Change
from rustun.backends.host_snapshot import ROUTE_PROTOCOL, RT_TABLE_MAIN, Link, Route, Rule

RTNH_F_ONLINK: Final = 4
NEXT_HOP: Final = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops (weight - 1), interface
ATTRIBUTE: Final = struct.Struct("=HH")
RTA_GATEWAY, RTA_VIA = 5, 18
Names = Mapping[int, str]


@dataclass(frozen=True, slots=True)
class SetUp:
    """Set the device up, with its MTU in bytes."""

    link: Link
    mtu: int

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"ip link set dev {shlex.quote(self.link.name)} mtu {self.mtu} up"


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Put an own address on the device; the route to its network is a step of its own."""

    link: Link
    address: Interface

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        nodad = " nodad" if self.address.version == 6 else ""
        return f"ip address add {self.address} dev {shlex.quote(self.link.name)} noprefixroute{nodad}"


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Take an own address off the device; with the last one the kernel drops routes, so the host is looked at anew."""

    link: Link
    address: Interface

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"ip address del {self.address} dev {shlex.quote(self.link.name)}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Make a route; one of ours that keeps a server outside replaces its elder, whose path led elsewhere."""

    route: Route
    replace: bool = False

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        command = f"ip route {'replace' if self.replace else 'add'} {_route(self.route, names)}"
        if any(name == "RTA_ENCAP" for name, _ in self.route.path):
            return f"# {command}  (with the encapsulation of the path that leads there now)"
        return command


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Remove a route of ours."""

    route: Route

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"ip route del {_route(self.route, names)}"


@dataclass(frozen=True, slots=True)
class AddRule:
    """Make a policy rule."""

    rule: Rule

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"ip {_rule(self.rule, 'add')}"


@dataclass(frozen=True, slots=True)
class RemoveRule:
    """Remove a policy rule of ours."""

    rule: Rule

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"ip {_rule(self.rule, 'del')}"


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """Write a setting of the kernel."""

    change: Change

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return self.change.command


@dataclass(frozen=True, slots=True)
class LoadTable:
    """Put our nftables table in place of the one that stands, in one transaction."""

    script: str

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"nft -f - <<'END'\n{self.script.rstrip()}\nEND"


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Delete our nftables table; `table` is its family and name."""

    table: str

    def command(self, names: Names) -> str:
        """Return it for a shell."""
        return f"nft delete table {self.table}"


@dataclass(frozen=True, slots=True)
class WriteHosts:
    """Write the file of host names, in place.

    Attributes:
        found: what it had when this was planned.
        before: what it had before us; something else than `found` where the last write was cut off.
        after: what it gets.
    """

    path: str
    found: str = field(repr=False)
    before: str = field(repr=False)
    after: str = field(repr=False)

    def command(self, names: Names) -> str:
        """Return it for a shell; where lines only come at the end, these alone."""
        adds = self.after.startswith(self.before)
        text = self.after[len(self.before) :] if adds else self.after
        return f"cat {'>>' if adds else '>'} {shlex.quote(self.path)} <<'END'\n{text.removesuffix(chr(10))}\nEND"


Step = (
    SetUp
    | AddAddress
    | RemoveAddress
    | AddRoute
    | RemoveRoute
    | AddRule
    | RemoveRule
    | SetSysctl
    | LoadTable
    | DeleteTable
    | WriteHosts
)


def _rule(rule: Rule, verb: str) -> str:
    table = "main" if rule.table == RT_TABLE_MAIN else rule.table
    suppress = f" suppress_prefixlength {rule.suppress}" if rule.suppress >= 0 else ""
    return f"-{rule.version} rule {verb} priority {rule.priority} table {table}{suppress} protocol {ROUTE_PROTOCOL}"


def _route(route: Route, names: Names) -> str:
    table = "" if route.table == RT_TABLE_MAIN else f" table {route.table}"
    metric = f" metric {route.metric}" if route.metric else ""
    onlink = " onlink" if route.flags & RTNH_F_ONLINK else ""
    return f"{route.prefix}{_path(dict(route.path), names)}{onlink}{metric}{table} proto {route.protocol}"


def _path(path: dict[str, bytes], names: Names) -> str:
    """Return where a route's packets go, as `ip route` says it."""
    if "RTA_NH_ID" in path:
        return f" nhid {_number(path['RTA_NH_ID'])}"
    words = ""
    if "RTA_GATEWAY" in path:
        words += f" via {ip_address(path['RTA_GATEWAY'])}"
    if "RTA_VIA" in path:
        words += _via(path["RTA_VIA"])
    if "RTA_OIF" in path:
        words += f" dev {_name(_number(path['RTA_OIF']), names)}"
    if "RTA_PREFSRC" in path:
        words += f" src {ip_address(path['RTA_PREFSRC'])}"
    return words + _next_hops(path.get("RTA_MULTIPATH", b""), names)


def _next_hops(payload: bytes, names: Names) -> str:
    words, at = "", 0
    while at + NEXT_HOP.size <= len(payload):
        length, flags, hops, device = NEXT_HOP.unpack_from(payload, at)
        words += f" nexthop{_gateway(payload[at + NEXT_HOP.size : at + length])} dev {_name(device, names)}"
        words += f" weight {hops + 1}{' onlink' if flags & RTNH_F_ONLINK else ''}"
        at += max(length, NEXT_HOP.size)
    return words


def _gateway(attributes: bytes) -> str:
    at = 0
    while at + ATTRIBUTE.size <= len(attributes):
        length, kind = ATTRIBUTE.unpack_from(attributes, at)
        payload = attributes[at + ATTRIBUTE.size : at + length]
        if kind == RTA_GATEWAY:
            return f" via {ip_address(payload)}"
        if kind == RTA_VIA:
            return _via(payload)
        at += max(length + 3 & ~3, ATTRIBUTE.size)
    return ""


def _via(payload: bytes) -> str:
    """Return a router of another family than the route's: its family's number, then its address."""
    family = int.from_bytes(payload[:2], sys.byteorder)
    return f" via {'inet6' if family == socket.AF_INET6 else 'inet'} {ip_address(payload[2:])}"


def _name(device: int, names: Names) -> str:
    return shlex.quote(names.get(device, f"if{device}"))


def _number(payload: bytes) -> int:
    return int.from_bytes(payload, sys.byteorder)
