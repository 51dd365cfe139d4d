"""Links, addresses, routes and rules of this host, read and changed through rtnetlink by pyroute2.

Rules of this module
  1. pyroute2 writes and reads the messages (`route_dump.py` reads routes); here messages become records and records
     messages. It decides nothing (`host_plan.py` does), and what the kernel refuses leaves as OSError with its number.
  2. IPRSocket, not IPRoute: one blocking socket. IPRoute runs an event loop of its own, with three descriptors more.
  3. Only the main table counts, and our own. What stands in others is somebody's policy and none of our business.
  4. Many changes are written before their answers are read, as many as fit into the socket's receive buffer.
  5. The import brings 14 MB into a client, so only a client does it, when it first needs its host.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pyroute2 import IPRSocket, NetlinkError
from pyroute2.netlink import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NLM_F_REQUEST,
    NLMSG_DONE,
    nlmsg,
)
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_TO_TBL, fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, IFA_F_NOPREFIXROUTE, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from rustun.backends.base import Address, Interface
from rustun.backends.host_snapshot import EXIT_TABLE, ROUTE_PROTOCOL, RT_TABLE_MAIN, Link, Route, Rule, Snapshot
from rustun.backends.route_dump import read_routes

IN6_ADDR_GEN_MODE_NONE: Final = 1  # no link-local address, and without one no router solicitations
RT_SCOPE_NOWHERE: Final = 255  # in a deletion: whatever scope it has
RTN_UNICAST: Final = 1
ADDRESS_FLAGS: Final = (
    IFA_F_NODAD  # nobody else is on the link; without this an IPv6 address is unusable for a second
    | IFA_F_NOPREFIXROUTE  # the route to the address's network is ours to make, and to refuse
)

NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})  # a kernel without IPv6
NOT_SUPPRESSED: Final = 0xFFFFFFFF  # how the kernel shows -1

BATCH: Final = 128  # changes whose answers, with the request in each, fit the default receive buffer of 208 KiB
DUMP_TRIES: Final = 5  # a dump during which the tables changed is taken again
TIMEOUT_S: Final = 5  # the kernel answers within the call; only a bug would wait longer


class RouteMessage(nlmsg):
    """A route whose path stays bytes; unlike pyroute2's own it knows next-hop objects."""

    __slots__ = ()
    fields = rtmsg.fields
    nla_map = (
        (1, "RTA_DST", "cdata"),
        (4, "RTA_OIF", "cdata"),
        (5, "RTA_GATEWAY", "cdata"),
        (6, "RTA_PRIORITY", "uint32"),
        (7, "RTA_PREFSRC", "cdata"),
        (9, "RTA_MULTIPATH", "cdata"),
        (18, "RTA_VIA", "cdata"),
        (21, "RTA_ENCAP_TYPE", "cdata"),
        (22, "RTA_ENCAP", "cdata"),
        (30, "RTA_NH_ID", "cdata"),
    )


Record = TypeVar("Record")


