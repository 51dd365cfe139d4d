"""What the relay and the client need from the outside world, and nothing more.

Rules of these contracts
  1. Everything runs on one thread and is driven by callbacks of a Reactor; nothing here blocks, except `resolve`
     (which is run through `Reactor.run_in_thread`) and the short calls of HostNetwork (netlink; `nft` takes 10 ms).
  2. "Would block" is a value (None or 0), never an exception.
  3. Errors of the transport surface as `ConnectionError`, those of a TUN device as described there; no other OSError
     leaves a data-path method.
  4. After `close` nothing is called back any more. Who closes a source unwatches it first (`Reactor.unwatch`), because
     a closed descriptor's number may belong to somebody else a moment later.
  5. Each contract has a Linux implementation and an in-memory twin (`memory/`); tests of the logic use the twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final, Protocol, TypeVar

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Prefix = IPv4Network | IPv6Network
Buffer = bytes | bytearray | memoryview
Callback = Callable[[], None]
T = TypeVar("T")

# Why a default route is left to the host that has it where nobody wants it: the one refusal that is no fault.
NOT_AN_EXIT: Final = "a default route is only taken from a member chosen as exit node"
OFFLOAD_HEADER_BYTES: Final = 10  # struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and TCP port; `host` is a name only where a client has not resolved it yet."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Timer(Protocol):
    """A call that was put off."""

    def cancel(self) -> None:
        """Make sure that the call does not happen; harmless when it already has."""


class Source(Protocol):
    """Something that a Reactor can watch."""

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""


class Reactor(Protocol):
    """Runs callbacks when sources are ready and when times come."""

    def now(self) -> float:
        """Return seconds of CLOCK_BOOTTIME: never steps back, counts the time of a suspend."""

    def wall_clock(self) -> float:
        """Return unix seconds; for `expires_at`, `last_active` and people, never for protocol decisions."""

    def call_at(self, when: float, callback: Callback) -> Timer:
        """Call back once at `when`, in seconds of `now()`; at the next turn if that has passed."""

    def call_soon(self, callback: Callback) -> None:
        """Call back once in the next turn of the loop, after sources that are ready then had theirs."""

    def call_when_idle(self, callback: Callback) -> None:
        """Call back once when nothing else is ready, one such call a turn; some ms late where something always is.

        For work that no packet shall wait for: each call is a slice of a millisecond or less, and asks for the next.
        """

    def longest_step_s(self) -> float:
        """Return how long the longest turn of the last minute took, in seconds: what a packet waited for at most.

        Turns of less than half a millisecond are not looked at: 0 where there were no others.
        """

    def watch(self, source: Source, on_readable: Callback | None, on_writable: Callback | None) -> None:
        """Call back whenever `source` is ready (level-triggered); replaces what was watched for it before.

        Errors and hang-ups are reported to both callbacks, to be found by the next read or write.
        """

    def unwatch(self, source: Source) -> None:
        """Stop all callbacks of `source`; harmless when it is not watched."""

    def run_in_thread(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Run blocking `work` on a thread and hand its result, or its exception, to `done` on the loop's thread."""


@dataclass(frozen=True, slots=True)
class PathReport:
    """What the kernel knows of the way that a connection's bytes take.

    Attributes:
        acked_bytes: that the other end's kernel has got since the connection began.
        outstanding_bytes: that were handed over and are not among them.
        timeouts: how often in a row the oldest of those was sent again, without an answer.
        segment_bytes: the largest segment that this end sends, or lets the other end send.
        sent_bytes: that left this host since the connection began, each counted once; 0 where the kernel does not say.
        sent_segments: that they left in; what was sent again counts again.
        received_segment_bytes: the size of the other end's segments, as far as it was seen.
    """

    acked_bytes: int
    outstanding_bytes: int
    timeouts: int
    segment_bytes: int
    sent_bytes: int
    sent_segments: int
    received_segment_bytes: int


