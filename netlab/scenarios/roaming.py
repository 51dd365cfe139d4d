"""A member that changes networks under way, with real processes; echoes through the tunnel are the witness.

Rules of this module
  1. What is measured is the time from the moment a new path works until the first echo that was sent later is back.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import monotonic

from pyroute2 import IPRoute

from netlab.bench.load import ICMP_ECHO
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER, outside_addresses
from netlab.worlds.carrying import run
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.leftovers import hosts_as_before
from netlab.worlds.traffic import Pings, Tap

NEAR, FAR = "10.0.1.1", "10.0.1.2"
GATEWAY, GATEWAY6 = (str(own.ip) for own in outside_addresses(0))
HOME, HOME6 = (str(own.ip) for own in outside_addresses(1))
MOVED, WIFI, MOVED6 = "198.18.99.1", "198.18.99.2", "2001:db8:99::1"
PROMISE_S = 1.0
STALL_S = 8.0  # where nobody tells the host: 2.5 s, or three retransmission timeouts where a busy machine delays acks
RETURN_S = 2.0
ECHO_REPLY = 0
NAT = """
table ip nat {
  chain post { type nat hook postrouting priority srcnat; ip saddr 198.18.99.0/24 oifname m3 masquerade; }
  chain forward {
    type filter hook forward priority filter;
    ct state invalid drop
    # nothing begins from its outside; what the relay sent first would be a connection without another source
    iifname m3 ip daddr 198.18.99.0/24 ct state new drop
  }
}
"""


class Walk(ExitStack):
    """The laboratory, a tap at a's tunnel, and echoes from a to b without a pause."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        members = KeyedMember("a", "fleet", NEAR), KeyedMember("b", "fleet", FAR)
        self.site = self.enter_context(KeyedLab(folder, members, relays=("relay",)))
        self.enter_context(hosts_as_before(self.site, ("a", "b")))
        self.site.start("a", "b")
        spaces = self.site.lab.namespaces
        self.tap = self.enter_context(Tap(spaces["a"]))
        self.pings = self.enter_context(Pings(spaces["a"], FAR))
        self.flows_within(PROMISE_S)

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes

    def run(self, node: str, *lines: str) -> None:
        """Do what `ip` does with each line."""
        for line in lines:
            run(self.site.lab.namespaces[node], "ip", *line.split())

    def flows_within(self, limit_s: float) -> None:
        """Fail unless an echo that is sent from now on is back in time."""
        began, first = monotonic(), self.pings.sent
        seen = len(self.tap.packets)
        assert self.tap.until(lambda: any(_number(one) >= first for one in self.tap.packets[seen:])), self.words()
        took = monotonic() - began
        assert took < limit_s, f"{took:.3f} s until packets flow again\n{self.words()}"

    def dial(self, relay: str, remote: str) -> None:
        """Have a reach the relay at another of its addresses, and wait until the relay sees it come from there."""
        self.site.write_client("a", address=relay)
        self.site.lab.processes["a"].signal(signal.SIGHUP)
        self.site.lab.wait_until(lambda: self.remotes().get("a") == remote, f"a does not come from {remote}")

    def home_again(self) -> None:
        """Put a's network back as it was at the start."""
        self.run("a", "link del wlan0", f"address add {HOME}/32 dev eth0", f"address del {MOVED}/32 dev eth0")
        self.run("a", f"address add {HOME6}/128 dev eth0 nodad", f"route add {GATEWAY6} dev eth0 proto static")
        self.run("a", f"route add ::/0 via {GATEWAY6} dev eth0 proto static")

    def reconnects(self) -> int:
        """Return how often a's session ended."""
        return int(self.site.status("a")["reconnects"])

    def remotes(self) -> dict[str, str]:
        """Return where each member is, as the relay sees it."""
        sessions = self.site.status("relay")["sessions"]
        return {one["identity"]: one["remote"].rpartition(":")[0] for one in sessions}

    def until_said(self, text: str, times: int) -> None:
        """Wait until a has said something so many times."""
        self.site.lab.wait_until(lambda: self.site.log("a").count(text) >= times, f"a does not say {text!r}")

    def words(self) -> str:
        """Return all that a has said."""
        return self.site.log("a")


def _number(packet: bytes) -> int:
    if packet[0] >> 4 != 4 or packet[9] != 1:
        return -1
    kind, _, _, _, number = ICMP_ECHO.unpack_from(packet, (packet[0] & 15) * 4)
    return int(number) if kind == ECHO_REPLY else -1


