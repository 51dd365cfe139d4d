"""A hostile member as a real process: it proves its own keys as an honest client does, then sends what it likes.

    python -m tests.netlab.hostile ATTACK ...        prints lines of JSON, then stays until it is ended

It speaks the key tier and the seed's wire with the project's own protocol core and no client code, so no client's
scruples are in the way.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from time import CLOCK_BOOTTIME, clock_gettime, monotonic

from netlab.topology import SERVER, outside_addresses
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import RecordCodec, SeedCodec
from rustun.protocol.control import Directory, Goodbye, Message, Ping, Pong, RekeyReply, RekeySwitch, decode, encode
from rustun.protocol.frames import HEADER, HEADER_BYTES, FrameType
from rustun.protocol.handshake import OFFLOADS, Hello, Initiator, Refusal
from rustun.protocol.packet import ITEM
from rustun.protocol.records import MAX_PLAINTEXT_BYTES, Cipher
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive
from rustun.protocol.suites import KEY, Credentials
from tests.ip_packets import ip_packet
from tests.netlab.forgeries import DEVICE, EVIL, all_forgeries
from tests.netlab.keyed_lab import PORT, key_of, public_of

ME, LEGACY_ME, SEED_KEY = "blue-evil", "blue-old", "a key string for old machines only"
ANSWER_S = 20.0  # only reached where something hangs
KEEPALIVE_S = 600
STILL_OPEN = "still open"
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
        self.stream.sendall(initiator.first_frame)
        answer = initiator.receive(self.frame()[HEADER_BYTES:])
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

    def ended_at_next_byte(self) -> bool:
        """Take one byte, no more; True when there is none because the server has closed."""
        try:
            return not self.stream.recv(1)
        except OSError:
            return True

    def identities(self) -> set[str]:
        """Return everybody of whom this member was ever told."""
        pages = (message for message in self.told if isinstance(message, Directory))
        return {entry.identity for page in pages for entry in page.members}


def say(**facts: object) -> None:
    """Print a line of JSON, at once."""
    print(json.dumps(facts), flush=True)


def ends(attempt: Callable[[], object]) -> str:
    """Return how the server ended a connection: "closed" without a word, "reset", or the code of its goodbye."""
    try:
        attempt()
    except ConnectionResetError:
        return "reset"
    except Ended as error:
        return str(error)
    return STILL_OPEN


# --- attacks -------------------------------------------------------------------------------------------------------


def forge() -> Member:
    """Send every forgery; a record for each, so that none hides behind another."""
    member = Member(ME)
    for forgery in all_forgeries():
        member.send_items(forgery.item)
    member.settle()
    say(sent=len(all_forgeries()), knows=sorted(member.identities()))
    return member


def _foreign_messages() -> Iterator[tuple[str, bytes]]:
    entry = {"identity": "red-dev", "name": "", "address": DEVICE, "address6": "", "prefixes": [], "online": True}
    page = {"generation": 9, "base": 0, "page": 0, "pages": 1, "members": [entry], "gone": ["red-gw"]}
    for fields in (
        {"type": "config", "name": "red-dev", "address": f"{DEVICE}/24", "address6": "", "prefixes": [], "mapping": {}},
        {"type": "directory", **page},
        {"type": "rekey-ask"},
        {"type": "rekey-reply", "noise": ""},
        {"type": "rekey-switch"},
        {"type": "keepalive", "identity": "red-dev"},
        {"type": "ping", "id": -1},
    ):
        yield str(fields["type"]), json.dumps(fields).encode()
    yield "rekey with another key", b""
    yield "an empty data record", b""
    yield "an item longer than its record", b""


def impersonate() -> Member:
    """Name members of the other cluster wherever a message has room for a name."""
    outcomes = {}
    for name in ("red-dev", "blue-dev"):
        outcomes[f"handshake as {name}"] = ends(lambda name=name: Member(name, ME))  # type: ignore[misc]
    for what, message in _foreign_messages():
        member = Member(ME)
        if message:
            member.say(message)
        elif what.startswith("rekey"):
            other = Credentials(KEY, static=key_of("red-dev"), remote_static=public_of(SERVER))
            member.say(encode(RekeyClient(other, os.urandom(32)).begin(os.urandom(32))))
        else:
            member.send_items(b"" if "empty" in what else ITEM.pack(0, 0, 1000) + bytes(999))
        outcomes[what] = ends(member.settle)
    member = Member(ME)
    member.say(b'{"type":"ping","id":77,"identity":"red-dev","cluster":"red","address":"10.0.1.2"}')
    member.settle()
    say(outcomes=outcomes, answered=Pong(77) in member.told, knows=sorted(member.identities()))
    return member


def keep_alive() -> Connection:
    """On the seed's wire: a KeepAlive in everybody's name, then one in its own."""
    connection = Connection()
    codec = SeedCodec(seed_cipher(SeedMethod.CHACHA20POLY1305, SEED_KEY), os.urandom)
    scratch = memoryview(bytearray(1 << 17))

    def message(frame_type: FrameType) -> bytes:
        while (frame := connection.frame())[5] != frame_type:
            pass
        return codec.open_message(memoryview(frame), scratch)

    connection.stream.sendall(codec.seal_message(FrameType.SEED_HANDSHAKE, SeedHandshake(LEGACY_ME).encode()))
    reply = SeedHandshakeReply.decode(message(FrameType.SEED_HANDSHAKE_REPLY))
    answers = []
    for identity in ("red-dev", "red-gw", "blue-dev", "", LEGACY_ME):
        told = SeedKeepAlive("", identity, "fd00::bad", 1, "203.0.113.66", 1, ())
        connection.stream.sendall(codec.seal_message(FrameType.SEED_KEEPALIVE, told.encode(1 << 15)))
    answers.append(SeedKeepAlive.decode(message(FrameType.SEED_KEEPALIVE)))
    peers = {peer.identity for told in (reply, *answers) for peer in told.peer_details}
    say(answered=[answer.identity for answer in answers], knows=sorted(peers))
    return connection


def rekeys(seconds: float) -> None:
    """Rekey as often as the line takes it, again in a new session whenever the server ends one."""
    deadline, tries, outcomes = monotonic() + seconds, 0, set()
    while monotonic() < deadline:
        member = Member(ME)
        tries += 1

        def again_and_again(member: Member = member) -> None:
            for _ in range(10):
                member.say(encode(member.rekey.begin(os.urandom(32))))
                while not isinstance(reply := member.hear(), RekeyReply):
                    pass
                keys = member.rekey.receive(reply)
                member.codec.replace_opener(keys, clock_gettime(CLOCK_BOOTTIME))
                member.say(encode(RekeySwitch()))
                member.codec.replace_sealer(keys, clock_gettime(CLOCK_BOOTTIME))

        outcomes.add(ends(again_and_again))
    say(sessions=tries, outcomes=sorted(outcomes))


def controls(seconds: float) -> None:
    """Send control messages of the longest kind without a pause, in session after session."""
    deadline, tries, outcomes = monotonic() + seconds, 0, set()
    long_one = json.dumps({"type": "ping", "id": 1, "pad": [0] * 8000}).encode()
    while monotonic() < deadline:
        member = Member(ME)
        tries += 1

        def flood(member: Member = member) -> None:
            for _ in range(200):
                member.say(long_one)
            member.settle()

        outcomes.add(ends(flood))
    say(sessions=tries, outcomes=sorted(outcomes))


def tiny(seconds: float, receivers: int) -> None:
    """Send records full of the smallest packets, each for another member than the one before."""
    member = Member(ME)
    packets = (ip_packet(EVIL, crowd_address(number % receivers), 59, b"") for number in range(10**9))
    run = b""
    for packet in packets:
        if len(run) + ITEM.size + len(packet) > MAX_PLAINTEXT_BYTES:
            break
        run += ITEM.pack(0, 0, len(packet)) + packet
    deadline, records = monotonic() + seconds, 0
    while monotonic() < deadline:
        member.send_items(run)
        records += 1
    say(records=records, packets=len(run) // (ITEM.size + 20))


def stuck(seconds: float, receivers: int, interval: float) -> None:
    """Fill as many receivers as there are: each takes a byte now and then; return what became of them."""
    members = [Member(crowd_identity(number), receive_buffer=4096) for number in range(receivers)]
    say(joined=len(members))
    evil = Member(ME)
    payload = bytes(1400)
    run = b""
    for number in range(46):
        packet = ip_packet(EVIL, crowd_address(number % receivers), 59, payload)
        run += ITEM.pack(0, 0, len(packet)) + packet
    deadline, next_byte, closed, sent = monotonic() + seconds, monotonic() + interval, set[int](), 0
    while monotonic() < deadline:
        evil.send_items(run)
        sent += 46
        if monotonic() > next_byte:
            next_byte += interval
            for number, member in enumerate(members):
                if number not in closed and member.ended_at_next_byte():
                    closed.add(number)
    evil.settle()
    say(packets=sent, closed=len(closed))


def flap(seconds: float, members: int) -> None:
    """Let members of one cluster join, leave and join again, while one of them reads the news."""
    witness = Member(ME)
    began, joins = monotonic(), 0
    open_ones: list[Member] = []
    while monotonic() - began < seconds:
        if len(open_ones) == members:
            for one in open_ones[::2]:
                one.stream.close()
            open_ones = open_ones[1::2]
        joined = {one.credentials.static for one in open_ones}
        identity = next(crowd_identity(n) for n in range(members) if key_of(crowd_identity(n)) not in joined)
        open_ones.append(Member(identity))
        joins += 1
    witness.settle()
    took = monotonic() - began
    generations = {told.generation for told in witness.told if isinstance(told, Directory)}
    say(joins=joins, seconds=took, generations=len(generations), knows=sorted(witness.identities()))


def enter(identity: str) -> None:
    """Try to come in with each of a member's two keys, for each of the server's two."""
    pairs = [(own, server) for own in (0, 1) for server in (0, 1)]
    say(outcomes=[ends(lambda pair=pair: Member(identity, identity, *pair)) for pair in pairs])  # type: ignore[misc]


def crowd_identity(number: int) -> str:
    """Return the name of one of the hostile member's many friends."""
    return f"blue-crowd-{number}"


def crowd_address(number: int) -> str:
    """Return its address."""
    return f"10.0.{4 + number // 250}.{1 + number % 250}"


ATTACKS: dict[str, Callable[..., object]] = {
    attack.__name__: attack
    for attack in (forge, impersonate, keep_alive, rekeys, controls, tiny, stuck, flap, enter)
}


def main() -> None:
    """Carry out one attack, then stay, with the sessions that it leaves open, until somebody ends this process."""
    name, *arguments = sys.argv[1:]
    left_open = ATTACKS[name](*(json.loads(argument) for argument in arguments))
    signal.pause()
    del left_open


if __name__ == "__main__":
    main()