class Stream(Source, Protocol):
    """One byte stream to a peer: a non-blocking TCP connection."""

    @property
    def remote(self) -> Endpoint:
        """The peer's address and port."""

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read what is there into `buffer`.

        Returns: bytes read; 0 at the end of the stream; None when nothing is there now.
        Raises: ConnectionError when the connection is dead.
        """

    def send(self, data: Buffer) -> int:
        """Write what the kernel takes now and return how many bytes that was, 0 to len(data).

        Raises: ConnectionError when the connection is dead.
        """

    def connect_error(self) -> OSError | None:
        """Return why connecting failed, or None when it succeeded; ask once, at the first writable call-back."""

    def adapt_to_path(self) -> None:
        """Choose what suits the path that this connection turned out to have; ask once a round trip was made."""

    def path(self) -> PathReport | None:
        """Return how the way of this connection does now, None where the kernel does not say."""

    def is_stranded(self) -> bool:
        """Return whether this end's address is not this host's any more, so that nothing can come back."""

    def close(self) -> None:
        """Close in order, sending what was handed over; a second call is harmless."""

    def reset(self) -> None:
        """Close at once with RST, dropping what was not sent; a second call is harmless."""


class Listener(Source, Protocol):
    """A listening TCP socket."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""

    def accept(self) -> Stream | None:
        """Return the next connection, or None when none waits; connections already reset are skipped.

        Raises: OSError with EMFILE, ENFILE, ENOBUFS or ENOMEM when the host has no room: try again later.
        """

    def close(self) -> None:
        """Stop listening; a second call is harmless."""


class Network(Protocol):
    """Makes listeners and streams."""

    def listen(self, endpoint: Endpoint) -> Listener:
        """Bind and listen. Raises HostError (port taken, address not here) or RightsError (privileged port)."""

    def connect(self, endpoint: Endpoint, max_segment_bytes: int = 0) -> Stream:
        """Start connecting to a numeric address; watch the stream for writable, then ask `connect_error`.

        Neither end sends segments over `max_segment_bytes` (88 to 32767; 0 leaves it to the kernel), as a path wants
        that swallows larger ones without telling anybody.
        Raises: OSError when not even a start was possible (no route to it).
        """

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return numeric addresses of a name in the order to try; blocks. Raises OSError when there are none."""


class TunDevice(Source, Protocol):
    """A TUN device with offload headers (Linux IFF_VNET_HDR) in front of every packet.

    Where offloads are off the headers are all zero and every packet is complete and at most `mtu` bytes long.
    """

    @property
    def name(self) -> str:
        """The interface's name."""

    @property
    def offloads(self) -> frozenset[str]:
        """What the kernel on this host may hand over and takes: a subset of {"csum", "tso4", "tso6", "uso"}."""

    def is_up(self) -> bool:
        """Return whether the interface is set up; nobody tells a reader that it was set down.

        Raises: HostError when the device is gone.
        """

    def read_into(self, header: memoryview, packet: memoryview) -> int | None:
        """Read one offload header (10 bytes) and one packet.

        Returns: the packet's length in bytes, or None when nothing is there.
        Raises: HostError when the device is gone.
        """

    def write(self, header: Buffer, *packet: Buffer) -> bool:
        """Write one packet, in one or more parts, with its offload header.

        Returns: False when the kernel refused just this packet (EINVAL and the like): count it, go on.
        Raises: HostError when the device is gone.
        """

    def close(self) -> None:
        """Close the descriptor; the kernel removes the device, its addresses and routes."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What a client forwards between the tunnel and the networks behind its host.

    Attributes:
        lans: prefixes behind this host that members may reach.
        masquerade: whether packets from the tunnel to `lans` get this host's own address as their source.
        mapping: (what members see, what is real) prefixes, each pair equal in family and length.
        offer_exit: whether members may reach the Internet through this host.
    """

    lans: tuple[Prefix, ...] = ()
    masquerade: bool = False
    mapping: tuple[tuple[Prefix, Prefix], ...] = ()
    offer_exit: bool = False


