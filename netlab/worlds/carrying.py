"""What two members send each other, by the kernel's own means, and what the far end's sockets say of it.

Rules of this module
  1. Sockets are made inside the namespaces and used from here; each call leaves nothing open.
  2. What is sent is made from a number, and compared where it arrives.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import partial

from netlab.bench.load import ICMP_ECHO
from netlab.namespaces import NetworkNamespace

PATIENCE_S = 20.0  # only reached where something hangs
IP_HEADER_BYTES = {4: 20, 6: 40}
ECHO_HEADER_BYTES = 8
UDP_HEADER_BYTES = 8
ECHO_KINDS = {4: (8, 0), 6: (128, 129)}  # request and reply, RFC 792 and 4443
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2  # linux/in.h, in6.h
CHUNK_BYTES = 1 << 16
LINGER = struct.pack("ii", 1, 10)  # a connection whose last word is not acknowledged keeps its namespace for minutes


def content(number: int, size: int) -> bytes:
    """Return bytes that only this number gives."""
    return hashlib.shake_128(number.to_bytes(4, "big")).digest(size)


def version_of(address: str) -> int:
    """Return 4 or 6."""
    return 6 if ":" in address else 4


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def run(namespace: NetworkNamespace, *command: str) -> str:
    """Run a program in a namespace and return what it prints; fail with its words."""
    call = partial(subprocess.run, command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    done = namespace.run(call)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return str(done.stdout)


def ping(namespace: NetworkNamespace, address: str, packet_bytes: int, echoes: int = 1) -> None:
    """Send echo requests of this size one after the other, never in fragments, and get each one back as it went."""
    version = version_of(address)
    request, reply = ECHO_KINDS[version]
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    with namespace.run(lambda: socket.socket(_family(address), socket.SOCK_DGRAM, protocol)) as echo:
        if version == 4:
            echo.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DO)
        else:
            echo.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
        echo.settimeout(PATIENCE_S)
        echo.connect((address, 0))
        for number in range(echoes):
            data = content(number, packet_bytes - IP_HEADER_BYTES[version] - ECHO_HEADER_BYTES)
            echo.send(ICMP_ECHO.pack(request, 0, 0, 0, number) + data)  # the kernel fills in identifier and checksum
            back = echo.recv(CHUNK_BYTES)
            kind, _, _, _, answered = ICMP_ECHO.unpack_from(back)
            assert (kind, answered, back[ECHO_HEADER_BYTES:]) == (reply, number, data)


def datagrams(here: NetworkNamespace, there: NetworkNamespace, address: str, sizes: Sequence[int]) -> None:
    """Send datagrams of these sizes and get each one back; larger ones than the device takes travel in fragments."""

    def bound() -> socket.socket:
        made = socket.socket(_family(address), socket.SOCK_DGRAM)
        made.bind((address, 0))
        return made

    def connected() -> socket.socket:
        made = socket.socket(_family(address), socket.SOCK_DGRAM)
        made.connect(server.getsockname()[:2])
        return made

    with there.run(bound) as server, here.run(connected) as client:
        for one in (server, client):
            one.settimeout(PATIENCE_S)
        for number, size in enumerate(sizes):
            data = content(number, size)
            client.send(data)
            arrived, source = server.recvfrom(CHUNK_BYTES)
            assert arrived == data
            server.sendto(arrived, source)
            assert client.recv(CHUNK_BYTES) == data


def streams(here: NetworkNamespace, there: NetworkNamespace, address: str, connections: int, size: int) -> None:
    """Open TCP connections and send so many bytes both ways on all of them at the same time."""
    with there.run(lambda: socket.create_server((address, 0), family=_family(address))) as listener:
        where = listener.getsockname()[:2]
        pairs = []
        for _ in range(connections):
            near = here.run(lambda: socket.create_connection(where, PATIENCE_S))
            far, _ = listener.accept()
            far.settimeout(PATIENCE_S)
            pairs.append((near, far))
    faults: list[str] = []
    threads = []
    for number, pair in enumerate(pairs):
        for salt, (sender, receiver) in ((number, pair), (connections + number, pair[::-1])):
            data = content(salt, size)
            threads.append(_start(partial(_send, sender, data), faults))
            threads.append(_start(partial(_receive, receiver, data), faults))
    for thread in threads:
        thread.join()
    for one in (end for pair in pairs for end in pair):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
        one.close()
    assert faults == []


def _send(stream: socket.socket, data: bytes) -> None:
    stream.sendall(data)
    stream.shutdown(socket.SHUT_WR)


def _receive(stream: socket.socket, expected: bytes) -> None:
    arrived = b"".join(iter(lambda: stream.recv(CHUNK_BYTES), b""))
    assert arrived == expected, f"{len(arrived)} bytes arrived of {len(expected)}, or others"


def _start(work: Callable[[], None], faults: list[str]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except (OSError, AssertionError) as error:
            faults.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run)
    thread.start()
    return thread
