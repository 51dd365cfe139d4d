"""What a hostile member has in hand: a connection, and a session that has proved its keys, with nothing held back.

It speaks the key tier with the project's own protocol core and no client code, so no client's scruples are in the way.
"""

from __future__ import annotations

import os
import socket
from time import CLOCK_BOOTTIME, clock_gettime

from netlab.topology import SERVER, outside_addresses
from netlab.worlds.keyed_lab import PORT, key_of, public_of
from rustun.protocol.codec import RecordCodec
from rustun.protocol.control import Directory, Goodbye, Message, Ping, Pong, decode, encode
from rustun.protocol.frames import HEADER, HEADER_BYTES, FrameType
from rustun.protocol.handshake import OFFLOADS, Hello, Initiator, Refusal
from rustun.protocol.records import Cipher
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.suites import KEY, Credentials

ANSWER_S = 20.0  # only reached where something hangs
KEEPALIVE_S = 600
Ended = ConnectionError


class Connection:
    """A TCP connection to the server, whole frames at a time."""

    def __init__(self, receive_buffer: int = 0) -> None:
        self.stream = socket.socket()
        if receive_buffer:
            self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.stream.settimeout(ANSWER_S)
        self.stream.connect((str(outside_addresses(0)[0].ip), PORT))

    def frame(self) -> bytes:
        """Return the next frame. Raises ConnectionError when the server has closed."""
        header = self._exactly(HEADER_BYTES)
        return header + self._exactly(HEADER.unpack(header)[3])

    def _exactly(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            data = self.stream.recv(length - len(received))
            if not data:
                raise Ended("closed")
            received += data
        return received


class Member(Connection):
    """A session of the key tier that has proved its keys, unless `identity` is not that of the key.

    Args:
        identity: what to say of itself.
        name, number: whose key to prove, and which; that of the identity.
        server_number: which of the server's keys to expect.
    Attributes:
        told: messages that came unasked.
    """

    def __init__(
        self, identity: str, name: str = "", number: int = 0, server_number: int = 0, *, receive_buffer: int = 0
    ) -> None:
        super().__init__(receive_buffer)
        hello = Hello(identity, "hostile", (Cipher.AES256, Cipher.CHACHA20), OFFLOADS, KEEPALIVE_S, 1500)
        self.credentials = Credentials(
            KEY, static=key_of(name or identity, number), remote_static=public_of(SERVER, server_number)
        )
        initiator = Initiator(self.credentials, hello, os.urandom(32), os.urandom(12))
        try:
            self.stream.sendall(initiator.first_frame)
            answer = initiator.receive(self.frame()[HEADER_BYTES:])
        except OSError:
            self.stream.close()
            raise
        if isinstance(answer, Refusal) or initiator.keys is None:
            raise PermissionError(f"{answer}")
        now = clock_gettime(CLOCK_BOOTTIME)
        self.codec = RecordCodec(answer.cipher, initiator.keys, is_client=True, now=now)
        self.rekey = RekeyClient(self.credentials, initiator.keys.handshake_hash)
        self.told: list[Message] = []
        self._scratch = memoryview(bytearray(1 << 17))
        self._pings = 0
        self.settle()

    def say(self, message: bytes) -> None:
        """Send the plaintext of a control record, whatever it is."""
        self.stream.sendall(self.codec.seal_control(message))

    def send_items(self, items: bytes) -> None:
        """Send the plaintext of a data record, whatever it is."""
        end = self.codec.seal_items(items, self._scratch, 0)
        self.stream.sendall(self._scratch[:end])

    def settle(self) -> None:
        """Return when the server has handled everything that was sent. Raises ConnectionError when it has closed."""
        self._pings += 1
        self.say(encode(Ping(self._pings)))
        while (message := self.hear()) != Pong(self._pings):
            if message is not None:
                self.told.append(message)

    def hear(self) -> Message | None:
        """Return the next message; None for a record of data."""
        frame = memoryview(self.frame())
        if frame[5] == FrameType.DATA:
            self.codec.open_data(frame, self._scratch, 0)
            return None
        message = decode(self.codec.open_control(frame, self._scratch), 1 << 16)
        if isinstance(message, Goodbye):
            raise Ended(message.code)
        return message

    def take_a_byte(self) -> None:
        """Take one byte of what came, no more, if there is one."""
        self._receive(1)

    def closed_by_server(self) -> bool:
        """Take all that came, and tell whether the end is behind it."""
        while (received := self._receive(1 << 16)) > 0:
            pass
        return received == 0

    def _receive(self, most: int) -> int:
        """Return how many bytes came: 0 at the end, -1 where there are none for now."""
        try:
            return len(self.stream.recv(most, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return -1
        except ConnectionError:
            return 0

    def identities(self) -> set[str]:
        """Return everybody of whom this member was ever told."""
        pages = (message for message in self.told if isinstance(message, Directory))
        return {entry.identity for page in pages for entry in page.members}
