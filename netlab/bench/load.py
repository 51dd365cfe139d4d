"""Load for measurements: bulk TCP, paced UDP, ping. One small program, started inside a namespace.

    python -m netlab.bench.load tcp-sink                     prints {"port": N}; one JSON result when all senders ended
    python -m netlab.bench.load tcp-send ADDRESS PORT ...
    python -m netlab.bench.load udp-sink | udp-send | ping

Rules
  1. Standard library only and small: it shares two cores with what it measures.
  2. Everything is counted where it arrives; the sender's word counts only for what was offered.
  3. TCP is what an application gets that asks for nothing: the machine's own congestion control, the same with and
     without tunnel. Plain routing depends on it by a factor of 1.7 (28 Gbit/s with cubic, 17 with bbr between the same
     namespaces), the tunnel hardly, so a report says which it was.
  4. Sockets block without time limits (a limit costs a poll per call); who started this program sets its deadline.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import struct
import threading
from itertools import count, pairwise
from statistics import fmean, median
from time import perf_counter
from typing import Final

from netlab.bench.estimates import percentile
from netlab.kernel import set_timer_slack

BULK_BYTES: Final = 1 << 18  # one send(): several of the kernel's largest segments, yet 0.1 s at 20 Mbit/s
RECEIVE_BYTES: Final = 1 << 20
BURST_SECONDS: Final = 0.001  # paced datagrams leave in bursts: an earlier wake-up costs more than it smooths
SEQUENCE: Final = struct.Struct("!Q")
SO_RCVBUFFORCE: Final = 33
LAST: Final = (1 << 64) - 1  # sequence number that says "no more"
LAST_REPEATS: Final = 20
SINK_BUFFER_BYTES: Final = 8 << 20  # the sink must not be what loses datagrams
SINK_PATIENCE_SECONDS: Final = 5  # a silence this long also ends the count: every "no more" may be lost
TCP_NAME_BYTES: Final = 16  # TCP_CA_NAME_MAX
ICMP_ECHO: Final = struct.Struct("!BBHHH")
PING_BYTES: Final = 56
PING_PATIENCE_SECONDS: Final = 1.0


def say(result: dict[str, float | int]) -> None:
    """Print one result as a line of JSON, at once."""
    print(json.dumps(result), flush=True)


def congestion_control(stream: socket.socket) -> str:
    """Return the name of a TCP socket's congestion control."""
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, TCP_NAME_BYTES).rstrip(b"\0").decode()


def tcp_sink(streams: int) -> None:
    """Accept `streams` connections, read them to their ends and print bytes and seconds from first to last byte."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        say({"port": listener.getsockname()[1]})
        totals: list[tuple[int, float, float]] = []
        readers = []
        for _ in range(streams):
            stream, _ = listener.accept()
            readers.append(threading.Thread(target=lambda stream=stream: totals.append(_drain(stream))))
            readers[-1].start()
        for reader in readers:
            reader.join()
    begin = min(first for _, first, _ in totals)
    end = max(last for _, _, last in totals)
    say({"bytes": sum(received for received, _, _ in totals), "seconds": end - begin})


def _drain(stream: socket.socket) -> tuple[int, float, float]:
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    total = stream.recv_into(buffer)
    begin = end = perf_counter()
    while received := stream.recv_into(buffer):
        total += received
        end = perf_counter()
    stream.close()
    return total, begin, end


def tcp_send(address: str, port: int, streams: int, seconds: float, at: float) -> None:
    """Send as fast as `streams` connections take it, for so long; from the moment `at` of the monotonic clock on."""
    connections = [socket.create_connection((address, port)) for _ in range(streams)]
    select.select((), (), (), max(0.0, at - perf_counter()))
    senders = [threading.Thread(target=_fill, args=(connection, seconds)) for connection in connections]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()


def _fill(connection: socket.socket, seconds: float) -> None:
    block = memoryview(bytes(BULK_BYTES))
    deadline = perf_counter() + seconds
    with connection:
        while perf_counter() < deadline:
            connection.sendall(block)


def udp_sink() -> None:
    """Count datagrams until the sender's last one and print how many arrived, and how many of them late or twice."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _widen(sink)
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", SINK_PATIENCE_SECONDS, 0))
        sink.bind(("::", 0))
        say({"port": sink.getsockname()[1]})
        buffer = bytearray(1 << 16)
        received = disordered = 0
        expected = 0
        while True:
            try:
                sink.recv_into(buffer)
            except BlockingIOError:
                break
            (sequence,) = SEQUENCE.unpack_from(buffer)
            if sequence == LAST:
                break
            received += 1
            if sequence < expected:
                disordered += 1
            else:
                expected = sequence + 1
    say({"received": received, "disordered": disordered})


def _widen(sink: socket.socket) -> None:
    """Make the receive buffer as large as wanted, or as large as this user may."""
    try:
        sink.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, SINK_BUFFER_BYTES)
    except PermissionError:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SINK_BUFFER_BYTES)


