"""Which interfaces a gateway's packets come and go by."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from rustun.backends.base import Forwarding, HostState, Prefix
from rustun.backends.host_snapshot import Link, Route, Snapshot, device_route
from rustun.backends.surroundings import NEXT_HOP, survey

LAN, UPLINK, WIFI, TUN = 2, 3, 4, 7
LINKS = (
    Link(LAN, "br0", "bridge", True, 1500),
    Link(UPLINK, "eth1", "", True, 1500),
    Link(WIFI, "wlan0", "", True, 1500),
    Link(TUN, "rustun0", "tun", True, 1500),
)


def via(prefix: str, device: int, metric: int = 0) -> Route:
    path = (("RTA_OIF", bytes([device, 0, 0, 0])), ("RTA_GATEWAY", ip_address("198.18.0.1").packed))
    return Route(ip_network(prefix), device, 4, metric, 0, 0, path)


def connected(prefix: str, device: int) -> Route:
    return device_route(ip_network(prefix), device, 2)


def wish(*lans: str, mapping: tuple[tuple[Prefix, Prefix], ...] = ()) -> HostState:
    return HostState("rustun0", 1500, forwarding=Forwarding(tuple(map(ip_network, lans)), mapping=mapping))


def host(*routes: Route) -> Snapshot:
    return Snapshot(LINKS, (), routes)


def ways(snapshot: Snapshot, lan: str) -> tuple[str, ...]:
    return survey(wish(lan), snapshot).ways[ip_network(lan)]


def test_a_connected_network_and_a_part_of_it() -> None:
    """If this fails, a gateway forwards to the wrong interface, or not at all."""
    snapshot = host(connected("192.168.1.0/24", LAN), via("0.0.0.0/0", UPLINK))
    assert ways(snapshot, "192.168.1.0/24") == ways(snapshot, "192.168.1.128/25") == ("br0",)


def test_a_split_network_is_reached_by_each_of_its_interfaces() -> None:
    """If this fails, a site of several networks is reached in part, or what is none of it goes to the provider."""
    snapshot = host(
        connected("192.168.1.0/24", LAN), via("192.168.2.0/24", WIFI), via("192.168.0.0/15", UPLINK), via("::/0", LAN)
    )
    assert ways(snapshot, "192.168.0.0/16") == ("br0", "eth1", "wlan0")
    default = host(connected("192.168.1.0/24", LAN), via("0.0.0.0/0", UPLINK))
    assert ways(default, "192.168.0.0/16") == ("br0",)


def test_networks_behind_the_one_router_are_reached_by_the_default_route() -> None:
    """If this fails, an office whose networks meet at a router cannot be reached by a gateway in one of them."""
    snapshot = host(connected("192.168.1.0/24", UPLINK), via("0.0.0.0/0", UPLINK))
    assert ways(snapshot, "192.168.5.0/24") == ("eth1",)
    assert ways(host(), "192.168.5.0/24") == ()


def test_what_leads_into_the_tunnel_does_not_count() -> None:
    """If this fails, a prefix in the tunnel is taken for a network behind this host."""
    snapshot = host(device_route(ip_network("192.168.1.0/24"), TUN, 114), via("0.0.0.0/0", UPLINK))
    found = survey(wish("192.168.1.0/24"), snapshot)
    assert found.ways == {ip_network("192.168.1.0/24"): ("eth1",)}
    assert found.connected == ()


def test_real_sides_uplinks_connected_networks_and_bridges() -> None:
    """If this fails, a mapping has no interface, or an exit node opens a network that it stands in."""
    mapping = ((ip_network("fd11::/64"), ip_network("fd10::/64")),)
    snapshot = host(
        connected("fd10::/64", LAN),
        connected("fe80::/64", LAN),
        connected("203.0.113.0/24", UPLINK),
        via("0.0.0.0/0", UPLINK, 100),
        via("0.0.0.0/0", WIFI, 600),
    )
    found = survey(wish(mapping=mapping), snapshot)
    assert found.ways == {ip_network("fd10::/64"): ("br0",)}
    assert found.uplinks == {4: ("eth1", "wlan0"), 6: ()}
    assert found.connected == (ip_network("fd10::/64"), ip_network("203.0.113.0/24"))
    assert found.bridges == {"br0"}


def test_every_path_of_a_route_counts() -> None:
    """If this fails, a gateway with two uplinks forwards by none of them; bytes cut short end in a traceback."""
    hops = NEXT_HOP.pack(16, 0, 0, UPLINK) + bytes(8) + NEXT_HOP.pack(0, 0, 0, WIFI)
    route = Route(ip_network("0.0.0.0/0"), 0, 4, path=(("RTA_MULTIPATH", hops + b"\x08"),))
    assert survey(wish(), host(route)).uplinks[4] == ("eth1", "wlan0")


def test_tunnels_of_other_clients_are_told_by_their_routes() -> None:
    """If this fails, the table of one client drops what another client on this host forwards."""
    other, strangers = Link(8, "site1", "tun", True, 1500), Link(9, "tun0", "tun", True, 1500)
    routes = (device_route(ip_network("10.8.0.0/16"), 8, 114), device_route(ip_network("10.7.0.0/16"), 9, 3))
    pin = device_route(ip_network("203.0.113.7/32"), UPLINK, 114)
    own = device_route(ip_network("10.6.0.0/16"), TUN, 114)
    snapshot = Snapshot((*LINKS, other, strangers), (), (*routes, pin, own))
    assert survey(wish(), snapshot).clients == {"site1"}
