"""Thousands of idle members from one process: full handshakes over loopback, each from an address of its own.

    python -m netlab.crowd PORT SERVER_PUBLIC_KEY CLIENTS SECONDS

Prints {"online": N, "seconds": S} when all have proved their keys, stays for SECONDS without a word while it reads
what comes, then prints {"dropped": N}: how many the server closed. It speaks the key tier with the project's own
protocol core and no client code, so what is measured is the server. The crowd's private keys follow from its numbers:
they are worth nothing outside of the laboratory that lets the crowd in.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import selectors
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime, monotonic
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.config.keys import encode_key, parse_public_key
from rustun.protocol.control import Ping, encode
from rustun.protocol.envelope import NONCE_BYTES
from rustun.protocol.frames import HEADER, HEADER_BYTES, FrameType
from rustun.protocol.handshake import Hello, Initiator, Refusal
from rustun.protocol.records import Cipher, RecordSealer
from rustun.protocol.suites import KEY, Credentials, public_key

MEMBERS_PER_CLUSTER: Final = 50
FIRST_SOURCE: Final = IPv4Address("127.1.0.1")
KEEPALIVE_SECONDS: Final = 120  # announced; nothing has to be said while the crowd stays
ANSWER_SECONDS: Final = 10.0
RECORD_BYTES: Final = 1024


def identity(number: int) -> str:
    """Return the name of one of the crowd."""
    return f"crowd-{number}"


def private_key(number: int) -> X25519PrivateKey:
    """Return the private key of one of the crowd."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(identity(number).encode()).digest())


def routes(clients: int) -> Iterator[dict[str, Any]]:
    """Yield routes.json entries of the crowd: tenants of 50 members, all with the same addresses."""
    for number in range(clients):
        cluster, place = divmod(number, MEMBERS_PER_CLUSTER)
        yield {
            "cluster": f"crowd-{cluster}",
            "identity": identity(number),
            "private_ip": f"10.200.0.{place + 1}",
            "mask": "255.255.255.0",
            "gateway": "10.200.0.254",
            "public_key": encode_key(public_key(private_key(number))),
            "ciders": [],
        }


def extend(routes_file: Path, clients: int) -> None:
    """Add the crowd to a generated routes.json, before the server reads it."""
    entries = [*json.loads(routes_file.read_text()), *routes(clients)]
    routes_file.write_text(json.dumps(entries, indent=1) + "\n")


def join(port: int, server_key: bytes, number: int) -> socket.socket:
    """Connect one of the crowd and prove its keys. Raises OSError or ProtocolError when the server will not have it."""
    stream = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS, (str(FIRST_SOURCE + number), 0))
    hello = Hello(identity(number), "crowd", (Cipher.AES256, Cipher.CHACHA20), frozenset(), KEEPALIVE_SECONDS, 1500)
    credentials = Credentials(KEY, static=private_key(number), remote_static=server_key)
    initiator = Initiator(credentials, hello, os.urandom(32), os.urandom(NONCE_BYTES))
    stream.sendall(initiator.first_frame)
    *_, length = HEADER.unpack(_exactly(stream, HEADER_BYTES))
    answer = initiator.receive(_exactly(stream, length))
    if isinstance(answer, Refusal) or initiator.keys is None:
        raise ConnectionRefusedError(f"{hello.identity}: {answer}")
    sealer = RecordSealer(answer.cipher, initiator.keys.client_to_server, clock_gettime(CLOCK_BOOTTIME))
    record = bytearray(RECORD_BYTES)
    end = sealer.seal_into(encode(Ping(0, None)), memoryview(record), 0, FrameType.CONTROL)
    stream.sendall(record[:end])
    stream.setblocking(False)
    return stream


def _exactly(stream: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        data = stream.recv(length - len(received))
        if not data:
            raise ConnectionError("closed without a word")
        received += data
    return received


def stay(streams: list[socket.socket], seconds: float) -> int:
    """Read whatever comes for so long and return how many connections ended."""
    dropped = 0
    deadline = monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - monotonic()) > 0:
            for key, _ in selector.select(left):
                if _ended(key.fileobj):
                    selector.unregister(key.fileobj)
                    dropped += 1
    return dropped


def _ended(stream: Any) -> bool:
    try:
        return not stream.recv(1 << 16)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def allow_descriptors() -> int:
    """Let this process, and those that it starts, open as many files as the hard limit says; return that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    """Join, say so, stay, report."""
    port, server_key, clients, seconds = sys.argv[1:]
    allow_descriptors()
    key = parse_public_key(server_key)
    began = monotonic()
    streams = [join(int(port), key, number) for number in range(int(clients))]
    print(json.dumps({"online": len(streams), "seconds": monotonic() - began}), flush=True)
    print(json.dumps({"dropped": stay(streams, float(seconds))}), flush=True)
    for stream in streams:
        stream.close()


if __name__ == "__main__":
    main()
