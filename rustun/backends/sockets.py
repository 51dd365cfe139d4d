"""TCP on Linux: listeners and streams that never block.

Rules of this module
  1. A stream is short-queued: TCP_NODELAY, and TCP_NOTSENT_LOWAT so that a socket is writable only while little waits
     unsent in the kernel. So short writes are the rule, and what has to be dropped or overtaken is still ours.
  2. Options are set on the listener; accepted sockets inherit them from it (no system calls per connection).
  3. On a long path BBR is used where the host offers it: it keeps the queues short under a tunnel's TCP in TCP, and
     does not take loss for congestion. On a short one it costs half of the throughput (its pacing wakes up once per
     burst; 2.2 against 5.0 Gbit/s between namespaces), also where it is the host's default, so that is CUBIC's. What
     is not offered is done without: the tunnel works as well as any other TCP connection there.
  4. A listener reports a connection only once its first bytes are there (TCP_DEFER_ACCEPT): silent ones cost the
     process nothing.
  5. Descriptors are kept back for what an operator needs when there are too few: the control socket, the members' file,
     the keys. So a listener says that the host has no room while some are left.
  6. A path that swallows large segments without telling anybody gets smaller ones by TCP_MAXSEG, set before connecting:
     it bounds what this end sends and, by the first packet, what the other one does. No setting of the host is touched.
  7. Every error of a connection leaves as ConnectionError; those of a listener's host as OSError (base.Listener).
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import struct
import termios
from contextlib import suppress
from typing import Any, Final, TypeAlias

from rustun.backends.base import Buffer, Endpoint, PathReport
from rustun.errors import HostError, RightsError

SocketAddress: TypeAlias = tuple[Any, ...]  # (host, port) or (host, port, flow, scope)

BACKLOG: Final = 4096  # a whole fleet that comes back at once; the host's net.core.somaxconn bounds it too
DEFER_ACCEPT_S: Final = 5  # as long as a stranger may take in all
NOTSENT_LOWAT_BYTES: Final = 64 * 1024  # one full record: 2.6 ms of ping under load where 4.8 was without
RESERVED_DESCRIPTORS: Final = 32  # the control socket takes 16 at once
SKIPS_PER_ACCEPT: Final = 64  # dead connections passed over in one call
DRAIN_CALLS: Final = 16  # see Stream.close
DRAIN_BYTES: Final = 256 * 1024
SHORT_PATH_CONGESTION: Final = (b"cubic", b"reno")  # the second where the host does not allow the first
LONG_PATH_CONGESTION: Final = b"bbr"
LONG_PATH_US: Final = 2_000  # beyond a site's own network
TCP_INFO_BYTES: Final = 256  # more than struct tcp_info (linux/tcp.h) has; the kernel gives what there is
MIN_RTT: Final = struct.Struct("148xI")  # tcpi_min_rtt, microseconds
# tcpi_retransmits, tcpi_snd_mss, tcpi_rcv_mss, tcpi_advmss, tcpi_bytes_acked
PATH: Final = struct.Struct("=2xB13xII60xI32xQ")
SENT: Final = struct.Struct("=156xI40xQQ")  # tcpi_data_segs_out, tcpi_bytes_sent, tcpi_bytes_retrans: Linux 4.19
OUTSTANDING: Final = struct.Struct("i")  # SIOCOUTQ, tcp(7)
LINGER_NONE: Final = struct.pack("ii", 1, 0)  # on, 0 seconds: close sends RST

# accept(2): "already-pending network errors on the new socket": they concern the connection, not the listener
DEAD_BEFORE_ACCEPT: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,  # a firewall rule
        errno.EPROTO,
    }
)


class LinuxStream:
    """One TCP connection (base.Stream).

    Args:
        sock: non-blocking; from now on owned by this object.
        remote: the peer's address and port.
        long_path_congestion: congestion control for a long path; empty where one was chosen for all paths.
    """

    def __init__(self, sock: socket.socket, remote: Endpoint, long_path_congestion: bytes = b"") -> None:
        self._sock = sock
        self._remote = remote
        self._long_path_congestion = long_path_congestion

    @property
    def remote(self) -> Endpoint:
        """The peer's address and port."""
        return self._remote

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._sock.fileno()

    def receive_into(self, buffer: memoryview) -> int | None:
        """Read what is there into `buffer`; 0 at the end of the stream, None when nothing is there now.

        Raises: ConnectionError when the connection is dead.
        """
        try:
            return self._sock.recv_into(buffer)
        except BlockingIOError:
            return None
        except OSError as error:
            raise _connection_error(error) from error

    def send(self, data: Buffer) -> int:
        """Write what the kernel takes now and return how many bytes that was.

        Raises: ConnectionError when the connection is dead.
        """
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _connection_error(error) from error

    def connect_error(self) -> OSError | None:
        """Return why connecting failed, or None when it succeeded."""
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return OSError(number, os.strerror(number)) if number else None

    def adapt_to_path(self) -> None:
        """Choose the congestion control that suits the round-trip time; rule 3."""
        if not self._long_path_congestion:
            return
        with suppress(OSError, struct.error):  # an older kernel, no BBR, or a connection that is gone already
            (min_rtt,) = MIN_RTT.unpack_from(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES))
            if min_rtt >= LONG_PATH_US:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self._long_path_congestion)

    def path(self) -> PathReport | None:
        """Return how the way of this connection does now, None where the kernel does not say."""
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
            timeouts, sends, received, takes, acked = PATH.unpack_from(info)
            segments, sent, again = SENT.unpack_from(info.ljust(SENT.size, b"\0"))
            (outstanding,) = OUTSTANDING.unpack(fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(OUTSTANDING.size)))
        except (OSError, struct.error, ValueError):  # an older kernel, or a connection that is gone already
            return None
        return PathReport(acked, outstanding, timeouts, max(sends, takes), sent - again, segments, received)

    def is_stranded(self) -> bool:
        """Return whether this end's address is not this host's any more: no socket can have it then."""
        try:
            own = self._sock.getsockname()
            with socket.socket(self._sock.family, socket.SOCK_DGRAM) as another:
                another.bind((own[0], 0, *own[2:]))
        except OSError as error:
            return error.errno in (errno.EADDRNOTAVAIL, errno.EBADF)
        return False

    def close(self) -> None:
        """Close in order: the kernel goes on sending what it was given.

        Bytes that nobody read would turn the close into a reset, and the goodbye just written might be lost with it,
        so what has come in is thrown away first (as far as that goes at once).
        """
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            for _ in range(DRAIN_CALLS):
                if not self._sock.recv(DRAIN_BYTES):
                    break
        self._sock.close()

    def reset(self) -> None:
        """Close at once with RST, dropping what was not sent."""
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        self._sock.close()