class RouteSocket:
    """A socket to rtnetlink of the network namespace that the process is in; blocks for as long as the kernel works.

    Every method raises OSError when the kernel refuses; the socket stays usable.
    """

    def __init__(self) -> None:
        self._netlink = IPRSocket(strict_check=True)  # a dump heeds the filter in its request
        self._netlink.socket.settimeout(TIMEOUT_S)
        self._netlink.register_policy({RTM_NEWROUTE: RouteMessage, RTM_DELROUTE: RouteMessage})
        self._sequence = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._netlink.close()

    def snapshot(self) -> Snapshot:
        """Read links, addresses, the main table, our own table and our rules."""
        links = self._dump(RTM_GETLINK, ifinfmsg, {}, _link)
        addresses = self._dump(RTM_GETADDR, ifaddrmsg, {}, _address)
        rules: list[Rule] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                rules += self._dump(RTM_GETRULE, fibmsg, {"family": family}, _rule)
            except OSError as error:
                if error.errno not in NO_SUCH_FAMILY:
                    raise
        routes, exits = read_routes(RT_TABLE_MAIN), read_routes(EXIT_TABLE)
        return Snapshot(tuple(links), tuple(addresses), tuple(routes), tuple(exits), tuple(rules))

    def set_up(self, index: int, mtu: int) -> None:
        """Set an interface up and give it an MTU in bytes."""
        self._change(RTM_NEWLINK, 0, _message(ifinfmsg, _link_fields(index, IFF_UP), IFLA_MTU=mtu))

    def set_queue(self, index: int, *, mtu: int, txqueuelen: int, gso_max_size: int) -> None:
        """Set what an interface queues: bytes of a packet, packets, bytes of a packet before it is cut.

        A gso_max_size under 64 KiB holds for IPv4 too (IFLA_GSO_IPV4_MAX_SIZE, kernel 6.3).
        """
        values = {"IFLA_MTU": mtu, "IFLA_TXQLEN": txqueuelen, "IFLA_GSO_MAX_SIZE": gso_max_size}
        self._change(RTM_NEWLINK, 0, _message(ifinfmsg, _link_fields(index), **values))

    def silence_ipv6(self, index: int) -> None:
        """Keep the kernel from talking IPv6 on an interface by itself."""
        mode = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", IN6_ADDR_GEN_MODE_NONE)]}
        specific = {"attrs": [("AF_INET6", mode)]}
        self._change(RTM_SETLINK, 0, _message(ifinfmsg, _link_fields(index), IFLA_AF_SPEC=specific))

    def add_address(self, index: int, address: Interface) -> None:
        """Put an address on an interface, without a route to its network."""
        self._change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, _address_message(index, address))

    def delete_address(self, index: int, address: Interface) -> None:
        """Take an address off an interface."""
        self._change(RTM_DELADDR, 0, _address_message(index, address))

    def add_routes(self, routes: Sequence[Route], *, replace: bool = False) -> list[int]:
        """Make routes; without `replace` one fails where another of equal prefix and metric stands.

        Returns: one errno per route, 0 for those that were made.
        """
        flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
        return self._changes(RTM_NEWROUTE, flags, [_route_message(route, route.scope) for route in routes])

    def delete_routes(self, routes: Sequence[Route]) -> list[int]:
        """Remove routes; another one of the same prefix does not match. Returns: one errno per route."""
        return self._changes(RTM_DELROUTE, 0, [_route_message(route, RT_SCOPE_NOWHERE) for route in routes])

    def add_rule(self, rule: Rule) -> None:
        """Make a policy rule with our protocol number; one that stands already is EEXIST."""
        self._change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _rule_message(rule))

    def delete_rule(self, rule: Rule) -> None:
        """Remove a policy rule that has our protocol number."""
        self._change(RTM_DELRULE, 0, _rule_message(rule))

    def _change(self, kind: int, flags: int, message: Any) -> None:
        (number,) = self._changes(kind, flags, [message])
        if number:
            raise OSError(number, os.strerror(number))

    def _changes(self, kind: int, flags: int, messages: Sequence[Any]) -> list[int]:
        errors: list[int] = []
        for start in range(0, len(messages), BATCH):
            awaited = {}
            for message in messages[start : start + BATCH]:
                sequence = next(self._sequence)
                awaited[sequence] = 0
                self._netlink.put(message, kind, NLM_F_REQUEST | NLM_F_ACK | flags, msg_seq=sequence)
            left = set(awaited)
            while left:
                for answer in self._netlink.get():
                    sequence = answer["header"]["sequence_number"]
                    if sequence in left:
                        left.remove(sequence)
                        awaited[sequence] = _errno(answer)
            errors += awaited.values()
        return errors

    def _dump(
        self, kind: int, request: type[Any], fields: dict[str, int], read: Callable[[Any], Record | None]
    ) -> list[Record]:
        """Return what `read` makes of all entries of a table; changes meanwhile may be missing."""
        for _ in range(DUMP_TRIES):
            sequence = next(self._sequence)
            self._netlink.put(_message(request, fields), kind, NLM_F_REQUEST | NLM_F_DUMP, msg_seq=sequence)
            found: list[Record] = []
            consistent = True
            for message in self._answers(sequence):
                consistent &= not message["header"]["flags"] & NLM_F_DUMP_INTR
                if (record := read(message)) is not None:
                    found.append(record)
            if consistent:
                break
        return found

    def _answers(self, sequence: int) -> Iterator[Any]:
        while True:
            for message in self._netlink.get():
                header = message["header"]
                if header["sequence_number"] != sequence:
                    continue
                if header["type"] == NLMSG_DONE:
                    return
                if number := _errno(message):
                    raise OSError(number, os.strerror(number))
                yield message


def _message(kind: type[Any], fields: dict[str, int], **attributes: Any) -> Any:
    message = kind()
    message.update(fields)
    message["attrs"] = list(attributes.items())
    return message


def _link_fields(index: int, flags: int = 0) -> dict[str, int]:
    return {"index": index, "flags": flags, "change": flags}


def _address_message(index: int, address: Interface) -> Any:
    text = str(address.ip)
    fields = {"family": _family(address), "prefixlen": address.network.prefixlen, "index": index}
    return _message(ifaddrmsg, fields, IFA_LOCAL=text, IFA_ADDRESS=text, IFA_FLAGS=ADDRESS_FLAGS)


def _route_message(route: Route, scope: int) -> Any:
    destination = route.prefix.network_address
    fields = {
        "family": _family(destination),
        "dst_len": route.prefix.prefixlen,
        "table": route.table,
        "proto": route.protocol,
        "scope": scope,
        "type": RTN_UNICAST,
        "flags": route.flags,
    }
    metric = {"RTA_PRIORITY": route.metric} if route.metric else {}
    return _message(RouteMessage, fields, RTA_DST=destination.packed, **dict(route.path), **metric)


def _rule_message(rule: Rule) -> Any:
    family = socket.AF_INET if rule.version == 4 else socket.AF_INET6
    fields = {"family": family, "table": rule.table, "action": FR_ACT_TO_TBL}
    suppress = {"FRA_SUPPRESS_PREFIXLEN": rule.suppress} if rule.suppress >= 0 else {}
    return _message(fibmsg, fields, FRA_PRIORITY=rule.priority, FRA_PROTOCOL=ROUTE_PROTOCOL, **suppress)


def _errno(answer: Any) -> int:
    """Return what the kernel said: 0, or the number of its error."""
    error = answer["header"].get("error")
    if error is None:
        return 0
    if isinstance(error, NetlinkError):
        return int(error.code)
    raise error


def _link(message: Any) -> Link:
    kind = message.get(("linkinfo", "kind")) or ""
    return Link(message["index"], message.get("ifname"), kind, bool(message["flags"] & IFF_UP), message.get("mtu"))


def _address(message: Any) -> tuple[int, Interface] | None:
    text = message.get("local") or message.get("address")
    if text is None or message["family"] not in (socket.AF_INET, socket.AF_INET6):
        return None
    return message["index"], ipaddress.ip_interface((text, message["prefixlen"]))


def _rule(message: Any) -> Rule | None:
    """Return a rule that has our number."""
    if message.get("protocol") != ROUTE_PROTOCOL:
        return None
    suppress = message.get("suppress_prefixlen")
    version = 4 if message["family"] == socket.AF_INET else 6
    none = suppress in (None, NOT_SUPPRESSED)
    return Rule(version, message.get("priority") or 0, message.get("table"), -1 if none else suppress)


def _family(address: Address | Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
