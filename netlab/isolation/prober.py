"""Send probes in every namespace and watch for them in every namespace.

Rules of this module
  1. At each tap one packet socket sends and another one watches, both made inside the namespace. They work below the
     routing table: a forged source or a broadcast leaves as it was written, what that kernel would ignore is seen when
     it comes in, and what goes into a tunnel is seen when it leaves.
  2. A batch is over when everything that has to arrive has arrived, every packet that went into a tunnel has been
     counted by its client and by the relay, and markers have come from the sender and to each target. Nothing is waited
     for but events. What is lost costs QUIET_SECONDS in which nothing moves; a marker that did not come once is not
     waited for again.
  3. What comes in is compared with what was sent, byte for byte behind the IP header.
"""

from __future__ import annotations

import select
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from time import monotonic, time_ns
from types import TracebackType
from typing import Final

from netlab.isolation.accounts import Counts, Flows, counts_of, rise
from netlab.isolation.expectation import Expectation
from netlab.isolation.packets import ECHO_PORT, Seen, craft, recognise, whole
from netlab.isolation.plan import Batch, Probe
from netlab.isolation.taps import Tap, inner_taps
from netlab.lab import Laboratory
from netlab.namespaces import NetworkNamespace
from netlab.statuses import read_statuses
from netlab.topology import SERVER

QUIET_SECONDS: Final = 0.25  # beside what the slowest links need
SETTLE_STEP_SECONDS: Final = 0.002  # between two looks at the counters, unless a packet comes
QUIET_STEP_SECONDS: Final = 0.02  # the same, once nothing moves: each look costs every process a document
SURE_ROUNDS: Final = 3  # in which nothing moves, where counters alone cannot tell
QUIET_ROUNDS: Final = 10  # a busy machine has longer rounds
QUIET_DELAYS: Final = 4  # links on the longest way: sender, relay, receiver, its LAN host
SENT_AT_ONCE: Final = 8  # probes between two looks at what has come
PACKET_BYTES: Final = 1 << 16
PACKET_RECV_BYTES: Final = 4 << 20
ETH_P_ALL: Final = 3
PROTOCOLS: Final = {4: 0x0800, 6: 0x86DD}
SO_TIMESTAMPNS: Final = 35
TIMESTAMP: Final = struct.Struct("=qq")  # struct timespec, on machines of 64 bits
ANCILLARY_BYTES: Final = 64
SOL_PACKET: Final = 263
SYNACK_RETRIES: Final = Path("/proc/sys/net/ipv4/tcp_synack_retries")
PACKET_STATISTICS: Final = 6  # struct tpacket_stats: packets, drops; reading sets them to 0


Watch = Callable[[Tap, int, bool, bytes], None]
Sighted = tuple[int, str, bool]  # a probe's number, the node where it came in, and whether it was the answer


@dataclass(frozen=True, slots=True)
class Trace:
    """What the taps saw of one probe.

    Attributes:
        sent: how many packets it is.
        left: how many of them went into a tunnel at its sender's side.
        arrived: nodes where it came in.
        answered: nodes where an answer to it came in.
        altered: whether it came in with other bytes than were sent.
    """

    probe: Probe
    sent: int
    left: int
    arrived: frozenset[str]
    answered: frozenset[str]
    altered: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """All that came of one batch.

    Attributes:
        from_senders, to_targets: (node, IP version) of those whose marker came through.
        outgoing: packets that went into each member's tunnel, by addresses.
        counts: how far the counters of each member rose; those that could not be read are missing.
        lost: packets that the taps were too slow for.
        until_ns: when the books were closed, before the markers went; nanoseconds since 1970.
    """

    traces: tuple[Trace, ...]
    from_senders: frozenset[tuple[str, int]] = frozenset()
    to_targets: frozenset[tuple[str, int]] = frozenset()
    outgoing: Mapping[str, Flows] | None = None
    counts: Mapping[str, Counts] | None = None
    lost: int = 0
    until_ns: int = 0


