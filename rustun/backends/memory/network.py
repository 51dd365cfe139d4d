"""TCP in memory (base.Network), with the faults that a test asks for.

Rules of this module
  1. What holds for TCP holds here: bytes arrive in order and once, or the connection breaks. A cut link holds
     everything back, ends included, and delivers it when it is mended; nobody is told meanwhile.
  2. A direction holds `buffer_bytes` in all, on the way and unread; when it is full a write takes nothing.
  3. All networks of one fabric share its listeners, links and faults; each stands for one host.
  4. Bytes are acknowledged as they arrive. On a narrow way the first write that makes a full segment is lost with all
     that follows it in its direction, as often as it is sent again; what fits small segments gets through.
  5. Everything random comes from the seed.
"""

from __future__ import annotations

import errno
import math
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rustun.backends.base import Buffer, Callback, Endpoint, PathReport
from rustun.backends.memory.reactor import VirtualReactor
from rustun.errors import HostError

SEGMENT_BYTES: Final = 1448  # of a stream that was not told otherwise
NARROW_BYTES: Final = 1220
FIRST_TIMEOUT_S: Final = 0.2  # before bytes are sent again; doubles each time


@dataclass
class Faults:
    """What goes wrong, or slowly; a test may change any of it at any time.

    Attributes:
        latency_s: one way.
        buffer_bytes: room of each direction of a connection.
        short_writes: a write takes a random part of what it could.
        refused_writes: share of writes that take nothing, 0 to 1.
        receive_bytes: a read gives at most this many; 0 for no limit.
        accept_errno: `accept` fails with this while it is not 0.
        cut: addresses that nothing reaches or leaves; connections stay, silent.
        parted: pairs of addresses that do not reach each other; likewise.
        gone: addresses that their hosts do not have any more; connections stay, silent.
        narrow: addresses on whose way segments over NARROW_BYTES are lost.
        names: what `resolve` knows.
    """

    latency_s: float = 0.001
    buffer_bytes: int = 256 * 1024
    short_writes: bool = False
    refused_writes: float = 0.0
    receive_bytes: int = 0
    accept_errno: int = 0
    cut: set[str] = field(default_factory=set)
    parted: set[frozenset[str]] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    narrow: set[str] = field(default_factory=set)
    names: dict[str, list[str]] = field(default_factory=dict)


_Arrival = Callable[["MemoryStream"], None]


class _Fabric:
    """What the networks of all hosts share."""

    def __init__(self, reactor: VirtualReactor, seed: int) -> None:
        self.reactor = reactor
        self.rng = random.Random(seed)
        self.faults = Faults()
        self.listeners: dict[Endpoint, MemoryListener] = {}
        self.held: list[tuple[frozenset[str], Callback]] = []
        self._last_arrival: dict[frozenset[str], float] = {}
        self._next_port = 40_000

    def free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    def deliver(self, hosts: frozenset[str], arrive: Callback) -> None:
        """Call `arrive` one latency later, or once the link is whole again, never out of order."""
        when = max(self.reactor.now() + self.faults.latency_s, self._last_arrival.get(hosts, 0.0))
        self._last_arrival[hosts] = when  # a latency that shrinks does not let bytes overtake
        self.reactor.call_at(when, lambda: self._arrive(hosts, arrive))

    def mend(self) -> None:
        """Deliver what was held back on links that are whole now."""
        held, self.held = self.held, []
        for hosts, arrive in held:
            self._arrive(hosts, arrive)

    def _arrive(self, hosts: frozenset[str], arrive: Callback) -> None:
        waiting = any(earlier == hosts for earlier, _ in self.held)
        if waiting or (self.faults.cut | self.faults.gone) & hosts or hosts in self.faults.parted:
            self.held.append((hosts, arrive))
        else:
            arrive()


