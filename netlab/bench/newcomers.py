"""Members that all come at once: full handshakes of the key tier over loopback, many at a time, from one thread.

Rules of this module
  1. Each member has an address of its own, as on the way from outside; it has come in when its first ping is answered.
  2. What can be made before the clock starts is: first messages. So one core of load keeps one core of server busy.
  3. Who is refused or cut off tries again with a new first message, as a client does, until the time is over.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Iterable
from ipaddress import IPv4Address
from time import CLOCK_BOOTTIME, clock_gettime, monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.errors import ProtocolError
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import Ping, encode
from rustun.protocol.envelope import NONCE_BYTES
from rustun.protocol.frames import HEADER, HEADER_BYTES
from rustun.protocol.handshake import Hello, Initiator, Refusal
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.suites import KEY, Credentials

LOOPBACK: Final = "127.0.0.1"
AT_A_TIME: Final = 64  # connections under way: enough that the server never waits for this process
KEEPALIVE_SECONDS: Final = 120  # announced; nothing has to be said meanwhile
RETRY_SECONDS: Final = 0.05
IP_BIND_ADDRESS_NO_PORT: Final = 24  # linux/in.h
PING: Final = encode(Ping(0, None))


class Newcomer:
    """One member on its way in.

    Args:
        source: address that it comes from.
        identity, static, server_key: who it is, what it proves that with, and to whom.
    Attributes:
        stream: its connection, while it has one.
        greeted: whether its first message was sent.
        seconds: how long it took from its connection to the answer to its first ping; 0 before.
    """

    __slots__ = (
        "_codec",
        "_credentials",
        "_hello",
        "_initiator",
        "_received",
        "_source",
        "began",
        "greeted",
        "identity",
        "seconds",
        "stream",
    )

    def __init__(self, source: IPv4Address, identity: str, static: X25519PrivateKey, server_key: bytes) -> None:
        self.identity = identity
        self._source = str(source)
        self._hello = Hello(
            identity, "crowd", (Cipher.AES256, Cipher.CHACHA20), frozenset(), KEEPALIVE_SECONDS, 1500
        )  # fmt: skip
        self._credentials = Credentials(KEY, static=static, remote_static=server_key)
        self.stream: socket.socket | None = None
        self.prepare()

    def prepare(self) -> None:
        """Make a new first message."""
        self._initiator = Initiator(self._credentials, self._hello, os.urandom(32), os.urandom(NONCE_BYTES))
        self._codec: RecordCodec | None = None
        self._received = b""
        self.greeted = False
        self.seconds = 0.0

    def start_over(self) -> None:
        """Let go of the connection; a first message that was sent is not sent again."""
        if self.stream is not None:
            self.stream.close()
            self.stream = None
        if self.greeted:
            self.prepare()

    def connect(self, port: int) -> socket.socket:
        """Begin: connect and send the first message, which is taken once the connection stands. Raises OSError."""
        self.began = monotonic()
        self.stream = stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        stream.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # the kernel looks for a port only once
        stream.bind((self._source, 0))
        number = stream.connect_ex((LOOPBACK, port))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        return stream

    def greet(self) -> None:
        """Send the first message; the connection stands. Raises OSError."""
        assert self.stream is not None
        number = self.stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        self.greeted = True
        self.stream.send(self._initiator.first_frame)

    def receive(self) -> bool:
        """Read what came and go on; return True once it is in. Raises OSError or ProtocolError when it is shut out."""
        assert self.stream is not None
        data = self.stream.recv(4096)
        if not data:
            raise ConnectionError(errno.ECONNRESET, "closed without a word")
        self._received += data
        while len(self._received) >= HEADER_BYTES:
            end = HEADER_BYTES + HEADER.unpack_from(self._received)[3]
            if len(self._received) < end:
                return False
            frame, self._received = self._received[:end], self._received[end:]
            if self._codec is not None:  # the first record is the answer to the ping
                self._codec.open_control(memoryview(frame), memoryview(bytearray(end)))
                self.seconds = monotonic() - self.began
                return True
            self._prove(frame)
        return False

    def session(self) -> tuple[RecordCodec, RekeyClient, bytes]:
        """Return what drives the session from now on, and what was received behind the answer; once it is in."""
        assert self._codec is not None
        assert self._initiator.keys is not None
        return self._codec, RekeyClient(self._credentials, self._initiator.keys.handshake_hash), self._received

    def _prove(self, frame: bytes) -> None:
        assert self.stream is not None
        answer = self._initiator.receive(frame[HEADER_BYTES:])
        keys = self._initiator.keys
        if isinstance(answer, Refusal) or keys is None:
            raise ProtocolError(f"refused: {answer}")
        self._codec = RecordCodec(answer.cipher, keys, is_client=True, now=clock_gettime(CLOCK_BOOTTIME))
        self.stream.send(self._codec.seal_control(PING))


class Arrivals:
    """Lets newcomers in, some at a time.

    Args:
        port: of the server.
        newcomers: who comes, in this order.
        at_a_time: how many are under way at most.
    Attributes:
        inside: who is in.
        failures: attempts that were cut off or refused.
    """

    def __init__(self, port: int, newcomers: Iterable[Newcomer], at_a_time: int = AT_A_TIME) -> None:
        self._port = port
        self._at_a_time = at_a_time
        self._waiting = deque((0.0, one) for one in newcomers)  # (not before, who)
        self._under_way = 0
        self._selector = selectors.EpollSelector()
        self.inside: list[Newcomer] = []
        self.failures = 0

    def run(self, deadline: float) -> list[Newcomer]:
        """Go on until all are in or the deadline (monotonic seconds) has passed; return who is in."""
        with self._selector:
            while (self._waiting or self._under_way) and (now := monotonic()) < deadline:
                while self._waiting and self._under_way < self._at_a_time and self._waiting[0][0] <= now:
                    self._begin(self._waiting.popleft()[1])
                wait = RETRY_SECONDS if self._under_way else max(0.0, self._waiting[0][0] - now)
                for key, _ in self._selector.select(wait):
                    self._step(key.data)
        return self.inside

    def _begin(self, one: Newcomer) -> None:
        try:
            stream = one.connect(self._port)
        except OSError:
            self._put_off(one)
        else:
            self._selector.register(stream, selectors.EVENT_WRITE, one)
            self._under_way += 1

    def _step(self, one: Newcomer) -> None:
        stream = one.stream
        assert stream is not None
        try:
            if not one.greeted:
                one.greet()
                self._selector.modify(stream, selectors.EVENT_READ, one)
                return
            if not one.receive():
                return
            self.inside.append(one)
        except (OSError, ProtocolError):
            self._put_off(one)
        self._selector.unregister(stream)
        self._under_way -= 1
        if not one.seconds:
            one.start_over()

    def _put_off(self, one: Newcomer) -> None:
        self.failures += 1
        self._waiting.append((monotonic() + RETRY_SECONDS, one))
