"""A path of 1280 bytes between routers that tell nobody, with real processes: bulk arrives all the same, both ways."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from netlab.lab import TUN
from netlab.namespaces import NetworkNamespace
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.carrying import content, run
from netlab.worlds.host_picture import sysctls
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.leftovers import hosts_as_before

NEAR, FAR = "10.0.1.1", "10.0.1.2"
BULK = content(1, 5_000_000)
PATIENCE_S = 60.0  # only reached where something hangs
LIMIT_S = 25.0  # about three seconds for each of two members, and the TCP inside, which waits twice as long each time
KNOWN_S = 3.0
NARROW_MTU = 1280
NARROW = "seems to swallow full segments"
UPWARDS, DOWNWARDS = "nothing is acknowledged", "nothing answered"
QUIET = """
table inet quiet {
  chain output {
    type filter hook output priority filter;
    icmp type destination-unreachable counter drop
    icmpv6 type packet-too-big counter drop
  }
}
"""


def settings(site: KeyedLab) -> list[dict[str, str]]:
    """Return all kernel settings of both members' hosts, but those of the tunnel's own device."""
    found = [site.lab.namespaces[name].run(sysctls) for name in ("a", "b")]
    return [{name: value for name, value in one.items() if f"/{TUN}/" not in name} for one in found]


def seconds_to_send(sender: NetworkNamespace, receiver: NetworkNamespace, address: str) -> float:
    """Send 5 MB over one TCP connection inside the tunnel, compare what arrives, and return how long it took."""
    with receiver.run(lambda: socket.create_server((address, 0))) as listener:
        where = listener.getsockname()
        with sender.run(lambda: socket.create_connection(where, PATIENCE_S)) as out, listener.accept()[0] as inlet:
            inlet.settimeout(PATIENCE_S)
            began = monotonic()
            thread = threading.Thread(target=_send, args=(out,))
            thread.start()
            arrived = b"".join(iter(lambda: inlet.recv(1 << 16), b""))
            thread.join()
    assert arrived == BULK
    return monotonic() - began


def _send(out: socket.socket) -> None:
    out.sendall(BULK)
    out.shutdown(socket.SHUT_WR)


def towards_the_far_end(site: KeyedLab) -> None:
    """Send 5 MB from a to b, by paths that nobody knows yet."""
    a, b = site.lab.namespaces["a"], site.lab.namespaces["b"]
    took = seconds_to_send(a, b, FAR)
    assert took < LIMIT_S, f"{took:.1f} s for 5 MB\n{site.log('a')}{site.log('b')}"


def both_have_learnt(site: KeyedLab) -> None:
    """See that both clients told people what their paths do, and that something was too large for these."""
    for identity, where in (("a", UPWARDS), ("b", DOWNWARDS)):
        said = site.log(identity)
        assert said.count(NARROW) == 1, said
        assert where in said, said
        assert site.status(identity)["reconnects"] >= 1  # more where a busy machine kept an answer waiting
    counted = run(site.lab.namespaces[SERVER], "nft", "list table inet quiet")
    assert counted.count("counter packets 0 ") == 0, f"nothing was too large\n{counted}"


def back_again(site: KeyedLab) -> None:
    """Send 5 MB from b to a, by paths that are known."""
    took = seconds_to_send(site.lab.namespaces["b"], site.lab.namespaces["a"], NEAR)
    assert took < KNOWN_S, f"{took:.1f} s for 5 MB, although the paths are known by now"


@scenario(towards_the_far_end, both_have_learnt, back_again)
def narrow_path(folder: Path) -> Iterator[KeyedLab]:
    """Bulk gets through a path that swallows large packets and tells nobody, as with PPPoE.

    a (over IPv4) ----.
                       outside, MTU 1280, no ICMP ---- relay
    b (over IPv6) ----'
    """
    members = KeyedMember("a", "fleet", NEAR), KeyedMember("b", "fleet", FAR)
    with KeyedLab(folder, members, relays=("relay",)) as site:
        site.write_client("b", address=f"[{site.servers['relay'][1]}]")
        outside = site.lab.namespaces[SERVER]
        for interface in ("m1", "m2", "m3"):
            run(outside, "ip", "link", "set", interface, "mtu", str(NARROW_MTU))
        run(outside, "nft", QUIET)
        with hosts_as_before(site, ("a", "b")):
            before = settings(site)
            site.start("a", "b")
            yield site
            assert settings(site) == before, "a narrow path is no reason to touch a setting of the host"