def another_address(walk: Walk) -> None:
    """Give a another address in the same network, and take the old one."""
    walk.run(SERVER, f"route add {MOVED} dev m1")
    walk.run("a", f"address add {MOVED}/32 dev eth0", f"address del {HOME}/32 dev eth0")
    walk.flows_within(PROMISE_S)
    assert walk.reconnects() == 1
    assert walk.remotes() == {"a": MOVED, "b": str(outside_addresses(2)[0].ip)}


def another_ipv6_address(walk: Walk) -> None:
    """Let a reach the relay over IPv6, then give it another address there; afterwards it is back on IPv4."""
    relay, relay6 = walk.site.servers["relay"]
    walk.dial(f"[{relay6}]", f"[{HOME6}]")
    walk.flows_within(PROMISE_S)
    walk.run(SERVER, f"route add {MOVED6} dev m1")
    walk.run("a", f"address add {MOVED6}/128 dev eth0 nodad", f"address del {HOME6}/128 dev eth0")
    walk.flows_within(PROMISE_S)
    assert walk.remotes()["a"] == f"[{MOVED6}]"
    walk.dial(relay, MOVED)


def cable_to_wifi(walk: Walk) -> None:
    """Pull the cable of a host that has Wi-Fi beside it."""
    before = walk.reconnects()
    outside = walk.site.lab.namespaces[SERVER]
    lay = partial(_lay_cable, outside.fileno())
    walk.site.lab.namespaces["a"].run(lay)
    walk.run(SERVER, "link set w1 up", f"address add {GATEWAY}/32 dev w1", f"route add {WIFI} dev w1")
    walk.run("a", f"address add {WIFI}/32 dev wlan0", "link set wlan0 up")
    walk.run("a", f"route add {GATEWAY} dev wlan0 scope link metric 600")
    walk.run("a", f"route add default via {GATEWAY} dev wlan0 metric 600")
    walk.flows_within(PROMISE_S)
    assert walk.reconnects() == before, "what stands beside the cable changes nothing"
    walk.run("a", "link set eth0 down")
    walk.flows_within(PROMISE_S)
    assert walk.reconnects() == before + 1


def flap(walk: Walk) -> None:
    """Take the Wi-Fi away until it is missed, and give it back."""
    doubts = walk.words().count("trying another connection")
    walk.run(SERVER, "link set w1 down")
    walk.until_said("trying another connection", doubts + 1)
    walk.run(SERVER, "link set w1 up", f"route add {WIFI} dev w1")
    walk.flows_within(PROMISE_S)


def cable_again(walk: Walk) -> None:
    """Plug the cable in beside a Wi-Fi that works: the session has no reason to end."""
    before = walk.reconnects()
    walk.run("a", "link set eth0 up", f"route add {GATEWAY} dev eth0 scope link proto static")
    walk.run("a", f"route add default via {GATEWAY} dev eth0 proto static")
    walk.flows_within(PROMISE_S)
    assert walk.reconnects() == before


def forgetful_router(walk: Walk) -> None:
    """Put a NAT box before a, and let it forget all connections."""
    outside = walk.site.lab.namespaces[SERVER]
    run(outside, "nft", NAT)
    walk.site.lab.wait_until(lambda: walk.remotes().get("a") == GATEWAY, "a does not come through the NAT box")
    walk.flows_within(STALL_S)
    outside.run(_forget_connections)
    walk.flows_within(STALL_S)
    run(outside, "nft", "delete table ip nat")
    walk.flows_within(STALL_S)


def restarts(walk: Walk) -> None:
    """Restart the relay in order, and after a crash."""
    outages = 0.0  # of both: the session between them is too short to begin the client's waits anew
    for number in (signal.SIGTERM, signal.SIGKILL):
        walk.site.end("relay", number)
        ended = monotonic()
        walk.site.lab.start_server("relay")
        outages += monotonic() - ended
        walk.flows_within(max(RETURN_S, 1.0 + outages))  # a machine that is busy starts a relay slowly


def _lay_cable(outside: int) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="wlan0", kind="veth", peer={"ifname": "w1", "net_ns_fd": outside})


def _forget_connections() -> None:
    Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").write_text("0")
    from pyroute2 import NFCTSocket

    with NFCTSocket() as conntrack:
        conntrack.flush()


@scenario(
    another_address,
    another_ipv6_address,
    cable_to_wifi,
    flap,
    cable_again,
    forgetful_router,
    restarts,
    rows="32",
)
def roaming(folder: Path) -> Iterator[Walk]:
    """A member changes networks under way, and is off the air for a second at most.

    a ---- eth0 ------ outside ---- relay
      `--- wlan0 ----'    |
                          b
    """
    with Walk(folder) as walk:
        yield walk
        walk.home_again()
