"""The few rtnetlink messages that wire a laboratory, and their exchange with the kernel (rtnetlink(7)).

Rules of this module
  1. A message is bytes; any number of them, joined, is a batch. A program, or a library that knows all messages, takes
     a hundred times as long for the same bytes.
  2. A batch is sent by a socket of the calling thread's namespace, and the answer to each message is read: the step
     that the kernel refuses is named.

Layout (host byte order): nlmsghdr, then the family's own header, then attributes; each part ends on 4 bytes.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from netlab.errors import LabError

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, device type, index, flags, which flags change
_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, index
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of dst and src, tos, table, protocol, scope, type
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_NUMBER: Final = struct.Struct("=I")

_NEWLINK: Final = 16  # linux/rtnetlink.h
_DELLINK: Final = 17
_NEWADDR: Final = 20
_NEWROUTE: Final = 24
_DELROUTE: Final = 25
_REQUEST_ACK: Final = 0x1 | 0x4
_CREATE_EXCL: Final = 0x400 | 0x200
_NLMSG_ERROR: Final = 2

_IFLA_ADDRESS: Final = 1  # linux/if_link.h
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_LINKINFO: Final = 18
_IFLA_NET_NS_FD: Final = 28
_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_VETH_INFO_PEER: Final = 1  # linux/veth.h
_IFF_UP: Final = 1

_IFA_ADDRESS: Final = 1  # linux/if_addr.h
_IFA_LOCAL: Final = 2
_IFA_F_NODAD: Final = 0x02  # a laboratory has no duplicates, and waiting a second for that costs a second

_RTA_DST: Final = 1  # linux/rtnetlink.h
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RT_TABLE_MAIN: Final = 254
_RTPROT_STATIC: Final = 4
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253  # reached without a router, so others may name it as theirs
_RTN_UNICAST: Final = 1

_RECEIVE_BYTES: Final = 1 << 16
_BATCH_MESSAGES: Final = 200  # answers must fit into the socket's receive buffer


def veth(near: tuple[int, str, str, int], far: tuple[int, str, str, int]) -> bytes:
    """Make a cable; each end is its index, name, MAC address and the descriptor of the namespace that it goes to."""
    peer = _attribute(_VETH_INFO_PEER, _LINK.pack(0, 0, far[0], 0, 0) + _end(*far[1:]))
    kind = _attribute(_IFLA_INFO_KIND, b"veth") + _attribute(_IFLA_INFO_DATA, peer)
    return _new_link(near[0], _end(*near[1:]) + _attribute(_IFLA_LINKINFO, kind))


def _end(name: str, mac: str, namespace: int) -> bytes:
    return _names(name, mac) + _attribute(_IFLA_NET_NS_FD, _NUMBER.pack(namespace))


def bridge(index: int, name: str, mac: str) -> bytes:
    """Make a bridge."""
    return device("bridge", index, name, mac)


def device(kind: str, index: int, name: str, mac: str) -> bytes:
    """Make a device of a kind that needs no further words."""
    info = _attribute(_IFLA_INFO_KIND, kind.encode())
    return _new_link(index, _names(name, mac) + _attribute(_IFLA_LINKINFO, info))


def plug(index: int, master: int) -> bytes:
    """Make an interface a port of the bridge `master`."""
    return _set_link(index, 0, _attribute(_IFLA_MASTER, _NUMBER.pack(master)))


def up(index: int) -> bytes:
    """Set an interface up."""
    return _set_link(index, _IFF_UP, b"")


def down(index: int) -> bytes:
    """Set an interface down; its IPv6 addresses and all its routes go."""
    return _message(_NEWLINK, 0, _LINK.pack(0, 0, index, 0, _IFF_UP))


def mtu(index: int, size: int) -> bytes:
    """Give an interface an MTU, in bytes."""
    return _set_link(index, 0, _attribute(_IFLA_MTU, _NUMBER.pack(size)))


def delete(index: int) -> bytes:
    """Take an interface away; of a cable both ends go."""
    return _message(_DELLINK, 0, _LINK.pack(0, 0, index, 0, 0))


def address(index: int, own: IPv4Interface | IPv6Interface) -> bytes:
    """Give an interface an address."""
    family, flags = (socket.AF_INET, 0) if own.version == 4 else (socket.AF_INET6, _IFA_F_NODAD)
    body = _ADDRESS.pack(family, own.network.prefixlen, flags, _RT_SCOPE_UNIVERSE, index)
    packed = own.ip.packed
    return _message(_NEWADDR, _CREATE_EXCL, body + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed))


def route(prefix: IPv4Network | IPv6Network, index: int, via: IPv4Address | IPv6Address | None) -> bytes:
    """Let a prefix leave by an interface, by way of `via` where that is a router."""
    return _message(_NEWROUTE, _CREATE_EXCL, _way(prefix, index, via))


def unroute(prefix: IPv4Network | IPv6Network, index: int, via: IPv4Address | IPv6Address | None) -> bytes:
    """Take a route away."""
    return _message(_DELROUTE, 0, _way(prefix, index, via))


def _way(prefix: IPv4Network | IPv6Network, index: int, via: IPv4Address | IPv6Address | None) -> bytes:
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    scope = _RT_SCOPE_LINK if via is None else _RT_SCOPE_UNIVERSE
    body = _ROUTE.pack(family, prefix.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST, 0)
    body += _attribute(_RTA_DST, prefix.network_address.packed) if prefix.prefixlen else b""
    return body + _attribute(_RTA_OIF, _NUMBER.pack(index)) + (_attribute(_RTA_GATEWAY, via.packed) if via else b"")


def _names(name: str, mac: str) -> bytes:
    hardware = bytes.fromhex(mac.replace(":", ""))
    return _attribute(_IFLA_IFNAME, name.encode() + b"\0") + _attribute(_IFLA_ADDRESS, hardware)


def _new_link(index: int, attributes: bytes) -> bytes:
    return _message(_NEWLINK, _CREATE_EXCL, _LINK.pack(0, 0, index, 0, 0) + attributes)


def _set_link(index: int, flags: int, attributes: bytes) -> bytes:
    return _message(_NEWLINK, 0, _LINK.pack(0, 0, index, flags, flags) + attributes)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_ACK | flags, 0, 0) + body


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def send(messages: Sequence[bytes], what: str) -> None:
    """Have the kernel do all messages, in their order, in the calling thread's namespace.

    Raises:
        LabError: the kernel refused one; it names `what` and the number of the step. Those before it are done, and of
            those after it some may be.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        for start in range(0, len(messages), _BATCH_MESSAGES):
            batch = messages[start : start + _BATCH_MESSAGES]
            netlink.send(b"".join(_numbered(message, start + n) for n, message in enumerate(batch, start=1)))
            answered = 0
            while answered < len(batch):
                answered += _read_answers(netlink.recv(_RECEIVE_BYTES), what)


def _numbered(message: bytes, sequence: int) -> bytes:
    length, kind, flags, _, _ = _HEADER.unpack_from(message)
    return _HEADER.pack(length, kind, flags, sequence, 0) + message[_HEADER.size :]


def _read_answers(data: bytes, what: str) -> int:
    answers = 0
    offset = 0
    while offset < len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data, offset + _HEADER.size)
            if code:
                name = errno.errorcode.get(-code, str(code))
                raise LabError(f"wiring {what}: the kernel refused step {sequence}: {name}, {os.strerror(-code)}")
            answers += 1
        offset += length + 3 & ~3
    return answers
