"""What a user of a tunnel feels: short transfers, each over a fresh connection.

    python -m netlab.bench.visits serve                     prints {"port": N}, then answers until it is ended
    python -m netlab.bench.visits fetch ADDRESS PORT BYTES --seconds S --at-a-time N

A visit is an HTTP/1.0 request for that many bytes and the answer to its end (RFC 1945): one round trip for the
connection, one for the request, and what slow start takes. `fetch` prints {"visits": N, "seconds": S, "median_ms": M,
"p95_ms": P}. Standard library and plain sockets only: it shares its cores with what it measures.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
from statistics import median
from time import perf_counter
from typing import Final

from netlab.bench.estimates import percentile

BACKLOG: Final = 1024
REQUEST_BYTES: Final = 4096
RECEIVE_BYTES: Final = 1 << 18
MOST_BYTES: Final = 1 << 26


def serve() -> None:
    """Answer `GET /N` with N bytes, each connection on a thread of its own, for ever."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        while True:
            visitor, _ = listener.accept()
            threading.Thread(target=_answer, args=(visitor,), daemon=True).start()


def _answer(visitor: socket.socket) -> None:
    with visitor:
        try:
            request = visitor.recv(REQUEST_BYTES)
            wanted = min(MOST_BYTES, int(request.split()[1][1:]))
            head = f"HTTP/1.0 200 OK\r\nContent-Length: {wanted}\r\n\r\n".encode()
            visitor.sendall(head + bytes(wanted))
        except (OSError, ValueError, IndexError):  # a visitor that went away, or spoke something else
            return


def fetch(address: str, port: int, size: int, seconds: float, at_a_time: int) -> dict[str, float]:
    """Visit for so long, `at_a_time` visitors beside each other, and return what is printed."""
    took: list[float] = []
    begin = perf_counter()
    deadline = begin + seconds

    def visitor() -> None:
        while not took or perf_counter() < deadline:
            took.append(_visit(address, port, size))

    visitors = [threading.Thread(target=visitor) for _ in range(at_a_time)]
    for thread in visitors:
        thread.start()
    for thread in visitors:
        thread.join()
    elapsed = perf_counter() - begin
    took.sort()
    milliseconds = {"median_ms": median(took) * 1000, "p95_ms": percentile(took, 0.95) * 1000}
    return {"visits": len(took), "seconds": elapsed, **milliseconds}


def _visit(address: str, port: int, size: int) -> float:
    """Return the seconds of one visit. Raises RuntimeError when less came than was promised."""
    began = perf_counter()
    with socket.create_connection((address, port)) as connection:
        connection.sendall(f"GET /{size} HTTP/1.0\r\n\r\n".encode())
        buffer = memoryview(bytearray(RECEIVE_BYTES))
        received = connection.recv_into(buffer)
        expected = size + bytes(buffer[:received]).find(b"\r\n\r\n") + 4
        while received < expected and (more := connection.recv_into(buffer)):
            received += more
    if received != expected:
        raise RuntimeError(f"{received} of {expected} bytes came")
    return perf_counter() - began


def main() -> None:
    """Run one command of this program."""
    parser = argparse.ArgumentParser(prog="netlab.bench.visits", description="Short transfers over fresh connections.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve")
    visiting = commands.add_parser("fetch")
    visiting.add_argument("address")
    visiting.add_argument("port", type=int)
    visiting.add_argument("bytes", type=int)
    visiting.add_argument("--seconds", type=float, default=2.0)
    visiting.add_argument("--at-a-time", type=int, default=1)
    told = parser.parse_args()
    if told.command == "serve":
        serve()
    print(json.dumps(fetch(told.address, told.port, told.bytes, told.seconds, told.at_a_time)), flush=True)


if __name__ == "__main__":
    main()