def udp_send(address: str, port: int, size: int, rate: float, seconds: float) -> None:
    """Offer `rate` datagrams a second of `size` payload bytes, one system call each, and print how many were sent."""
    set_timer_slack(1000)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    datagram = bytearray(size)
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.connect((address, port))
        begin = perf_counter()
        sent = refused = 0
        send, pack_into = sender.send, SEQUENCE.pack_into
        while (elapsed := perf_counter() - begin) < seconds:
            due = int(elapsed * rate)
            for sequence in range(sent, due):
                pack_into(datagram, 0, sequence)
                try:
                    send(datagram)
                except OSError:  # ENOBUFS and the like: offered and lost
                    refused += 1
            sent = due
            pause = begin + elapsed + BURST_SECONDS - perf_counter()
            if pause > 0:
                select.select((), (), (), pause)
        SEQUENCE.pack_into(datagram, 0, LAST)
        for _ in range(LAST_REPEATS):
            select.select((), (), (), 0.02)
            _send_last(sender, datagram)
    say({"sent": sent, "refused": refused, "seconds": elapsed})


def _send_last(sender: socket.socket, datagram: bytearray) -> None:
    try:
        sender.send(datagram)
    except ConnectionRefusedError:  # the sink heard an earlier one and is gone
        return


def ping(address: str, echoes: int, interval: float) -> None:
    """Send echo requests at a fixed pace, one outstanding or not, and print the round trips in milliseconds.

    The jitter is the mean difference between one round trip and the next.
    """
    set_timer_slack(1000)
    six = ":" in address
    family, protocol, request, answer = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6, 128, 129) if six else (socket.AF_INET, socket.IPPROTO_ICMP, 8, 0)
    )
    identifier = os.getpid() & 0xFFFF
    sent_at: dict[int, float] = {}
    trips: list[float] = []
    with socket.socket(family, socket.SOCK_RAW, protocol) as echo:
        echo.connect((address, 0))
        begin = perf_counter()
        for sequence in count():
            due = begin + sequence * interval
            over = sequence == echoes
            limit = perf_counter() + PING_PATIENCE_SECONDS if over else due
            while (len(trips) < echoes) and (patience := limit - perf_counter()) > 0:
                if select.select((echo,), (), (), patience)[0]:
                    _take_echo(echo.recv(2048), perf_counter(), six, (answer, identifier), sent_at, trips)
            if over:
                break
            sent_at[sequence] = perf_counter()
            echo.send(_echo_request(request, identifier, sequence & 0xFFFF, six))
    jitter = fmean(abs(late - early) for early, late in pairwise(trips)) if len(trips) > 1 else 0.0
    trips.sort()
    result: dict[str, float | int] = {"sent": echoes, "received": len(trips)}
    if trips:
        result |= {"median_ms": median(trips), "mean_ms": fmean(trips), "max_ms": trips[-1]}
        result |= {"p95_ms": percentile(trips, 0.95), "p99_ms": percentile(trips, 0.99), "jitter_ms": jitter}
    say(result)


def _echo_request(kind: int, identifier: int, sequence: int, six: bool) -> bytes:
    message = ICMP_ECHO.pack(kind, 0, 0, identifier, sequence) + bytes(PING_BYTES)
    if six:
        return message  # the kernel adds the checksum of ICMPv6, which covers addresses that it chooses
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    total = (total & 0xFFFF) + (total >> 16)
    return ICMP_ECHO.pack(kind, 0, ~total & 0xFFFF, identifier, sequence) + bytes(PING_BYTES)


def _take_echo(
    packet: bytes, now: float, six: bool, wanted: tuple[int, int], sent_at: dict[int, float], trips: list[float]
) -> None:
    offset = 0 if six else (packet[0] & 15) * 4
    kind, _, _, identifier, sequence = ICMP_ECHO.unpack_from(packet, offset)
    if (kind, identifier) == wanted and sequence in sent_at:
        trips.append((now - sent_at.pop(sequence)) * 1000)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="netlab.bench.load", description="Load for measurements inside a namespace.")
    commands = parser.add_subparsers(dest="command", required=True)
    tcp_in = commands.add_parser("tcp-sink")
    tcp_in.add_argument("--streams", type=int, default=1)
    commands.add_parser("udp-sink")
    tcp_out = commands.add_parser("tcp-send")
    udp_out = commands.add_parser("udp-send")
    for sender in (tcp_out, udp_out):
        sender.add_argument("address")
        sender.add_argument("port", type=int)
        sender.add_argument("--seconds", type=float, default=2.0)
    tcp_out.add_argument("--streams", type=int, default=1)
    tcp_out.add_argument("--at", type=float, default=0.0, help="moment of the monotonic clock")
    udp_out.add_argument("--bytes", type=int, default=100, help="UDP payload")
    udp_out.add_argument("--rate", type=float, default=100_000, help="datagrams a second")
    echo = commands.add_parser("ping")
    echo.add_argument("address")
    echo.add_argument("--count", type=int, default=300)
    echo.add_argument("--interval", type=float, default=0.005, help="seconds")
    return parser.parse_args()


def main() -> None:
    """Run one command of this program."""
    arguments = _arguments()
    match arguments.command:
        case "tcp-sink":
            tcp_sink(arguments.streams)
        case "tcp-send":
            tcp_send(arguments.address, arguments.port, arguments.streams, arguments.seconds, arguments.at)
        case "udp-sink":
            udp_sink()
        case "udp-send":
            udp_send(arguments.address, arguments.port, arguments.bytes, arguments.rate, arguments.seconds)
        case "ping":
            ping(arguments.address, arguments.count, arguments.interval)


if __name__ == "__main__":
    main()
