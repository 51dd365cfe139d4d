"""Two clusters with the same addresses and the same LANs, and a hostile member of one of them.

    red   red-gw  10.0.1.1, 192.168.1.0/24, 100.64.9.0/24    red-dev  10.0.1.2
    blue  blue-gw 10.0.1.1, 192.168.1.0/24                   blue-dev 10.0.1.2    blue-evil 10.0.1.3 with valid keys

A denial counts only with its twin: each kind of probe passes where it may, and behind the last one a marker arrives in
both clusters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from netlab.bench import measure
from netlab.processes import Document
from netlab.scenarios.scenario import scenario
from netlab.worlds.forgeries import (
    ABSENT,
    DEVICE,
    EVIL,
    GATEWAY,
    MAPPED,
    REAL,
    WIDE,
    all_forgeries,
    numbers_in,
    packed,
)  # fmt: skip
from netlab.worlds.hostile import LEGACY_ME, ME, SEED_KEY
from netlab.worlds.keyed_lab import PATIENCE_S, KeyedLab, KeyedMember
from netlab.worlds.traffic import Tap, addresses

LAN = "192.168.1.0/24"
HONEST = (
    KeyedMember("red-gw", "red", GATEWAY, (LAN, "100.64.9.0/24")),
    KeyedMember("red-dev", "red", DEVICE),
    KeyedMember("blue-gw", "blue", GATEWAY, (LAN,)),
    KeyedMember("blue-dev", "blue", DEVICE),
)
HOSTILE = KeyedMember(ME, "blue", EVIL, WIDE, more={"cider_mapping": {MAPPED: REAL}})
OTHERS = (
    KeyedMember("blue-off", "blue", ABSENT),
    KeyedMember(LEGACY_ME, "blue", "10.0.1.8", keys=(), more={"tier": "legacy"}),
)
BLUE = {"blue-gw", "blue-dev", "blue-off", LEGACY_ME, ME}
RED = ("red-gw", "red-dev")
ECHOES = 10
TABLES = f"""
[crypto_config]
chacha20poly1305 = "{SEED_KEY}"
[limit_config]
control_messages_per_second = 1000  # what is shown here is what they say, not how many there are
"""


class TwoClusters(ExitStack):
    """All honest members online; use as a context.

    Attributes:
        site: the machines.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, (*HONEST, HOSTILE), OTHERS, more=TABLES))
        self.site.start(*(member.identity for member in HONEST))
        for identity in ("blue-gw", "blue-dev"):  # else they would drop what they do not route
            self.site.until(identity, lambda status: {*WIDE} <= {*status["routes"]})
        for identity in RED:  # who is there is told within a second
            self.site.until(identity, lambda status: all(peer["online"] for peer in status["peers"]))

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes


@contextmanager
def attack(site: KeyedLab, name: str) -> Iterator[Document]:
    """Let the hostile member carry out an attack, and stay until the context ends; yield what it says of it."""
    with site.hostile(ME, name) as process:
        yield process.line(monotonic() + PATIENCE_S)


def red_view(site: KeyedLab) -> dict[str, Any]:
    """Return all that arrives in the red cluster, by the counters of both ends, and who is known of whom there.

    What a member's kernel sends of its own accord (it looks for routers) is its own affair.
    """
    view: dict[str, Any] = {}
    for identity in RED:
        client, session = site.status(identity), site.session(identity)
        assert session is not None
        view |= {f"{identity} {name}": session[name] for name in ("sent_packets", "sent_bytes")}
        names = ("received_packets", "received_bytes", "drops", "peers", "reconnects")
        view |= {f"{identity} {name}": client[name] for name in names}
    return view


def marker(site: KeyedLab, cluster: str) -> None:
    """Let echoes cross a cluster: what is silent there is not dead."""
    way = measure.Path(f"{cluster}-dev", f"{cluster}-gw", GATEWAY)
    assert measure.trips(site.lab, way, echoes=ECHOES).lost == 0, f"{cluster} is dead: its silence proves nothing"


