"""Faults of one host and of the processes on it, with a real server and a real client."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pyroute2 import IPRoute

from netlab.scenarios.scenario import scenario
from netlab.worlds.running import NEAR, OTHER, SERVER, Site
from rustun.backends.host_snapshot import ROUTE_PROTOCOL

LAN: Final = "10.9.0.0/24"
OVER_SERVER: Final = "203.0.113.0/24"
ATTACHED: Final = "192.168.1.0/24"
TUNNEL: Final = ("10.0.1.0/24 dev rustun0", f"{LAN} dev rustun0", f"{OVER_SERVER} dev rustun0")
PIN: Final = f"{SERVER}/32 dev eth0 via {NEAR[1]}"
STOP_S: Final = 2.0  # the promise about SIGTERM


class OneHost(ExitStack):
    """A host with a client that has its session and its routes, and the server on the far side; use as a context.

    Attributes:
        site: the machines.
        server, client: what runs there now.
    """

    nodes = ("host", "far")

    def __init__(self, *prefixes: str) -> None:
        super().__init__()
        self.site = self.enter_context(Site())
        self.site.write_members(LAN, OVER_SERVER, *prefixes)
        self.server, self.client = self.site.serve(), self.site.connect()
        self.until_as_before()

    def until_as_before(self) -> None:
        """Wait until the client has a session, and the host all that belongs to it."""
        self.client.until_online()
        self.site.until_routed(*TUNNEL, PIN)


# --- the server ends -------------------------------------------------------------------------------------------------


def server_is_killed(host: OneHost) -> None:
    """Kill the server: the client notices at once, and is back when the next one serves."""
    host.server.end(signal.SIGKILL)
    host.client.until_logged("trying again")
    assert "goodbye" not in host.client.log
    host.server = host.site.serve()
    host.until_as_before()
    assert host.client.status()["reconnects"] == 1


def server_ends_in_order(host: OneHost) -> None:
    """End it in order: it says goodbye, what the host carries stays meanwhile, and the client is back."""
    assert host.server.end(signal.SIGTERM) == 0, host.server.log
    host.client.until_logged("the server said goodbye")
    host.site.until_routed(*TUNNEL, PIN)
    host.server = host.site.serve()
    assert host.client.until_online()["reconnects"] == 2
    assert [session["identity"] for session in host.server.status()["sessions"]] == ["m0"]


@scenario(server_is_killed, server_ends_in_order, rows="29")
def server_ends(folder: Path) -> Iterator[OneHost]:
    """A server that is killed or ends in order is no end of a tunnel: the host keeps its routes, the client returns.

    host === two cables === far          a client here, its server there
    """
    with OneHost() as host:
        yield host


# --- the client ends -------------------------------------------------------------------------------------------------


def client_is_killed(host: OneHost) -> None:
    """Kill the client: the kernel takes the device, the way to the server stays; the next client finds and uses it."""
    host.client.end(signal.SIGKILL)
    host.site.until_routed(PIN)
    host.client = host.site.connect()
    host.until_as_before()


def client_ends_in_order(host: OneHost) -> None:
    """End it in order: in 2 s no address, route, device or socket of it is left, and the server knows."""
    assert host.client.end(signal.SIGTERM, STOP_S) == 0, host.client.log
    assert host.site.routes() == host.site.before
    assert host.site.index("rustun0") == 0
    assert not (host.site.folder / "client.sock").exists()
    assert host.server.status()["online"] == 0


def client_without_server_ends(host: OneHost) -> None:
    """End one that waits for a server that is gone: nothing is left either."""
    host.server.end(signal.SIGKILL)
    host.client = host.site.connect()
    host.client.until(lambda status: status["state"] == "waiting")
    assert host.client.end(signal.SIGINT) == 0, host.client.log
    assert host.site.routes() == host.site.before


@scenario(client_is_killed, client_ends_in_order, client_without_server_ends, rows="30")
def client_ends(folder: Path) -> Iterator[OneHost]:
    """What a killed client leaves is found by the next one, and one that ends in order leaves nothing.

    host === two cables === far          a client here, its server there
    """
    with OneHost() as host:
        yield host


# --- somebody changes the host ---------------------------------------------------------------------------------------


def prefixes_over_what_is_near(host: OneHost) -> None:
    """See that a peer's prefix over the server leaves its way alone, and one over an attached LAN is refused."""
    refused = host.client.until(lambda status: status["refused_routes"])["refused_routes"]
    assert list(refused) == [ATTACHED]
    assert "directly connected at eth0" in refused[ATTACHED]
    host.client.until_logged(f"warning {ATTACHED} is not routed into the tunnel")
    [way] = host.site.ip.route("get", dst=SERVER)
    assert way.get("oif") == host.site.index("eth0")
    [way] = host.site.ip.route("get", dst="203.0.113.8")
    assert way.get("oif") == host.site.index("rustun0")