class LinuxListener:
    """A listening TCP socket (base.Listener); `sock` is owned by this object, the rest as for LinuxStream."""

    def __init__(self, sock: socket.socket, long_path_congestion: bytes = b"") -> None:
        self._sock = sock
        self._long_path_congestion = long_path_congestion
        self._endpoint = _endpoint(sock.getsockname())
        self._first_reserved = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens, with the port that was really bound."""
        return self._endpoint

    def fileno(self) -> int:
        """Return the descriptor, or -1 once closed."""
        return self._sock.fileno()

    def accept(self) -> LinuxStream | None:
        """Return the next connection, or None when none waits; connections already dead are skipped.

        Raises: OSError (EMFILE, ENFILE, ENOBUFS, ENOMEM) when the host has no room; the listener stays usable.
        """
        for _ in range(SKIPS_PER_ACCEPT):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno in DEAD_BEFORE_ACCEPT:
                    continue
                raise
            if sock.fileno() >= self._first_reserved:  # the kernel gives out the lowest free number
                sock.close()
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            sock.setblocking(False)
            return LinuxStream(sock, _endpoint(address), self._long_path_congestion)
        return None

    def close(self) -> None:
        """Stop listening; a second call is harmless."""
        self._sock.close()


class LinuxNetwork:
    """Makes listeners and streams (base.Network).

    Args:
        notsent_lowat_bytes: TCP_NOTSENT_LOWAT; a socket is writable while less than this is unsent. 0: not set.
        congestion: congestion control to use where this host offers it; "auto" chooses by the path, rule 3.
    """

    def __init__(
        self,
        *,
        notsent_lowat_bytes: int = NOTSENT_LOWAT_BYTES,
        congestion: str = "auto",
    ) -> None:
        self._notsent_lowat_bytes = notsent_lowat_bytes
        self._congestion = SHORT_PATH_CONGESTION if congestion == "auto" else (congestion.encode(),)
        self._long_path_congestion = LONG_PATH_CONGESTION if congestion == "auto" else b""

    def listen(self, endpoint: Endpoint) -> LinuxListener:
        """Bind and listen; `[::]` takes IPv6 only, so that it stands beside `0.0.0.0` on the same port.

        Raises: HostError (port taken, address not here), RightsError (privileged port).
        """
        sock: socket.socket | None = None
        try:
            family, address = _numeric(endpoint)
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT_S)
            self._set_stream_options(sock)
            sock.bind(address)
            sock.listen(BACKLOG)
        except OSError as error:
            if sock is not None:
                sock.close()
            raise _listen_error(endpoint, error) from error
        return LinuxListener(sock, self._long_path_congestion)

    def connect(self, endpoint: Endpoint, max_segment_bytes: int = 0) -> LinuxStream:
        """Start connecting to a numeric address; watch the stream for writable, then ask `connect_error`.

        Neither end sends segments over `max_segment_bytes` (88 to 32767; 0 leaves it to the kernel), rule 6.
        Raises: OSError when not even a start was possible.
        """
        family, address = _numeric(endpoint)
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._set_stream_options(sock)
            if max_segment_bytes:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, max_segment_bytes)
            number = sock.connect_ex(address)
            if number not in (0, errno.EINPROGRESS):
                raise OSError(number, os.strerror(number))
        except OSError:
            sock.close()
            raise
        return LinuxStream(sock, endpoint, self._long_path_congestion)

    def resolve(self, endpoint: Endpoint) -> list[Endpoint]:
        """Return numeric addresses in the order to try (RFC 6724, by the host's resolver); blocks.

        Raises: OSError when there are none.
        """
        found = socket.getaddrinfo(_host_for_resolver(endpoint.host), endpoint.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(_endpoint(address) for *_, address in found))

    def _set_stream_options(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._notsent_lowat_bytes:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, self._notsent_lowat_bytes)
        for name in self._congestion:
            with suppress(OSError):  # not offered here, or not allowed without CAP_NET_ADMIN
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)
                return


def _numeric(endpoint: Endpoint) -> tuple[socket.AddressFamily, SocketAddress]:
    """Return family and socket address; also of scoped ones (fe80::1%eth0)."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    host = _host_for_resolver(endpoint.host)
    family, _, _, _, address = socket.getaddrinfo(host, endpoint.port, type=socket.SOCK_STREAM, flags=flags)[0]
    return family, address


def _host_for_resolver(host: str) -> bytes | str:
    return host.encode() if host.isascii() else host  # text would load the IDNA tables, 1 MB, for nothing


def _endpoint(address: SocketAddress) -> Endpoint:
    return Endpoint(address[0], address[1])


def _connection_error(error: OSError) -> ConnectionError:
    return ConnectionError(error.errno, error.strerror or str(error))


def _listen_error(endpoint: Endpoint, error: OSError) -> HostError | RightsError:
    if error.errno == errno.EADDRINUSE:
        remedy = f"find who holds it with: ss -ltnp 'sport = :{endpoint.port}'; or listen on another port"
        return HostError(f"cannot listen on {endpoint}: the port is taken", remedy)
    if error.errno in (errno.EACCES, errno.EPERM):
        remedy = "choose a port from 1024 up, or a service with AmbientCapabilities=CAP_NET_BIND_SERVICE"
        return RightsError(f"cannot listen on {endpoint}: no permission for this port", remedy)
    if error.errno == errno.EADDRNOTAVAIL:
        remedy = "`ip address` lists what this host has; 0.0.0.0 and [::] stand for all of it"
        return HostError(f"cannot listen on {endpoint}: this host does not have the address", remedy)
    if error.errno == errno.EAFNOSUPPORT:
        return HostError(f"cannot listen on {endpoint}: this host has no IPv6", "listen on an IPv4 address")
    if isinstance(error, socket.gaierror):
        remedy = "write a numeric address, 0.0.0.0 for all of IPv4 or [::] for all of IPv6"
        return HostError(f"cannot listen on {endpoint}: not an address", remedy)
    return HostError(f"cannot listen on {endpoint}: {error.strerror or error}")
