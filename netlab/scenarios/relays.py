"""A fleet of four with two relays, one of which is always dying, with real processes."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from netlab.bench.load import ICMP_ECHO
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER, outside_addresses
from netlab.worlds.carrying import run
from netlab.worlds.forgeries import packed
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.leftovers import nothing_left
from netlab.worlds.traffic import LAST_S, Echoes, Pings, Tap, Transfer

RELAYS = ("relay-1", "relay-2")
Pair = tuple[str, str]
PAIRS: tuple[Pair, Pair] = (("a", "b"), ("c", "d"))
ADDRESSES = {identity: f"10.0.1.{number}" for number, identity in enumerate("abcd", start=1)}
MEMBERS = tuple(KeyedMember(identity, "fleet", address) for identity, address in ADDRESSES.items())
FAILOVER_S = 1.0  # after a reset
BUDGET_S = 5.0  # where packets vanish: 2.5 intervals until a relay gives a member up, and the news of it
RETURN_S = 2.0
QUICK_S = 0.75  # a relay that needs longer to start, on a busy machine, finds members between longer waits
SHORT_S = 0.2  # for echoes under way, where some are lost for good
MORE = 20  # packets after which something counts as flowing
FAST = "keepalive_interval = 1\n"


class Fleet(ExitStack):
    """The laboratory, with a tap at each member."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS, relays=RELAYS))
        for identity in ADDRESSES:
            self.site.write_client(identity, more=FAST)
        self.site.start(*ADDRESSES)
        self.until_all_serve(*RELAYS)
        spaces = self.site.lab.namespaces
        self.taps = {identity: self.enter_context(Tap(spaces[identity])) for identity in ADDRESSES}
        self.stream = self.enter_context(Transfer(spaces["a"], spaces["c"], ADDRESSES["c"]))

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    @contextmanager
    def echoes(self, *pairs: Pair, patience_s: float = LAST_S) -> Iterator[list[Echoes]]:
        """Send echoes between pairs of members; what became of them stands in the list at the end."""
        told: list[Echoes] = []
        with ExitStack() as stack:
            spaces = self.site.lab.namespaces
            pings = [stack.enter_context(Pings(spaces[here], ADDRESSES[there])) for here, there in pairs]
            self.until_flowing(*pairs)
            yield told
            self.until_flowing(*pairs)
            told += [one.stop(patience_s) for one in pings]

    def until_flowing(self, *pairs: Pair, packets: int = MORE) -> None:
        """Wait until more packets of each pair have arrived at both ends."""
        ways = [
            (self.taps[target], packed(ADDRESSES[source])) for pair in pairs for source, target in (pair, pair[::-1])
        ]
        wanted = [(tap, source, len(tap.times.get(source, ())) + packets) for tap, source in ways]
        for tap, source, number in wanted:
            assert tap.until_there_are(number, source), f"nothing more arrives from {source.hex()}"

    def until_all_serve(self, *relays: str) -> None:
        """Wait until each member has a proven session with these relays, and each relay has told of all."""
        for number, name in enumerate(relays):
            self.site.until(name, lambda status: status["online"] == len(MEMBERS))
            for identity in ADDRESSES:
                self.site.until(identity, lambda status, at=number: status["servers"][at]["state"] == "online")  # type: ignore[misc]

    def until_used(self, relay: str, unused: str) -> None:
        """Wait until packets of all members go by one relay, and none by the other."""
        self.site.until(relay, lambda status: all(one["received_packets"] for one in status["sessions"]))
        before = -1
        while (now := sum(one["received_packets"] for one in self.site.status(unused)["sessions"])) != before:
            before = now
            self.until_flowing(*PAIRS)

    def sessions(self, relay: str) -> dict[str, str]:
        """Return the far end of each member's session with a relay."""
        return {one["identity"]: one["remote"] for one in self.site.status(relay)["sessions"]}

    def cut(self, member: str, relay: str) -> None:
        """Let nothing pass any more between a member and a relay, in either direction and without a word."""
        place = list(ADDRESSES).index(member) + 1
        outside, inside = self.site.servers[relay][0], outside_addresses(place)[0].ip
        rules = " ".join(f"ip saddr {a} ip daddr {b} drop;" for a, b in ((outside, inside), (inside, outside)))
        text = f"table inet cut {{ chain forward {{ type filter hook forward priority filter; {rules} }}; }}"
        run(self.site.lab.namespaces[SERVER], "nft", text)

    def mend(self) -> None:
        """Let everything pass again."""
        run(self.site.lab.namespaces[SERVER], "nft", "delete table inet cut")

    def arrived_twice(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return echoes that some member got more than once."""
        twice = []
        for identity, tap in self.taps.items():
            seen = Counter(_echo(packet) for packet in tap.packets if packet[0] >> 4 == 4 and packet[9] == 1)
            twice += [(identity, echo) for echo, times in seen.items() if times > 1]
        return twice


def _echo(packet: bytes) -> tuple[int, ...]:
    """Return type, identifier and number of an echo."""
    kind, _, _, identifier, number = ICMP_ECHO.unpack_from(packet, (packet[0] & 15) * 4)
    return kind, identifier, number


def the_used_one_dies(fleet: Fleet) -> None:
    """Kill the relay that everybody uses: echoes are missing for less than a second, and nobody shakes hands anew."""
    before = fleet.sessions("relay-2")
    with fleet.echoes(*PAIRS, patience_s=SHORT_S) as told:
        fleet.site.end("relay-1", signal.SIGKILL)
    assert fleet.sessions("relay-2") == before, "a handshake"
    for one in told:
        assert one.silence < FAILOVER_S, f"{one.silence:.3f} s without a packet after a relay died"


def it_returns_and_is_used(fleet: Fleet) -> None:
    """Start it again; all use it by then, so the death of the other one costs nobody a packet."""
    with fleet.echoes(*PAIRS) as told:
        fleet.site.lab.start_server("relay-1")
        fleet.until_all_serve(*RELAYS)
        fleet.until_used("relay-1", "relay-2")
        fleet.site.end("relay-2", signal.SIGKILL)
    assert [one.missing for one in told] == [(), ()]


def one_member_is_cut_off(fleet: Fleet) -> None:
    """Cut a off from the relay that all use: a meets the others at the other one, and they lose nothing."""
    fleet.site.lab.start_server("relay-2")
    fleet.until_all_serve(*RELAYS)
    with fleet.echoes(*PAIRS, patience_s=SHORT_S) as told:
        fleet.cut("a", "relay-1")
        fleet.site.until("a", lambda status: status["servers"][0]["state"] != "online")
    of_a, of_others = told
    assert of_a.missing
    assert of_a.silence < BUDGET_S, f"{of_a.silence:.3f} s until two members met at another relay"
    assert of_others.missing == (), "others lost packets"
    fleet.mend()
    fleet.until_all_serve(*RELAYS)


def the_only_one_dies(fleet: Fleet) -> None:
    """Leave the fleet one relay, kill that and start it again at once: all are back in seconds."""
    site = fleet.site
    del site.servers["relay-2"]
    for identity in ADDRESSES:
        site.write_client(identity, more=FAST)
        site.lab.processes[identity].signal(signal.SIGHUP)
        site.until(identity, lambda status: len(status["servers"]) == 1 and status["state"] == "online")
    with fleet.echoes(*PAIRS, patience_s=SHORT_S):
        site.end("relay-1", signal.SIGKILL)
        ended = monotonic()
        site.lab.start_server("relay-1")
        began = monotonic()
        fleet.until_flowing(*PAIRS, packets=1)
        took = monotonic() - began
    outage = began - ended
    limit = RETURN_S if outage < QUICK_S else RETURN_S + 2 * outage
    assert took < limit, f"{took:.3f} s until the fleet was back, after {outage:.3f} s without a relay"


def the_stream_is_whole(fleet: Fleet) -> None:
    """See that the stream from a to c, which has run all the time, arrived whole."""
    sent, arrived = fleet.stream.stop()
    assert sent == arrived > 0


@scenario(
    the_used_one_dies,
    it_returns_and_is_used,
    one_member_is_cut_off,
    the_stream_is_whole,
    the_only_one_dies,
    rows="29",
)
def failover(folder: Path) -> Iterator[Fleet]:
    """Relays die, return or cannot be reached: members go on by the other one, and no echo arrives twice.

    relay-1   relay-2           each member lists both, relay-1 first
        \\       /
         outside                a packet filter here cuts one member off from one relay
       /  |   |  \\
      a   b   c   d             a and b send each other echoes, c and d too; a sends c a stream
    """
    with nothing_left(), Fleet(folder) as fleet:
        yield fleet
        assert fleet.arrived_twice() == []