class MemoryStream:
    """One end of a connection (base.Stream)."""

    def __init__(self, fabric: _Fabric, local: Endpoint, remote: Endpoint, segment_bytes: int) -> None:
        self.local = local
        self.segment_bytes = segment_bytes
        self.peer: MemoryStream | None = None  # set once connected
        self._fabric = fabric
        self._remote = remote
        self._number = fabric.reactor.next_number()
        self._hosts = frozenset({local.host, remote.host})
        self._received = bytearray()
        self._outstanding = 0  # bytes sent that the other end has not read yet
        self._sent = self._acked = self._sent_segments = self._received_segment_bytes = 0
        self._moved_at = fabric.reactor.now()  # when bytes were last acknowledged, or none had to be
        self._lost = False  # a segment was, and so is all behind it
        self._end_received = False
        self._error: OSError | None = None
        self._connect_error: OSError | None = None

    @property
    def remote(self) -> Endpoint:
        """The peer's address and port."""
        return self._remote

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._number

    def readable(self) -> bool:
        """Return whether bytes, an end or an error are there."""
        return bool(self._received) or self._end_received or self._failed()

    def writable(self) -> bool:
        """Return whether there is room, or an error to find."""
        return self._failed() or (self.peer is not None and self._room() > 0)

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read what is there; 0 at the end, None when nothing is there. Raises: ConnectionError."""
        self._check_open()
        if self._received:
            length = min(len(buffer), len(self._received), self._fabric.faults.receive_bytes or len(buffer))
            buffer[:length] = self._received[:length]
            del self._received[:length]
            self._acknowledge(length)
            return length
        if self._error is not None:
            raise ConnectionError(self._error.errno, self._error.strerror)
        return 0 if self._end_received else None

    def send(self, data: Buffer) -> int:
        """Take what fits, return how many bytes that was. Raises: ConnectionError."""
        self._check_open()
        if self._error is not None:
            raise ConnectionError(self._error.errno, self._error.strerror)
        faults = self._fabric.faults
        length = min(len(data), self._room()) if self.peer is not None else 0
        if length and self._fabric.rng.random() < faults.refused_writes:
            length = 0
        elif length > 1 and faults.short_writes:
            length = self._fabric.rng.randint(1, length)
        if length:
            self._put_on_the_way(bytes(data[:length]))
        return length

    def _put_on_the_way(self, chunk: bytes) -> None:
        if self._sent == self._acked:
            self._moved_at = self._fabric.reactor.now()
        self._sent += len(chunk)
        self._sent_segments += math.ceil(len(chunk) / self.segment_bytes)
        self._outstanding += len(chunk)
        narrow = self._hosts & self._fabric.faults.narrow
        self._lost |= bool(narrow) and min(len(chunk), self.segment_bytes) > NARROW_BYTES
        if not self._lost:
            self._to_peer(lambda peer: self._arrived(peer, chunk))

    def _arrived(self, peer: MemoryStream, chunk: bytes) -> None:
        self._acked += len(chunk)
        self._moved_at = self._fabric.reactor.now()
        peer._received_segment_bytes = max(peer._received_segment_bytes, min(len(chunk), self.segment_bytes))
        peer._take(chunk)

    def connect_error(self) -> OSError | None:
        """Return why connecting failed, or None when it succeeded."""
        error, self._connect_error = self._connect_error, None
        return error

    def adapt_to_path(self) -> None:
        """Nothing to choose: all paths here are alike."""

    def path(self) -> PathReport:
        """Return what a kernel would know of the way."""
        waited = self._fabric.reactor.now() - self._moved_at if self._acked < self._sent else 0.0
        timeouts = int(math.log2(waited / FIRST_TIMEOUT_S + 1))
        sent, acked, segments = self._sent, self._acked, self._sent_segments
        received = self._received_segment_bytes
        return PathReport(acked, sent - acked, timeouts, self.segment_bytes, sent, segments, received)

    def is_stranded(self) -> bool:
        """Return whether this end's address is gone."""
        return self.local.host in self._fabric.faults.gone

    def close(self) -> None:
        """Close in order; a second call is harmless."""
        if self._number >= 0:
            self._number = -1
            if not self._lost:
                self._to_peer(MemoryStream._take_end)

    def reset(self) -> None:
        """Close with a reset; a second call is harmless."""
        if self._number >= 0:
            self._number = -1
            self._to_peer(MemoryStream._take_reset)

    def establish(self, peer: MemoryStream) -> None:
        """Become connected."""
        self.peer = peer
        self._fabric.reactor.poke(self)

    def fail_connect(self, number: int) -> None:
        """Learn that nobody listens there."""
        self._connect_error = self._error = OSError(number, os.strerror(number))
        self._fabric.reactor.poke(self)

    def _room(self) -> int:
        return max(self._fabric.faults.buffer_bytes - self._outstanding, 0)

    def _failed(self) -> bool:
        return self._error is not None or self._number < 0

    def _check_open(self) -> None:
        if self._number < 0:
            raise ConnectionError(errno.EBADF, os.strerror(errno.EBADF))

    def _to_peer(self, arrive: _Arrival) -> None:
        peer = self.peer
        if peer is not None:
            self._fabric.deliver(self._hosts, lambda: arrive(peer))

    def _acknowledge(self, length: int) -> None:
        def arrive(peer: MemoryStream) -> None:
            peer._outstanding -= length
            peer._fabric.reactor.poke(peer)

        self._to_peer(arrive)

    def _take(self, chunk: bytes) -> None:
        if self._number < 0:  # closed here: what still comes is answered with a reset
            self._to_peer(MemoryStream._take_reset)
            return
        self._received += chunk
        self._fabric.reactor.poke(self)

    def _take_end(self) -> None:
        self._end_received = True
        self._fabric.reactor.poke(self)

    def _take_reset(self) -> None:
        self._error = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self._fabric.reactor.poke(self)


