"""Rekeys under full load: two members on loopback, packets as fast as the relay takes them, new keys every second.

    python -m netlab.bench.rekeying SECONDS

Starts a relay of its own (`timed_relay`) and prints {"rekeys": N, "packets": P, "lost": L, "gigabits": G} and
what that says of its steps. Packets are numbered; one that comes late or twice counts as lost, too. So much is under
way at most as the relay's queue holds, as TCP in a tunnel would do it: what is lost was lost by a rekey.
"""

from __future__ import annotations

import json
import os
import select
import struct
import sys
from contextlib import suppress
from ipaddress import IPv4Address
from time import CLOCK_BOOTTIME, clock_gettime, monotonic
from typing import Final

from netlab.bench.newcomers import Newcomer
from netlab.bench.timed_relay import timed_relay
from rustun.protocol.control import Message, Ping, Pong, RekeyReply, RekeySwitch, decode, encode
from rustun.protocol.frames import RECORD_TYPES, FrameReader, FrameType
from rustun.protocol.packet import ITEM, ITEM_HEADER_BYTES

PACKET_BYTES: Final = 1400
RUN_PACKETS: Final = 40  # in one record of 56 KB
MOST_UNDER_WAY: Final = 640  # 0.9 MB: the relay's queue for one receiver holds 1 MiB
REKEY_SECONDS: Final = 1.1  # the server is told to allow one a second
DRAIN_SECONDS: Final = 5.0
READ_BYTES: Final = 1 << 19
MAX_CONTROL_BYTES: Final = 60_000
IP_UDP: Final = struct.Struct("!BBHHHBBH4s4sHHHH")
NUMBER: Final = struct.Struct("!Q")
ITEM_BYTES: Final = ITEM_HEADER_BYTES + PACKET_BYTES
NUMBER_AT: Final = ITEM_HEADER_BYTES + IP_UDP.size


class Member:
    """One member with its session, driven as fast as it goes; the keys are replaced by `begin_rekey`."""

    def __init__(self, newcomer: Newcomer) -> None:
        assert newcomer.stream is not None
        self.stream = newcomer.stream
        self.codec, self._rekey, held = newcomer.session()
        self.rekeys = 0
        self.unsent = b""
        self._reader = FrameReader(RECORD_TYPES)
        self._received = memoryview(bytearray(READ_BYTES + (1 << 17)))
        self._received[: len(held)] = held
        self._held = len(held)
        self._plain = memoryview(bytearray(1 << 17))
        self._sealed = memoryview(bytearray(1 << 17))

    def begin_rekey(self) -> None:
        """Ask for new keys, unless an answer is still awaited."""
        if not self._rekey.under_way:
            self.say(self._rekey.begin(os.urandom(32)))

    def say(self, message: Message) -> None:
        """Send a control message, behind what is unsent."""
        self._send(self.codec.seal_control(encode(message)))

    def send_run(self, run: bytearray) -> None:
        """Seal and send a run of packets; nothing may be unsent."""
        self._send(bytes(self._sealed[: self.codec.seal_items(run, self._sealed, 0)]))

    def flush(self) -> None:
        """Send what is unsent as far as the stream takes it."""
        with suppress(BlockingIOError):
            self.unsent = self.unsent[self.stream.send(self.unsent) :]

    def _send(self, frame: bytes) -> None:
        self.unsent += frame
        self.flush()

    def receive(self) -> list[memoryview]:
        """Read what came; return the runs of packets, good until the next call."""
        try:
            length = self.stream.recv_into(self._received[self._held : self._held + READ_BYTES])
        except BlockingIOError:
            return []
        if not length:
            raise ConnectionError("the relay closed a session")
        end, position = self._held + length, 0
        runs = []
        while (found := self._reader.next_frame(self._received, position, end)) is not None:
            frame_type, stop = found
            frame = self._received[position:stop]
            position = stop
            if frame_type == FrameType.DATA:
                opened = self.codec.open_data(frame, self._plain, 0)
                runs.append(memoryview(bytes(self._plain[:opened])))
            else:
                self._on_control(decode(self.codec.open_control(frame, self._plain), MAX_CONTROL_BYTES))
        self._held = end - position
        self._received[: self._held] = bytes(self._received[position:end])
        return runs

    def _on_control(self, message: Message) -> None:
        now = clock_gettime(CLOCK_BOOTTIME)
        if isinstance(message, Ping):
            self.say(Pong(message.id))
        elif isinstance(message, RekeyReply):
            keys = self._rekey.receive(message)
            self.codec.replace_opener(keys, now)
            self.say(RekeySwitch())  # the last record under the old key
            self.codec.replace_sealer(keys, now)
            self.rekeys += 1


class Load:
    """Numbered packets from one member to another."""

    def __init__(self, sender: Member, receiver: Member) -> None:
        self._sender, self._receiver = sender, receiver
        packet = packet_between("10.200.0.1", "10.200.0.2", PACKET_BYTES)  # of the crowd the first and the second
        self._run = bytearray((ITEM.pack(0, 0, PACKET_BYTES) + packet) * RUN_PACKETS)
        self.sent = self.received = self.wrong = 0

    def run(self, seconds: float, *, rekeys: bool = True) -> None:
        """Send for so long, with a rekey of both every now and then, if any, and wait for the last packet."""
        poll = select.epoll()
        members = {member.stream.fileno(): member for member in (self._sender, self._receiver)}
        for number in members:
            poll.register(number, select.EPOLLIN)
        began = rekey_at = monotonic()
        while (now := monotonic()) < began + seconds + DRAIN_SECONDS:
            if now < began + seconds:
                self._fill()
                if rekeys and now > rekey_at:
                    rekey_at = now + REKEY_SECONDS
                    for member in members.values():
                        member.begin_rekey()
            elif self.received == self.sent:
                return
            for number, _ in poll.poll(0 if self._sender.unsent else 0.001):
                for run in members[number].receive():
                    self._check(run)
            for member in members.values():
                if member.unsent:
                    member.flush()

    def _fill(self) -> None:
        while not self._sender.unsent and self.sent - self.received < MOST_UNDER_WAY:
            for place in range(RUN_PACKETS):
                NUMBER.pack_into(self._run, place * ITEM_BYTES + NUMBER_AT, self.sent + place)
            self.sent += RUN_PACKETS
            self._sender.send_run(self._run)

    def _check(self, run: memoryview) -> None:
        for at in range(0, len(run), ITEM_BYTES):
            self.wrong += NUMBER.unpack_from(run, at + NUMBER_AT)[0] != self.received
            self.received += 1


def packet_between(source: str, destination: str, size: int) -> bytes:
    """Return a UDP packet of so many bytes, without checksum."""
    addresses = (IPv4Address(source).packed, IPv4Address(destination).packed)
    head = IP_UDP.pack(0x45, 0, size, 0, 0, 64, 17, 0, *addresses, 9, 9, size - 20, 0)
    return head.ljust(size, b"\0")


def main() -> None:
    """Start a relay, let two members in, load it, report."""
    seconds = float(sys.argv[1])
    with timed_relay(2) as relay:
        first, second = (Member(one) for one in relay.let_in(2))
        relay.forget_steps()
        load = Load(first, second)
        load.run(seconds)
        steps = relay.end()
    lost = load.sent - load.received + load.wrong
    gigabits = load.received * PACKET_BYTES * 8 / seconds / 1e9
    found = {"rekeys": first.rekeys + second.rekeys, "packets": load.sent, "lost": lost, "gigabits": gigabits}
    print(json.dumps({**found, **steps}), flush=True)


if __name__ == "__main__":
    main()
