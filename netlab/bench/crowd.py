"""Thousands of idle members from one process: full handshakes over loopback, each from an address of its own.

    python -m netlab.bench.crowd PORT SERVER_PUBLIC_KEY CLIENTS SECONDS [AT_A_TIME]

Prints {"ready": N} when all first messages are made, {"online": N, "seconds": S, "longest_s": L} when all have proved
their keys, stays for SECONDS without a word while it reads what comes, then prints {"dropped": N}: how many the server
closed. With AT_A_TIME (connections under way) it stays until the server is gone instead, comes back to the next one,
prints {"back": N} when that is done, and ends; SECONDS is what each of the two may take.

It speaks the key tier with the project's own protocol core and no client code, so what is measured is the server. The
crowd's private keys follow from its numbers: they are worth nothing outside of the laboratory that lets the crowd in.
"""

from __future__ import annotations

import hashlib
import json
import selectors
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from time import monotonic
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.bench.newcomers import Arrivals, Newcomer
from rustun.backends.process import allow_descriptors
from rustun.config.keys import encode_key, parse_public_key
from rustun.protocol.suites import public_key

MEMBERS_PER_CLUSTER: Final = 50
FIRST_SOURCE: Final = IPv4Address("127.1.0.1")
JOIN_SECONDS: Final = 60.0


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


def newcomers(server_key: bytes, clients: int) -> list[Newcomer]:
    """Return the crowd, ready to come in."""
    return [
        Newcomer(FIRST_SOURCE + number, identity(number), private_key(number), server_key) for number in range(clients)
    ]


def stay(crowd: list[Newcomer], seconds: float, *, until_gone: bool = False) -> int:
    """Read whatever comes for so long, or until all connections have ended, and return how many have."""
    dropped = 0
    deadline = monotonic() + seconds
    with selectors.EpollSelector() as selector:
        for one in crowd:
            assert one.stream is not None
            selector.register(one.stream, selectors.EVENT_READ)
        while (left := deadline - monotonic()) > 0 and not (until_gone and dropped == len(crowd)):
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


def come_back(port: int, crowd: list[Newcomer], seconds: float, at_a_time: int) -> int:
    """Wait until the server is gone, let all of them in again, and return how many made it."""
    stay(crowd, seconds, until_gone=True)
    for one in crowd:
        one.start_over()
    return len(Arrivals(port, crowd, at_a_time).run(monotonic() + seconds))


def main() -> None:
    """Join, say so, stay, report."""
    port, server_key, clients, seconds, *more = sys.argv[1:]
    allow_descriptors()
    crowd = newcomers(parse_public_key(server_key), int(clients))
    _say({"ready": len(crowd)})
    began = monotonic()
    inside = Arrivals(int(port), crowd).run(began + JOIN_SECONDS)
    longest = max((one.seconds for one in inside), default=0.0)
    _say({"online": len(inside), "seconds": monotonic() - began, "longest_s": longest})
    if more:
        _say({"back": come_back(int(port), inside, float(seconds), int(more[0]))})
    else:
        _say({"dropped": stay(inside, float(seconds))})


def _say(result: dict[str, float]) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
