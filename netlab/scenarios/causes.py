"""Why one member does not reach another: what breaks most, and what `rustun status` says of each.

    dev    sends, also from an address that nobody gave it        gone      was killed
    gw     has a LAN                                              stranger  has another key than its entry
    narrow takes no route to that LAN                             shut      is disabled
    walled has a firewall that drops what comes in                over      has expired
    slow   is behind a line that takes next to nothing

Each cause is looked for as a newcomer does: the command, its output, nothing else.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from netlab.links.impairment import Impairment
from netlab.processes import CHECKOUT, Measurement
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.carrying import run
from netlab.worlds.keyed_lab import PATIENCE_S, KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings

LAN: Final = "192.168.5.0/24"
IN_LAN: Final = "192.168.5.1"
FOREIGN: Final = "192.168.77.5"
DEV, GW, NARROW, WALLED, SLOW = (f"10.0.1.{number}" for number in range(1, 6))
PRESENT: Final = (
    KeyedMember("dev", "blue", DEV),
    KeyedMember("gw", "blue", GW, (LAN,)),
    KeyedMember("narrow", "blue", NARROW),
    KeyedMember("walled", "blue", WALLED),
    KeyedMember("slow", "blue", SLOW),
)
KILLED: Final = KeyedMember("gone", "blue", "10.0.1.11")
STRANGER: Final = KeyedMember("stranger", "blue", "10.0.1.12")
OTHERS: Final = (
    KeyedMember("shut", "blue", "10.0.1.13", more={"enabled": False}),
    KeyedMember("over", "blue", "10.0.1.14", more={"expires_at": "2026-01-31T00:00:00Z"}),
)
NO_LAN: Final = '[host_config]\naccept_routes = ["10.0.0.0/8", "fd00::/8"]'
WALL: Final = """table inet wall {
    chain in { type filter hook input priority filter; iifname rustun0 drop; }
}"""
NARROW_LINE: Final = Impairment(rate_bit_s=2_000_000)
TOO_MUCH: Final = ("--bytes", "1200", "--rate", "2000", "--seconds", "120")  # 20 Mbit/s, until the stage is taken down
DISCARD: Final = 9  # a port where nobody listens
DATAGRAMS: Final = 3


class Broken(ExitStack):
    """Members of one cluster, each with a fault of its own but for two; use as a context.

    Attributes:
        site: the machines.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, (*PRESENT, KILLED, STRANGER), OTHERS))
        self.site.write_client("narrow", more=NO_LAN)
        self.site.write_client("stranger", keys=(1,))
        run(self.site.lab.namespaces["walled"], "nft", WALL)
        self.site.start(*(one.identity for one in PRESENT), KILLED.identity)
        self.site.lab.start_client("stranger")

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    def send(self, member: str, source: str, destination: str) -> None:
        """Let a member send some datagrams from an address that its host has from now on."""
        space = self.site.lab.namespaces[member]
        run(space, "ip", "addr", "add", f"{source}/32", "dev", "lo")
        space.run(partial(_send, source, destination))

    def until_told(self, node: str, member: str, *words: str) -> None:
        """Type `rustun status MEMBER` at a node until it says all of these words; without a member the whole status."""
        told: list[str] = []

        def look() -> bool:
            told[:] = [self._status(node, member)]
            return all(word in told[0] for word in words)

        self.site.lab.wait_until(look, f"status of {member or node} at {node} lacks {words}", PATIENCE_S)

    def _status(self, node: str, member: str) -> str:
        python = ("env", f"PYTHONPATH={CHECKOUT}", sys.executable)
        command = ("-m", "rustun", "status", "--control", str(self.site.lab.control(node)))
        return run(self.site.lab.namespaces[node], *python, *command, *filter(None, (member,)))


def _send(source: str, destination: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for _ in range(DATAGRAMS):
            sender.sendto(b"?", (destination, DISCARD))


def who_is_not_there(broken: Broken) -> None:
    """Kill one, and look for four who are not there: the server says of each why."""
    broken.site.end("gone", signal.SIGKILL)
    broken.until_told(SERVER, "gone", "why not: offline: ", " ago")
    broken.until_told(SERVER, "stranger", "why not: offline: wrong key, ", "rustun keygen --public")
    broken.until_told(SERVER, "shut", "why not: disabled: ", "enabled = false")
    broken.until_told(SERVER, "over", "why not: expired: ", "2026-01-31T00:00:00+00:00")


def a_source_that_nobody_gave(broken: Broken) -> None:
    """Send from an address that is in no entry: the server says whose packets these are, and which address."""
    broken.send("dev", FOREIGN, GW)
    words = f"{FOREIGN} is no address of its own and lies in none of its ciders (last to {GW}) (bad-source)"
    broken.until_told(SERVER, "dev", words)
    broken.until_told(SERVER, "gw", "state: online", "nothing known here")


def a_route_that_was_refused(broken: Broken) -> None:
    """Send from a LAN to one who takes no route there: its own status says that it drops them, and why."""
    broken.send("gw", IN_LAN, NARROW)
    refused = f"this host does not route {LAN} into the tunnel: "
    dropped = f"from it dropped here, the last from {IN_LAN} to {NARROW} (bad-source)"
    broken.until_told("narrow", "gw", refused, "accept_routes", dropped)
    broken.until_told(SERVER, "gw", "state: online", "nothing known here")


def a_firewall(broken: Broken) -> None:
    """Ping one whose firewall drops it: the server and its client say that packets arrive and nobody answers."""
    with Pings(broken.site.lab.namespaces["dev"], WALLED):
        broken.until_told(SERVER, "walled", "packets go to it and none come back")
        broken.until_told("walled", "", "packets come in and nothing goes out", "firewall")


def a_line_that_is_too_slow(broken: Broken) -> None:
    """Send more than a line takes: the server says at the sender who lost it, and at the receiver how much."""
    site = broken.site
    links = site.lab.links
    links.set([(links.find("server->slow")[0], NARROW_LINE)])
    words = ("udp-send", SLOW, str(DISCARD), *TOO_MUCH)
    broken.callback(Measurement(site.lab.namespaces["dev"], words).stop)
    broken.until_told(SERVER, "dev", "slow takes less than it is sent (queue-full)")
    broken.until_told(SERVER, "slow", "for it lost: it takes less than it is sent")


@scenario(who_is_not_there, a_source_that_nobody_gave, a_route_that_was_refused, a_firewall, a_line_that_is_too_slow)
def causes(folder: Path) -> Iterator[Broken]:
    """Six reasons why a member does not reach another, and `rustun status` tells each of them apart.

    dev ---.          .--- narrow, walled, slow
            +- server -+
    gw ----'          '--- gone, stranger
    """
    with Broken(folder) as broken:
        yield broken