class Prober:
    """All sockets of a running laboratory; a context manager.

    Args:
        lab: it has to be up.
        expectation: what its inventory says.
        more_taps: to watch as well; what they see goes to `watch` alone.
        watch: called with each packet that any tap sees: the tap, when (nanoseconds since 1970), whether it goes out,
            and its bytes from the IP header on.
    """

    def __init__(
        self,
        lab: Laboratory,
        expectation: Expectation,
        more_taps: Sequence[Tap] = (),
        watch: Watch | None = None,
    ) -> None:
        self._lab = lab
        self._expectation = expectation
        self._watch = watch
        self._numbers = count(1)
        self._open = ExitStack()
        self._poll = select.epoll()
        self._open.enter_context(self._poll)
        self._watched: dict[int, tuple[socket.socket, Tap]] = {}
        self._echoes: dict[int, socket.socket] = {}
        self._senders: dict[str, tuple[socket.socket, Tap]] = {}
        self._probes: dict[int, _Sent] = {}
        self._sighted: set[Sighted] = set()
        self._outgoing: dict[str, Counter[tuple[bytes, bytes]]] = {}
        self._dead: set[tuple[str, str]] = set()
        self._counts: dict[str, Counts] = {}
        self._quiet_seconds = QUIET_SECONDS + QUIET_DELAYS * _slowest(lab)
        try:
            self._open_all((*inner_taps(lab), *more_taps))
            self._begin()
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Prober:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _open_all(self, taps: Sequence[Tap]) -> None:
        spaces = self._lab.namespaces
        for tap in taps:
            watching = self._open.enter_context(spaces[tap.node].run(partial(_packet_socket, tap, ETH_P_ALL)))
            self._watched[watching.fileno()] = (watching, tap)
            self._poll.register(watching, select.EPOLLIN)
            if tap.sends:
                sending = self._open.enter_context(spaces[tap.node].run(partial(_packet_socket, tap, 0)))
                self._senders[tap.node] = (sending, tap)
        for site in self._expectation.sites:
            self._open.enter_context(_impatient(spaces[site.node]))
            for echo in spaces[site.node].run(partial(_responders, [str(address) for address in site.own])):
                self._open.enter_context(echo)
                if echo.type == socket.SOCK_DGRAM:
                    self._echoes[echo.fileno()] = echo
                    self._poll.register(echo, select.EPOLLIN)

    # --- a batch -----------------------------------------------------------------------------------------------------

    def run(self, batch: Batch) -> Observed:
        """Send a batch, wait until it is over (rule 2), and return what was seen and counted."""
        self._probes.clear()
        self._sighted.clear()
        self._forget_outgoing()
        numbers = [self._send(probe) for probe in batch.probes]
        counts = self._settle({found for number in numbers for found in self._probes[number].wanted})
        until_ns = time_ns()
        outgoing = {member: _addresses(flows) for member, flows in self._outgoing.items()}
        traces = tuple(self._trace(number) for number in numbers)
        came = self._mark((*batch.from_senders, *batch.to_targets))
        return Observed(
            traces,
            frozenset((one.sender, one.source.version) for one in batch.from_senders if one in came),
            frozenset((one.target, one.source.version) for one in batch.to_targets if one in came),
            outgoing,
            counts,
            sum(_lost(sock) for sock, _ in self._watched.values()),
            until_ns,
        )

    def _forget_outgoing(self) -> None:
        for flows in self._outgoing.values():
            flows.clear()

    def _send(self, probe: Probe) -> int:
        number = next(self._numbers)
        sent = self._probes[number] = _Sent(probe, number)
        sender, tap = self._senders[probe.sender]
        for packet in sent.packets:
            sender.sendto(packet, (tap.interface, PROTOCOLS[probe.source.version], 0, 0, tap.gateway))
        if number % SENT_AT_ONCE == 0:
            self._listen(0.0)
        return number

    def _mark(self, markers: Iterable[Probe]) -> set[Probe]:
        """Send markers, each path once, and return those that came through."""
        self._forget_outgoing()
        sent = {self._send(marker): marker for marker in dict.fromkeys(markers)}
        here = {number: (number, marker.receiver, False) for number, marker in sent.items()}
        self._settle({one for number, one in here.items() if _path(sent[number]) not in self._dead})
        came = [number for number, one in here.items() if one in self._sighted]
        self._dead.update(_path(marker) for number, marker in sent.items() if number not in came)
        return {sent[number] for number in came}

    def _trace(self, number: int) -> Trace:
        sent = self._probes[number]
        arrived = frozenset(node for found, node, answer in self._sighted if found == number and not answer)
        answered = frozenset(node for found, node, answer in self._sighted if found == number and answer)
        return Trace(sent.probe, len(sent.packets), sent.left, arrived, answered, sent.altered)

    # --- counters ----------------------------------------------------------------------------------------------------

    def _settle(self, wanted: set[Sighted]) -> dict[str, Counts]:
        """Wait until nothing is on its way any more, and what is wanted has come; return how far the counters rose.

        Nothing is on its way when what taps saw going into a tunnel has been read by its client, dealt with by the
        relay, and handed over or dropped by a client. What was lost on the way shows by nothing moving any more,
        although every process has been heard of QUIET_ROUNDS times.
        """
        moved_at, rounds = monotonic(), 0
        before: object = None
        while True:
            self._listen(0.0)
            sent = self._sent_by_tap()
            now = self._read_counts()
            self._listen(0.0)
            risen = {name: rise(one, self._counts[name]) for name, one in now.items() if name in self._counts}
            agreed = all(one.settled and one.read == sent.get(name, 0) for name, one in risen.items())
            sure = rounds >= SURE_ROUNDS or not any(one.late for one in risen.values())
            if agreed and sure and sent == self._sent_by_tap() and wanted <= self._sighted:
                break
            if before != (now, sent, len(self._sighted)):
                before, moved_at, rounds = (now, sent, len(self._sighted)), monotonic(), 0
            elif rounds > QUIET_ROUNDS and monotonic() - moved_at > self._quiet_seconds:
                break
            rounds += 1
            self._listen(SETTLE_STEP_SECONDS if rounds <= SURE_ROUNDS else QUIET_STEP_SECONDS)
        self._counts = now
        return risen

    def _begin(self) -> None:
        """Take the counters at a moment when no packet goes by."""
        while True:
            self._forget_outgoing()
            self._counts = self._read_counts()
            self._listen(0.0)
            if not any(self._sent_by_tap().values()) and self._counts == self._read_counts():
                return

    def _sent_by_tap(self) -> dict[str, int]:
        return {member: flows.total() for member, flows in self._outgoing.items()}

    def _read_counts(self) -> dict[str, Counts]:
        members = [member.identity for member in self._lab.spec.members]
        documents = read_statuses({name: self._lab.control(name) for name in (SERVER, *members)})
        sessions = {session["identity"]: session for session in documents.get(SERVER, {}).get("sessions", ())}
        return {
            name: counts_of(documents[name], sessions[name])
            for name in members
            if name in documents and name in sessions
        }

    # --- taps --------------------------------------------------------------------------------------------------------

    def _listen(self, seconds: float) -> None:
        """Take what has come, and wait for something at most so long."""
        ready = self._poll.poll(seconds)
        for descriptor, _ in ready:
            if (echo := self._echoes.get(descriptor)) is not None:
                data, sender = echo.recvfrom(PACKET_BYTES)
                echo.sendto(data, sender)
            else:
                self._drain(*self._watched[descriptor])

    def _drain(self, sock: socket.socket, tap: Tap) -> None:
        while True:
            try:
                data, ancillary, _, (_, _, direction, *_) = sock.recvmsg(PACKET_BYTES, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            goes_out = direction == socket.PACKET_OUTGOING
            if self._watch is not None:
                seconds, nanoseconds = TIMESTAMP.unpack(ancillary[0][2])
                self._watch(tap, seconds * 10**9 + nanoseconds, goes_out, data)
            if tap.counts:
                self._note(tap, goes_out, recognise(data))

    def _note(self, tap: Tap, goes_out: bool, found: Iterable[Seen]) -> None:
        for seen in found:
            sent = self._probes.get(seen.number)
            if goes_out and tap.tunnel:
                flows = self._outgoing.setdefault(tap.node, Counter())
                flows[seen.source, seen.destination] += 1
                if sent is not None and sent.is_it(seen) and tap.node == self._member(sent.probe.sender):
                    sent.left += 1
            elif sent is not None and not goes_out:
                self._sighted.add((seen.number, tap.node, sent.sight(seen)))

    def _member(self, node: str) -> str:
        return self._expectation.site_of[node].member


class _Sent:
    """A probe on its way."""

    def __init__(self, probe: Probe, number: int) -> None:
        self.probe = probe
        self.packets = craft(probe, number)
        self.left = 0
        self.altered = False
        self.wanted = [(number, probe.receiver, False)] * bool(probe.receiver)
        self.wanted += [(number, probe.sender, True)] * probe.answered
        self._ends = (probe.source.packed, probe.destination.packed)
        self._inside = {seen.inside for packet in self.packets for seen in recognise(packet)}
        # a gateway's firewall joins fragments, and its kernel cuts them anew: any piece of the whole is as it was sent
        self._whole = whole(probe, number)[0] if probe.kind == "fragments" else b""

    def is_it(self, seen: Seen) -> bool:
        """Tell whether this is the probe itself, not an answer to it."""
        return seen.inside in self._inside or seen.inside in self._whole

    def sight(self, seen: Seen) -> bool:
        """Note a packet that came in; return whether it is an answer, whoever gives it: a broadcast asks everybody."""
        answer = seen.destination == self._ends[0] and seen.source != self._ends[0]
        if not answer and ((seen.source, seen.destination) != self._ends or not self.is_it(seen)):
            self.altered = True
        return answer


def _addresses(flows: Mapping[tuple[bytes, bytes], int]) -> Flows:
    return {(ip_address(source), ip_address(destination)): number for (source, destination), number in flows.items()}


def _packet_socket(tap: Tap, protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PACKET_RECV_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((tap.interface, protocol))
    return sock


def _path(marker: Probe) -> tuple[str, str]:
    return marker.sender, marker.target


@contextmanager
def _impatient(namespace: NetworkNamespace) -> Iterator[None]:
    """Let a kernel answer a connection attempt once: what is sent again seconds later belongs to another batch."""
    before = namespace.run(SYNACK_RETRIES.read_text)
    namespace.run(partial(SYNACK_RETRIES.write_text, "0"))
    try:
        yield
    finally:
        namespace.run(partial(SYNACK_RETRIES.write_text, before))


def _slowest(lab: Laboratory) -> float:
    """Return the longest delay of any link, in seconds."""
    ways = (way for link in lab.topology.links.values() for way in (link.forth, link.back))
    return max((way.delay_s + way.jitter_s for way in ways), default=0.0)


def _lost(sock: socket.socket) -> int:
    return int.from_bytes(sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)[4:], "little")


def _responders(addresses: Sequence[str]) -> list[socket.socket]:
    """Open the TCP port, and a UDP echo on each address: one on all might answer from another than was asked."""
    responders = [socket.create_server(("::", ECHO_PORT), family=socket.AF_INET6, dualstack_ipv6=True)]
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        responders.append(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
        responders[-1].bind((address, ECHO_PORT))
    return responders
