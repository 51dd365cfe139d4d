"""Faults of a host and of processes, with a real server and a real client; rows are those of the table of faults."""

from __future__ import annotations

import signal
import subprocess

from pyroute2 import IPRoute

from netlab.worlds.running import NEAR, OTHER, SERVER, Site
from rustun.backends.host_snapshot import ROUTE_PROTOCOL
from tests.netlab.private_namespace import in_private_namespace

LAN = "10.9.0.0/24"
OVER_SERVER = "203.0.113.0/24"
TUNNEL = ("10.0.1.0/24 dev rustun0", f"{LAN} dev rustun0", f"{OVER_SERVER} dev rustun0")
STOP_S = 2.0  # the promise about SIGTERM
PIN = f"{SERVER}/32 dev eth0 via {NEAR[1]}"


@in_private_namespace
def test_server_ends_in_order_and_comes_back() -> None:
    """Row 29. If this fails, a planned restart of the server is an outage: no goodbye, or clients stay away."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        server, client = site.serve(), site.connect()
        client.until_online()
        assert server.end(signal.SIGTERM) == 0, server.log
        client.until_logged("trying again")
        assert "the server said goodbye" in client.log
        site.until_routed(*TUNNEL, PIN)  # what the host carries stays while the client reconnects
        again = site.serve()
        back = client.until_online()
        assert back["reconnects"] == 1
        assert [session["identity"] for session in again.status()["sessions"]] == ["m0"]


@in_private_namespace
def test_server_is_killed_and_comes_back() -> None:
    """Row 29. If this fails, a crash of the server takes its clients with it, or they notice it late."""
    with Site() as site:
        site.write_members()
        server, client = site.serve(), site.connect()
        client.until_online()
        server.end(signal.SIGKILL)
        client.until_logged("trying again")
        assert "goodbye" not in client.log
        site.serve()
        assert client.until_online()["reconnects"] == 1


@in_private_namespace
def test_a_killed_client_is_tidied_up_by_the_next() -> None:
    """Row 30. If this fails, the next start fails on what a killed client left, or leaves it for ever."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        site.serve()
        client = site.connect()
        site.until_routed(*TUNNEL, PIN)
        client.end(signal.SIGKILL)
        site.until_routed(PIN)  # the kernel took the device; the way to the server stays, and the socket's file
        again = site.connect()
        again.until_online()
        site.until_routed(*TUNNEL, PIN)
        assert again.end(signal.SIGTERM) == 0, again.log
        assert site.routes() == site.before


@in_private_namespace
def test_sigterm_leaves_nothing() -> None:
    """If this fails, stopping a client hangs, or leaves an address, a route, a device or a socket's file behind."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        server, client = site.serve(), site.connect()
        site.until_routed(*TUNNEL, PIN)
        assert client.end(signal.SIGTERM, STOP_S) == 0, client.log
        assert site.routes() == site.before
        assert site.index("rustun0") == 0
        assert not (site.folder / "client.sock").exists()
        assert server.status()["online"] == 0
        server.end(signal.SIGKILL)
        lonely = site.connect()
        lonely.until(lambda status: status["state"] == "waiting")
        assert lonely.end(signal.SIGINT) == 0, lonely.log
        assert site.routes() == site.before


@in_private_namespace
def test_device_set_down_or_deleted() -> None:
    """Row 30. If this fails, a device that somebody sets down or deletes needs a person who restarts the client."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        site.serve()
        client = site.connect()
        site.until_routed(*TUNNEL, PIN)
        site.ip.link("set", index=site.index("rustun0"), state="down")
        site.until_routed(*TUNNEL, PIN)
        assert client.status()["reconnects"] == 0
        first = site.index("rustun0")
        site.ip.link("del", index=first)
        client.until(lambda status: status["reconnects"] == 1)
        client.until_online()
        site.until_routed(*TUNNEL, PIN)
        assert site.index("rustun0") != first


@in_private_namespace
def test_prefixes_over_the_server_and_over_the_lan() -> None:
    """Row 31. If this fails, a peer's prefix swallows the way to the server, or takes this host off its LAN."""
    lan = "192.168.1.0/24"
    with Site() as site:
        site.write_members(LAN, OVER_SERVER, lan)
        site.serve()
        client = site.connect()
        refused = client.until(lambda status: status["refused_routes"])
        assert list(refused["refused_routes"]) == [lan]
        assert "directly connected at eth0" in refused["refused_routes"][lan]
        client.until_logged(f"warning {lan} is not routed into the tunnel")
        site.until_routed(*TUNNEL, PIN)
        [way] = site.ip.route("get", dst=SERVER)
        assert way.get("oif") == site.index("eth0")
        [way] = site.ip.route("get", dst="203.0.113.8")
        assert way.get("oif") == site.index("rustun0")
        assert client.status()["state"] == "online"


@in_private_namespace
def test_pin_follows_another_network() -> None:
    """Row 32. If this fails, a host that changed networks dials its server through the old one for ever."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        site.serve()
        client = site.connect()
        site.until_routed(*TUNNEL, PIN)
        site.before -= {f"0.0.0.0/0 dev eth0 via {NEAR[1]}"}
        site.before |= {f"0.0.0.0/0 dev eth1 via {OTHER[1]}"}
        site.far.run(unplug)
        site.ip.route("replace", dst="0.0.0.0/0", gateway=OTHER[1])
        site.until_routed(*TUNNEL, f"{SERVER}/32 dev eth1 via {OTHER[1]}")
        client.until(lambda status: status["state"] == "online" and status["reconnects"] >= 1)
        site.ip.route("replace", dst="0.0.0.0/0", gateway=NEAR[1])  # as it was before the test


@in_private_namespace
def test_what_somebody_takes_away_is_set_up_again() -> None:
    """Row 30. If this fails, a flushed device or firewall, or another MTU, stays until the client is restarted."""
    with Site() as site:
        site.write_members(LAN, OVER_SERVER)
        site.serve()
        client = site.connect()
        site.until_routed(*TUNNEL, PIN)
        device = site.index("rustun0")
        standing = listed_rules()
        assert "table inet rustun-rustun0" in standing
        site.ip.flush_routes(table=254, proto=ROUTE_PROTOCOL)
        site.ip.flush_addr(index=device)
        site.ip.link("set", index=device, mtu=1300)
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        client.until_logged("put right")
        site.until(lambda: site.ip.get_links(device)[0].get("mtu") == 1500 and site.ip.get_addr(index=device))
        site.until_routed(*TUNNEL, PIN)
        while listed_rules() != standing:
            client.status()
        assert client.status()["reconnects"] == 0


def listed_rules() -> str:
    """Return all firewall rules of this namespace."""
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


def unplug() -> None:
    """Take the first cable's far end off the network."""
    with IPRoute() as ip:
        [index] = ip.link_lookup(ifname="eth0")
        ip.addr("del", index=index, address=NEAR[1], prefixlen=24)
