"""A hostile member as a real process: it proves its own keys as an honest client does, then sends what it likes.

    python -m netlab.worlds.hostile ATTACK ...        prints lines of JSON, then stays until it is ended

The other cluster must notice none of it.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from time import CLOCK_BOOTTIME, clock_gettime, monotonic

from netlab.topology import SERVER
from netlab.worlds.forgeries import DEVICE, EVIL, all_forgeries
from netlab.worlds.hostile_member import Connection, Ended, Member
from netlab.worlds.ip_packets import ip_packet
from netlab.worlds.keyed_lab import key_of, public_of
from rustun.protocol.ciphers import SeedMethod, seed_cipher
from rustun.protocol.codec import SeedCodec
from rustun.protocol.control import Directory, Pong, RekeyReply, RekeySwitch, encode
from rustun.protocol.frames import FrameType
from rustun.protocol.packet import ITEM
from rustun.protocol.records import MAX_PLAINTEXT_BYTES
from rustun.protocol.rekey import RekeyClient
from rustun.protocol.seed_messages import SeedHandshake, SeedHandshakeReply, SeedKeepAlive
from rustun.protocol.suites import KEY, Credentials

ME, LEGACY_ME, SEED_KEY = "blue-evil", "blue-old", "a key string for old machines only"
HUMBLE = 19  # its machine is another one than the relay's and the honest members': it gets the cores when they rest
STEADY = 5  # for what has to get on: beside two busy cores the humblest gets a sixtieth of one
NO_NEXT_HEADER = 59
MANY = 2200  # tiny packets in one record
STILL_OPEN = "still open"


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


def again_and_again(flood: Callable[[Member], None], seconds: float) -> None:
    """Flood in one session, and in a new one whenever the server ends it."""
    deadline = monotonic() + seconds
    say(flooding=ends(lambda: flood(Member(ME))) != STILL_OPEN)
    while monotonic() < deadline:
        ends(lambda: flood(Member(ME)))


def rekeys(seconds: float) -> None:
    """Rekey as often as the line takes it."""

    def flood(member: Member) -> None:
        for _ in range(10):
            member.say(encode(member.rekey.begin(os.urandom(32))))
            while not isinstance(reply := member.hear(), RekeyReply):
                pass
            keys = member.rekey.receive(reply)
            member.codec.replace_opener(keys, clock_gettime(CLOCK_BOOTTIME))
            member.say(encode(RekeySwitch()))
            member.codec.replace_sealer(keys, clock_gettime(CLOCK_BOOTTIME))

    again_and_again(flood, seconds)


def controls(seconds: float) -> None:
    """Send control messages of nearly the longest kind without a pause."""
    message = json.dumps({"type": "ping", "id": 1, "pad": [0] * 5000}).encode()

    def flood(member: Member) -> None:
        for _ in range(100):
            member.say(message)
        member.settle()

    again_and_again(flood, seconds)


def tiny(seconds: float, receivers: int) -> None:
    """Send records full of the smallest packets, each for another member than the one before."""
    friends = [Member(crowd_identity(number)) for number in range(receivers)]
    reader = threading.Thread(target=_read_all, args=(friends,), daemon=True)
    reader.start()
    member = Member(ME)
    run, packets = _run_of(receivers, b"")
    say(flooding=packets > MANY)
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        member.send_items(run)


def _read_all(friends: list[Member]) -> None:
    with selectors.DefaultSelector() as selector:
        for friend in friends:
            selector.register(friend.stream, selectors.EVENT_READ, friend.stream)
        while True:
            for key, _ in selector.select():
                key.data.recv(1 << 16)


def _run_of(receivers: int, payload: bytes) -> tuple[bytes, int]:
    """Return as many items as a record holds, for the receivers in turn, and their number."""
    run = b""
    for number in count():
        packet = ip_packet(EVIL, crowd_address(number % receivers), NO_NEXT_HEADER, payload)
        item = ITEM.pack(0, 0, len(packet)) + packet
        if len(run) + len(item) > MAX_PLAINTEXT_BYTES:
            return run, number
        run += item
    raise AssertionError


def stuck(seconds: float, receivers: int, interval: float) -> Member:
    """Fill receivers all at once that take a byte each every `interval` seconds; say how many are left."""
    friends = [Member(crowd_identity(number), receive_buffer=4096) for number in range(receivers)]
    member = Member(ME)
    run, packets = _run_of(receivers, bytes(1400))
    say(joined=len(friends))
    deadline, next_byte, sent = monotonic() + seconds, monotonic() + interval, 0
    while monotonic() < deadline:
        member.send_items(run)
        sent += packets
        if monotonic() > next_byte:
            next_byte += interval
            for friend in friends:
                friend.take_a_byte()
    member.settle()
    say(packets=sent, left=sum(not friend.closed_by_server() for friend in friends))
    return member


def leave(member: Member | None) -> None:
    """End a member's connection; thousands left to the collector fill the standard error with its complaints."""
    if member is not None:
        member.stream.close()


def flap(seconds: float, members: int) -> Member:
    """Let members of one cluster join, leave and join again, while one of them reads the news."""
    witness = Member(ME)
    began, joins = monotonic(), 0
    present: dict[int, Member] = {}
    while monotonic() - began < seconds:
        number = joins % members
        if joins % 3 == 2:  # some leave before they come again, the others are superseded by themselves
            leave(present.pop((number * 7) % members, None))
        try:
            superseded, present[number] = present.get(number), Member(crowd_identity(number))
            leave(superseded)
        except ConnectionError:  # faster than the relay lets one source come in
            continue
        joins += 1
    witness.settle()
    took = monotonic() - began
    generations = {told.generation for told in witness.told if isinstance(told, Directory)}
    say(joins=joins, seconds=took, generations=len(generations), knows=sorted(witness.identities()))
    return witness


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
    os.nice(STEADY if name == flap.__name__ else HUMBLE)
    left_open = ATTACKS[name](*(json.loads(argument) for argument in arguments))
    signal.pause()
    del left_open


if __name__ == "__main__":
    main()