@dataclass(frozen=True, slots=True)
class HostState:
    """All that a client wants of its host's network.

    Attributes:
        device: name of the TUN device that all of this belongs to.
        mtu: of that device, bytes, 1280 to 65000 (576 where no IPv6 is wanted).
        addresses: own tunnel addresses with the prefix length that the device gets them with.
        routes: prefixes that go into the tunnel.
        outside: servers, as numeric addresses with their ports: their path must stay outside the tunnel, whatever
            `routes` and `exits` say, and the kill switch lets nothing else out.
        accept: own networks and routes must lie inside one of these; None for any.
        exits: default routes (0.0.0.0/0, ::/0) that go into the tunnel: a member was chosen as exit node.
        kill_switch: whether nothing may leave this host but through the tunnel, also when it is down.
        forwarding: what members may reach through this host.
        names: labels (a-z, 0-9, hyphens) with their addresses, for programs on this host; they get a suffix of ours.
    """

    device: str
    mtu: int
    addresses: tuple[Interface, ...] = ()
    routes: tuple[Prefix, ...] = ()
    outside: tuple[Endpoint, ...] = ()
    accept: tuple[Prefix, ...] | None = None
    exits: tuple[Prefix, ...] = ()
    kill_switch: bool = False
    forwarding: Forwarding = Forwarding()
    names: tuple[tuple[str, tuple[Address, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class HostReport:
    """What came of an `apply`.

    Attributes:
        routed: the prefixes that lead into the tunnel, the networks of own addresses and exits among them.
        refused: the others with the reason, of an exit that was not chosen NOT_AN_EXIT; a refused own address as its
            /32 or /128.
        addresses: the own addresses that the device has.
        warnings: what beside them could not be done or is not covered, and what to do; a line each.
        changes: how many steps it took; none where the host was as wished.
        elsewhere: what lies within `routed` and is not there: what the host routes more precisely by another interface,
            its gateways, the servers.
        local: the host's addresses at other interfaces.
        offers_exit: whether members reach the internet through this host, and a firewall keeps them to it.
    """

    routed: tuple[Prefix, ...] = ()
    refused: dict[Prefix, str] = field(default_factory=dict)
    addresses: tuple[Interface, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: int = 0
    elsewhere: tuple[Prefix, ...] = ()
    local: tuple[Address, ...] = ()
    offers_exit: bool = False


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What an `apply` would do (`commands` for a shell, in order), and what would come of it."""

    commands: tuple[str, ...]
    report: HostReport


class HostNetwork(Protocol):
    """This host's network, as far as it is ours."""

    def open_tun(self, name: str, mtu: int, offload: bool) -> TunDevice:
        """Create the TUN device; `name` may hold one `%d` for the kernel to number.

        Raises: RightsError (no CAP_NET_ADMIN, no /dev/net/tun), HostError (name taken by a running process).
        """

    def apply(self, wished: HostState) -> HostReport:
        """Make the host as wished by the smallest set of changes; idempotent. Raises HostError."""

    def plan(self, wished: HostState) -> HostPlan:
        """Return what `apply` would do; nothing is done, and no device is needed.

        Raises: HostError when the host cannot be looked at, or the device's name is taken.
        """

    def clear(self) -> tuple[str, ...]:
        """Take off everything that `apply` put on; harmless when nothing is there. Never raises.

        Returns: a line for each thing that is left, and why.
        """


class NetworkMonitor(Protocol):
    """Tells when this host's network may be another one."""

    def start(self, on_change: Callback) -> None:
        """Call back, from now on, a moment after a change that may matter; what comes together is told once.

        What may matter: interfaces, addresses, routes as wide as a default route, routes and firewall rules of ours
        that were taken away, and that the host has slept.
        Raises: HostError when the kernel does not tell.
        """

    def close(self) -> None:
        """Stop; a second call is harmless."""