def forged_packets(stage: TwoClusters) -> None:
    """Send in others' names, into the other cluster, and what nobody may send on: each drop counted, red sees none."""
    site = stage.site
    spaces = site.lab.namespaces
    with ExitStack() as stack:
        taps = {one.identity: stack.enter_context(Tap(spaces[one.identity])) for one in HONEST}
        marker(site, "red")
        for identity, source in (("red-gw", DEVICE), ("red-dev", GATEWAY)):  # a tap may be behind what has passed it
            assert taps[identity].until_there_are(ECHOES, packed(source))
        before = red_view(site)
        delivered_before = {identity: len(tap.packets) for identity, tap in taps.items()}
        with attack(site, "forge") as told:
            check_drops(site, told)
            for identity in ("blue-dev", "blue-gw"):
                check_arrivals(identity, taps[identity])
        assert red_view(site) == before, "something of blue shows in red"
        for identity in RED:
            assert len(taps[identity].packets) == delivered_before[identity]
        for cluster in ("blue", "red"):
            marker(site, cluster)
        after = red_view(site)
        for name in (f"{identity} {what}" for identity in RED for what in ("sent_packets", "received_packets")):
            assert after[name] == before[name] + ECHOES, name


def check_drops(site: KeyedLab, told: Document) -> None:
    """Compare what the relay has dropped with what was forged, reason by reason."""
    sent = all_forgeries()
    assert told["sent"] == len(sent)
    assert set(told["knows"]) == BLUE, told
    session = site.session(ME)
    assert session is not None
    expected = Counter(one.fate for one in sent if one.fate not in BLUE)
    assert session["drops"] == dict(expected)
    assert {"bad-source", "no-route", "offline", "to-sender", "bad-packet", "bad-offload"} < set(expected)


def check_arrivals(identity: str, tap: Tap) -> None:
    """Wait for every forgery that is allowed here, compare addresses, and find no other one."""
    allowed = {one.number: one for one in all_forgeries() if one.fate == identity}
    assert tap.until(lambda: allowed.keys() <= numbers(tap)), f"at {identity}: {allowed.keys() - numbers(tap)}"
    assert numbers(tap) == allowed.keys()
    for packet in tap.packets:
        for number in numbers_in(packet):
            one = allowed[number]
            assert addresses(packet) == (packed(one.source), packed(one.destination)), one


def numbers(tap: Tap) -> set[int]:
    """Return the numbers of all forgeries that a tap has seen."""
    return {number for packet in tap.packets for number in numbers_in(packet)}


def foreign_names(stage: TwoClusters) -> None:
    """Name others wherever a message has room for a name: the connection is closed, or the name is ignored."""
    site = stage.site
    before = red_view(site)
    with attack(site, "impersonate") as told:
        outcomes = dict(told["outcomes"])
        assert set(outcomes.values()) <= {"closed", "reset"}, outcomes
        assert told["answered"], "a ping with unknown fields is a ping"
        assert set(told["knows"]) == BLUE
        closes = site.status()["closes"]
        assert closes["wrong-key"] == sum(what.startswith("handshake") for what in outcomes) == 2
        assert closes["protocol-error"] == len(outcomes) - 2, closes
    assert red_view(site) == before


def foreign_keepalives(stage: TwoClusters) -> None:
    """Send keepalives in everybody's name on the seed's wire: only its own is answered, the others are counted."""
    site = stage.site
    before = red_view(site)
    with attack(site, "keep_alive") as told:
        assert told["answered"] == [LEGACY_ME]
        assert set(told["knows"]) == BLUE - {LEGACY_ME}
        session = site.session(LEGACY_ME)
        assert session is not None
        assert session["drops"] == {"foreign-identity": 4}
    assert red_view(site) == before


def both_alive(stage: TwoClusters) -> None:
    """See that both clusters have been alive all the time: their silence would prove nothing otherwise."""
    marker(stage.site, "blue")
    marker(stage.site, "red")


@scenario(forged_packets, foreign_names, foreign_keepalives, both_alive, rows="16, 17, 18, 19, 19a, 20, 21")
def hostile_member(folder: Path) -> Iterator[TwoClusters]:
    """A member with valid keys that sends whatever it likes reaches nobody but those that it may.

    red-gw ---.          .--- blue-gw          red and blue have the same addresses
               +- server -+--- blue-dev        and the same LANs
    red-dev --'          '--- blue-evil
    """
    with TwoClusters(folder) as stage:
        yield stage
