"""Build a planned topology: one netlink batch for all cables, then one batch inside each namespace.

pyroute2 writes the messages; the batches are sent by a socket of the right namespace and every answer is read, so a
step that the kernel refuses is named. A whole laboratory is wired in some milliseconds without any program.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from pyroute2.iproute.linux import IPBatch
from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.rtnl import RTM_NEWLINK
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from netlab.errors import LabError
from netlab.namespaces import NetworkNamespace
from netlab.topology import LOOPBACK_INDEX, Interface, Node, Port, Topology

_NETLINK_HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_NLMSG_ERROR: Final = 2
_IFA_F_NODAD: Final = 0x02  # a laboratory has no duplicates, and waiting a second for that costs a second
_SCOPE_LINK: Final = 253  # RT_SCOPE_LINK: reached without a router, so others may name it as theirs
_RECEIVE_BYTES: Final = 1 << 16
_BATCH_MESSAGES: Final = 200  # answers must fit into the socket's receive buffer


def build(topology: Topology, namespaces: Mapping[str, NetworkNamespace]) -> None:
    """Wire all nodes; `namespaces` holds one empty namespace for each node of the topology.

    Raises:
        LabError: the kernel refused a step; the namespaces are then half built and of no use.
    """
    _send(b"".join(_cable(near, far, namespaces) for near, far in topology.cables), "cables")
    for node in topology.nodes:
        commands = _node_batch(node, topology.ports(node.name))
        namespaces[node.name].run(partial(_furnish, node, commands))


def _cable(near: Port, far: Port, namespaces: Mapping[str, NetworkNamespace]) -> bytes:
    """Write the message that makes a veth pair; by hand, because the far end's index is to be ours as well."""
    peer = {"attrs": [("VETH_INFO_PEER", _end(far, namespaces))]}
    pair = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", peer)]}
    end = _end(near, namespaces)
    message = ifinfmsg()
    message["index"] = end["index"]
    message["attrs"] = [*end["attrs"], ("IFLA_LINKINFO", pair)]
    message["header"]["type"] = RTM_NEWLINK
    message["header"]["flags"] = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
    message.encode()
    return bytes(message.data)


def _end(port: Port, namespaces: Mapping[str, NetworkNamespace]) -> dict[str, Any]:
    place = ("IFLA_NET_NS_FD", namespaces[port.node].fileno())
    return {"index": port.index, "attrs": [("IFLA_IFNAME", port.name), ("IFLA_ADDRESS", port.mac), place]}


def _furnish(node: Node, commands: bytes) -> None:
    """Inside the node: kernel settings first, since interfaces copy them when they come up."""
    for name, value in _settings(node).items():
        Path("/proc/sys/net", name).write_text(value)
    _send(commands, node.name)


def _settings(node: Node) -> dict[str, str]:
    forwards = "1" if node.forwards else "0"
    settings = {
        "ipv4/ip_forward": forwards,
        "ipv6/conf/all/forwarding": forwards,
        "ipv6/conf/all/accept_dad": "0",
        "ipv6/conf/default/accept_dad": "0",
        "ipv4/icmp_echo_ignore_broadcasts": "0",  # a broadcast that gets through must show
        "ipv4/icmp_ratelimit": "0",  # probes come faster than a patient kernel answers
        "ipv6/icmp/ratelimit": "0",
        "ipv4/ping_group_range": "0 0",
    }
    for scope in ("all", "default"):
        settings |= {
            f"ipv4/conf/{scope}/rp_filter": "0",  # a spoofed packet must be stopped by rustun, not by the receiver
            f"ipv4/conf/{scope}/send_redirects": "0",
            f"ipv6/conf/{scope}/accept_ra": "0",
        }
    return settings


def _node_batch(node: Node, ports: tuple[Port, ...]) -> bytes:
    with IPBatch() as batch:
        for bridge in node.bridges:
            batch.link("add", kind="bridge", ifname=bridge.name, index=bridge.index, address=bridge.mac)
        for port in ports:
            if port.bridge:
                batch.link("set", index=port.index, master=port.bridge)
        batch.link("set", index=LOOPBACK_INDEX, state="up")
        for address in node.loopback:
            _add_address(batch, LOOPBACK_INDEX, address)
        for port in (*node.bridges, *ports):
            batch.link("set", index=port.index, state="up")
            for address in port.addresses:
                _add_address(batch, port.index, address)
        for route in node.routes:
            way = {"gateway": str(route.via)} if route.via else {"scope": _SCOPE_LINK}
            batch.route("add", dst=str(route.prefix), family=_family(route.prefix.version), oif=route.index, **way)
        return bytes(batch.batch)


def _add_address(batch: IPBatch, index: int, address: Interface) -> None:
    flags = {"flags": _IFA_F_NODAD} if address.version == 6 else {}
    family = _family(address.version)
    batch.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen, family=family, **flags)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _send(batch: bytes, what: str) -> None:
    """Send netlink messages from the calling thread's namespace and read an answer to each."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        for messages in _portions(_numbered(batch)):
            netlink.send(b"".join(messages))
            answered = 0
            while answered < len(messages):
                answered += _read_answers(netlink.recv(_RECEIVE_BYTES), what)


def _numbered(batch: bytes) -> list[bytes]:
    messages: list[bytes] = []
    offset = 0
    while offset < len(batch):
        length, kind, flags, _, _ = _NETLINK_HEADER.unpack_from(batch, offset)
        header = _NETLINK_HEADER.pack(length, kind, flags, len(messages) + 1, 0)
        messages.append(header + batch[offset + _NETLINK_HEADER.size : offset + (length + 3 & ~3)])
        offset += length + 3 & ~3
    return messages


def _portions(messages: list[bytes]) -> list[list[bytes]]:
    return [messages[start : start + _BATCH_MESSAGES] for start in range(0, len(messages), _BATCH_MESSAGES)]


def _read_answers(data: bytes, what: str) -> int:
    answers = 0
    offset = 0
    while offset < len(data):
        length, kind, _, sequence, _ = _NETLINK_HEADER.unpack_from(data, offset)
        if kind == _NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", data, offset + _NETLINK_HEADER.size)
            if code:
                name = errno.errorcode.get(-code, str(code))
                raise LabError(f"wiring {what}: the kernel refused step {sequence}: {name}, {os.strerror(-code)}")
            answers += 1
        offset += length + 3 & ~3
    return answers
