"""Links, addresses, routes and rules of this host, read and changed through rtnetlink by pyroute2.

Rules of this module
  1. pyroute2 writes and reads the messages, but for routes, of which there may be many (`route_dump.py` reads them,
     `route_changes.py` writes them); here messages become records and records messages. It decides nothing
     (`host_plan.py` does), and what the kernel refuses leaves as OSError with its number.
  2. IPRSocket, not IPRoute: one blocking socket. IPRoute runs an event loop of its own, with three descriptors more.
  3. Only the main table counts, and our own. What stands in others is somebody's policy and none of our business.
  4. The import brings 14 MB into a client, so only a client does it, when it first needs its host.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
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
)
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELRULE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWRULE,
    RTM_SETLINK,
)
from pyroute2.netlink.rtnl.fibmsg import FR_ACT_TO_TBL, fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import IFA_F_NODAD, IFA_F_NOPREFIXROUTE, ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import IFF_UP, ifinfmsg

from rustun.backends.base import Address, Interface
from rustun.backends.host_snapshot import EXIT_TABLE, ROUTE_PROTOCOL, RT_TABLE_MAIN, Link, Rule, Snapshot
from rustun.backends.route_dump import read_routes

IN6_ADDR_GEN_MODE_NONE: Final = 1  # no link-local address, and without one no router solicitations
ADDRESS_FLAGS: Final = (
    IFA_F_NODAD  # nobody else is on the link; without this an IPv6 address is unusable for a second
    | IFA_F_NOPREFIXROUTE  # the route to the address's network is ours to make, and to refuse
)

NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})  # a kernel without IPv6
NOT_SUPPRESSED: Final = 0xFFFFFFFF  # how the kernel shows -1

DUMP_TRIES: Final = 5  # a dump during which the tables changed is taken again
TIMEOUT_S: Final = 5  # the kernel answers within the call; only a bug would wait longer


Record = TypeVar("Record")


class RouteSocket:
    """A socket to rtnetlink of the network namespace that the process is in; blocks for as long as the kernel works.

    Every method raises OSError when the kernel refuses; the socket stays usable.
    """

    def __init__(self) -> None:
        self._netlink = IPRSocket(strict_check=True)  # a dump heeds the filter in its request
        self._netlink.socket.settimeout(TIMEOUT_S)
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

    def add_rule(self, rule: Rule) -> None:
        """Make a policy rule with our protocol number; one that stands already is EEXIST."""
        self._change(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, _rule_message(rule))

    def delete_rule(self, rule: Rule) -> None:
        """Remove a policy rule that has our protocol number."""
        self._change(RTM_DELRULE, 0, _rule_message(rule))

    def _change(self, kind: int, flags: int, message: Any) -> None:
        sequence = next(self._sequence)
        self._netlink.put(message, kind, NLM_F_REQUEST | NLM_F_ACK | flags, msg_seq=sequence)
        answered = False
        while not answered:
            for answer in self._netlink.get():
                answered = answered or answer["header"]["sequence_number"] == sequence
                if answered and (number := _errno(answer)):
                    raise OSError(number, os.strerror(number))

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