class MemoryListener:
    """A listening socket (base.Listener); made by MemoryNetwork."""

    def __init__(self, fabric: _Fabric, endpoint: Endpoint) -> None:
        self._fabric = fabric
        self._endpoint = endpoint
        self._number = fabric.reactor.next_number()
        self._waiting: deque[MemoryStream] = deque()

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._endpoint

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._number

    def readable(self) -> bool:
        """Return whether a connection waits."""
        return bool(self._waiting)

    def writable(self) -> bool:
        """Return False: nothing can be written to a listener."""
        return False

    def accept(self) -> MemoryStream | None:
        """Return the next connection, or None. Raises: OSError as the faults say."""
        number = self._fabric.faults.accept_errno
        if number and self._waiting:
            raise OSError(number, os.strerror(number))
        return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Stop listening; connections that nobody accepted are reset."""
        if self._number < 0:
            return
        self._number = -1
        del self._fabric.listeners[self._endpoint]
        while self._waiting:
            self._waiting.popleft().reset()

    def take(self, stream: MemoryStream) -> None:
        """Let a connection wait to be accepted."""
        self._waiting.append(stream)
        self._fabric.reactor.poke(self)


class MemoryNetwork:
    """The network as one host sees it (base.Network).

    Args:
        reactor: whose time it lives in.
        seed: of everything random.
        address: numeric address of this host. `host` makes others on the same fabric.
    """

    def __init__(
        self,
        reactor: VirtualReactor,
        seed: int = 0,
        address: str = "192.0.2.1",
        *,
        _fabric: _Fabric | None = None,
    ) -> None:
        self.address = address
        self._reactor = reactor
        self._fabric = _fabric or _Fabric(reactor, seed)

    @property
    def faults(self) -> Faults:
        """What goes wrong; shared by all hosts of the fabric."""
        return self._fabric.faults

    def host(self, address: str) -> MemoryNetwork:
        """Return the same network as another host sees it."""
        return MemoryNetwork(self._reactor, address=address, _fabric=self._fabric)

    def mend(self, *addresses: str) -> None:
        """Take an address off the cut ones, or two off the parted ones, and deliver what was held back."""
        self._fabric.faults.cut.difference_update(addresses)
        self._fabric.faults.parted.discard(frozenset(addresses))
        self._fabric.mend()

    def listen(self, endpoint: Endpoint) -> MemoryListener:
        """Listen on one address, or on all of this host ("0.0.0.0", "::"). Raises: HostError (port taken)."""
        host = self.address if endpoint.host in ("0.0.0.0", "::") else endpoint.host
        bound = Endpoint(host, endpoint.port or self._fabric.free_port())
        if bound in self._fabric.listeners:
            raise HostError(f"cannot listen on {endpoint}: the port is taken", "listen on another port")
        listener = self._fabric.listeners[bound] = MemoryListener(self._fabric, bound)
        return listener

    def move(self, address: str) -> None:
        """Give this host another address; what was connected from the old one stays so, silent."""
        self._fabric.faults.gone.add(self.address)
        self.address = address

    def connect(self, endpoint: Endpoint, max_segment_bytes: int = 0) -> MemoryStream:
        """Start connecting; the answer comes one round trip later."""
        fabric = self._fabric
        segment_bytes = min(SEGMENT_BYTES, max_segment_bytes or SEGMENT_BYTES)
        stream = MemoryStream(fabric, Endpoint(self.address, fabric.free_port()), endpoint, segment_bytes)
        hosts = frozenset({self.address, endpoint.host})

        def arrive() -> None:
            listener = fabric.listeners.get(endpoint)
            if listener is None:
                fabric.deliver(hosts, lambda: stream.fail_connect(errno.ECONNREFUSED))
                return
            accepted = MemoryStream(fabric, endpoint, stream.local, segment_bytes)
            accepted.establish(stream)
            fabric.deliver(hosts, lambda: self._established(stream, accepted))
            listener.take(accepted)

        fabric.deliver(hosts, arrive)
        return stream

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return the addresses of a name in `faults.names`; numeric ones as they are. Raises: OSError."""
        if endpoint.host.replace(".", "").isdigit() or ":" in endpoint.host:
            return [endpoint]
        found = self.faults.names.get(endpoint.host, [])
        if not found:
            raise OSError(errno.ENOENT, f"no address for {endpoint.host}")
        return [Endpoint(host, endpoint.port) for host in found]

    def _established(self, stream: MemoryStream, accepted: MemoryStream) -> None:
        if stream.fileno() < 0:  # given up meanwhile
            accepted._take_reset()
        else:
            stream.establish(accepted)