def device_set_down(host: OneHost) -> None:
    """Set the device down: it is set up again, and the session stays."""
    host.site.ip.link("set", index=host.site.index("rustun0"), state="down")
    host.site.until_routed(*TUNNEL, PIN)
    assert host.client.status()["reconnects"] == 0


def all_taken_away(host: OneHost) -> None:
    """Flush routes, addresses and firewall, set another MTU: all is set up again, and the session stays."""
    device, standing = host.site.index("rustun0"), _listed_rules()
    assert "table inet rustun-rustun0" in standing
    host.site.ip.flush_routes(table=254, proto=ROUTE_PROTOCOL)
    host.site.ip.flush_addr(index=device)
    host.site.ip.link("set", index=device, mtu=1300)
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    host.client.until_logged("put right")
    host.site.until(
        lambda: host.site.ip.get_links(device)[0].get("mtu") == 1500 and host.site.ip.get_addr(index=device)
    )
    host.site.until_routed(*TUNNEL, PIN)
    while _listed_rules() != standing:
        host.client.status()
    assert host.client.status()["reconnects"] == 0


def _listed_rules() -> str:
    """Return all firewall rules of this namespace."""
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


def device_deleted(host: OneHost) -> None:
    """Delete the device: there is another one soon, with a new session."""
    first = host.site.index("rustun0")
    host.site.ip.link("del", index=first)
    host.client.until(lambda status: status["reconnects"] == 1)
    host.until_as_before()
    assert host.site.index("rustun0") != first


def another_network(host: OneHost) -> None:
    """Unplug the network, and give the host another: the way to the server and the session follow."""
    before = host.client.status()["reconnects"]
    bare = host.site.before
    host.site.before = bare - {f"0.0.0.0/0 dev eth0 via {NEAR[1]}"} | {f"0.0.0.0/0 dev eth1 via {OTHER[1]}"}
    host.site.far.run(_unplug)
    host.site.ip.route("replace", dst="0.0.0.0/0", gateway=OTHER[1])
    host.site.until_routed(*TUNNEL, f"{SERVER}/32 dev eth1 via {OTHER[1]}")
    host.client.until(lambda status: status["state"] == "online" and status["reconnects"] > before)
    host.site.ip.route("replace", dst="0.0.0.0/0", gateway=NEAR[1])  # as it was before


def _unplug() -> None:
    """Take the first cable's far end off the network."""
    with IPRoute() as ip:
        [index] = ip.link_lookup(ifname="eth0")
        ip.addr("del", index=index, address=NEAR[1], prefixlen=24)


@scenario(
    prefixes_over_what_is_near,
    device_set_down,
    all_taken_away,
    device_deleted,
    another_network,
    rows="30, 31, 32",
)
def host_changes(folder: Path) -> Iterator[OneHost]:
    """Whatever is done to the host under a client, the tunnel is put right without a person who restarts it.

          .- eth0 -.
    host -+        +- far                a client here, its server there
          '- eth1 -'
    """
    with OneHost(ATTACHED) as host:
        yield host
