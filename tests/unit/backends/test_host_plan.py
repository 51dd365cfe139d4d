"""The plan: which steps take a host from what it has to what is wished."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

from rustun.backends.base import Endpoint, HostState
from rustun.backends.host_plan import RoutePlan, plan_addresses, plan_routes
from rustun.backends.host_snapshot import ROUTE_PROTOCOL, RTPROT_KERNEL, Link, Route, Rule, Snapshot, device_route

ETHERNET, TUN, OTHER_TUN = 2, 7, 8
LINK = Link(TUN, "rustun0", "tun", True, 1500)
LINKS = (Link(1, "lo", "", True, 65536), Link(ETHERNET, "eth0", "", True, 1500), LINK)
SERVER = ip_address("203.0.113.7")
HOST_ROUTE = ip_network("203.0.113.7/32")


def via(prefix: str, gateway: str, protocol: int = 4, metric: int = 0) -> Route:
    path = (("RTA_OIF", bytes([ETHERNET, 0, 0, 0])), ("RTA_GATEWAY", ip_address(gateway).packed))
    return Route(ip_network(prefix), ETHERNET, protocol, metric, 0, 0, path)


def connected(prefix: str) -> Route:
    return device_route(ip_network(prefix), ETHERNET, RTPROT_KERNEL)


HOST = Snapshot(
    links=LINKS,
    addresses=((ETHERNET, ip_interface("192.168.1.5/24")),),
    routes=(connected("192.168.1.0/24"), connected("2001:db8:1::/64"), via("0.0.0.0/0", "192.168.1.1")),
)


def wish(*routes: str, outside: tuple[str, ...] = (), addresses: tuple[str, ...] = ()) -> HostState:
    return HostState(
        "rustun0",
        1500,
        tuple(ip_interface(text) for text in addresses),
        tuple(ip_network(text) for text in routes),
        tuple(Endpoint(text, 8080) for text in outside),
    )


def done(plan: RoutePlan, snapshot: Snapshot) -> Snapshot:
    """Return the host after the steps, as the kernel would have it."""
    gone = {*plan.remove, *plan.unpin}
    replaced = {route.prefix for route in plan.pin}
    kept = [
        route
        for route in snapshot.routes
        if route not in gone and not (route.protocol == ROUTE_PROTOCOL and route.prefix in replaced)
    ]
    return replace(snapshot, routes=(*kept, *plan.pin, *plan.add))


def text(prefixes: object) -> list[str]:
    return sorted(str(prefix) for prefix in prefixes)  # type: ignore[attr-defined]


def test_routes_of_the_wish_and_of_own_networks() -> None:
    """If this fails, members are not reached."""
    plan = plan_routes(wish("10.0.2.0/24", "fd00::/48", addresses=("10.0.1.2/24", "10.0.9.1/32")), HOST, LINK)
    assert text(route.prefix for route in plan.add) == ["10.0.1.0/24", "10.0.2.0/24", "fd00::/48"]
    assert {(route.device, route.protocol) for route in plan.add} == {(TUN, ROUTE_PROTOCOL)}
    assert plan.refused == ()


def test_same_wish_again_gives_no_steps() -> None:
    """If this fails, routes flap at each change, and packets are lost."""
    wished = wish("203.0.113.0/24", "10.0.0.0/8", outside=("203.0.113.7",), addresses=("10.0.1.2/24",))
    first = plan_routes(wished, HOST, LINK)
    second = plan_routes(wished, done(first, HOST), LINK, first.pinned)
    assert (second.pin, second.add, second.remove, second.unpin) == ((), (), (), ())
    assert second.routes == first.routes


def test_difference_only() -> None:
    """If this fails, a peer that joins interrupts the others."""
    first = plan_routes(wish("10.0.1.0/24", "10.0.2.0/24"), HOST, LINK)
    second = plan_routes(wish("10.0.2.0/24", "10.0.3.0/24"), done(first, HOST), LINK)
    assert text(route.prefix for route in second.add) == ["10.0.3.0/24"]
    assert text(route.prefix for route in second.remove) == ["10.0.1.0/24"]


def test_server_inside_a_prefix_is_pinned_first() -> None:
    """If this fails, the tunnel swallows the path to its own server."""
    plan = plan_routes(wish("203.0.113.0/24", outside=("203.0.113.7",)), HOST, LINK)
    [pin] = plan.pin
    assert (pin.prefix, pin.device, pin.protocol) == (HOST_ROUTE, ETHERNET, ROUTE_PROTOCOL)
    assert pin.path == HOST.routes[2].path
    assert plan.pinned == {HOST_ROUTE}


def test_no_pin_without_need() -> None:
    """If this fails, hosts get routes that nobody can explain."""
    for wished in (
        wish("10.0.0.0/8", outside=("203.0.113.7",)),  # not inside
        wish("192.168.0.0/16", outside=("192.168.1.1",)),  # the LAN's own route is more specific
        wish("192.0.0.0/8", outside=("192.168.1.5",)),  # this host itself
        wish("0.0.0.0/0", outside=("203.0.113.7",)),  # refused
    ):
        plan = plan_routes(wished, HOST, LINK)
        assert plan.pin == ()


def test_pin_follows_the_path() -> None:
    """If this fails, a laptop that changes networks never reaches its server again."""
    wished = wish("203.0.113.0/24", outside=("203.0.113.7",))
    first = plan_routes(wished, HOST, LINK)
    after = done(first, HOST)
    moved = replace(
        after,
        routes=tuple(
            via("0.0.0.0/0", "192.168.1.9") if route.prefix.prefixlen == 0 else route for route in after.routes
        ),
    )
    second = plan_routes(wished, moved, LINK, first.pinned)
    [pin] = second.pin
    assert pin.path == via("0.0.0.0/0", "192.168.1.9").path
    assert (second.add, second.remove, second.unpin) == ((), (), ())


def test_pin_goes_with_its_reason() -> None:
    """If this fails, host routes pile up, or a server that moved stays unreachable outside the tunnel."""
    first = plan_routes(wish("203.0.113.0/24", outside=("203.0.113.7",)), HOST, LINK)
    second = plan_routes(wish(), done(first, HOST), LINK, first.pinned)
    assert text(route.prefix for route in second.unpin) == ["203.0.113.7/32"]
    assert text(route.prefix for route in second.remove) == ["203.0.113.0/24"]
    assert second.pinned == frozenset()


def test_no_path_to_the_server_means_no_covering_route() -> None:
    """If this fails, a host without a default route sends the tunnel into itself."""
    host = replace(HOST, routes=HOST.routes[:2])
    plan = plan_routes(wish("203.0.0.0/16", "10.0.0.0/8", outside=("203.0.113.7",)), host, LINK)
    assert text(route.prefix for route in plan.add) == ["10.0.0.0/8"]
    assert "203.0.113.7" in dict(plan.refused)[ip_network("203.0.0.0/16")]


def test_best_path_is_longest_then_cheapest() -> None:
    """If this fails, a pin leads along a path that the host would not take."""
    routes = (
        via("0.0.0.0/0", "192.168.1.1"),
        via("203.0.0.0/8", "192.168.1.2", metric=200),
        via("203.0.0.0/8", "192.168.1.3", metric=100),
    )
    plan = plan_routes(wish("203.0.113.0/24", outside=("203.0.113.7",)), replace(HOST, routes=routes), LINK)
    assert plan.pin[0].path == routes[2].path


def test_what_a_killed_client_left_is_removed() -> None:
    """If this fails, a crash leaves a host route for ever."""
    left = via("198.51.100.9/32", "192.168.1.1", ROUTE_PROTOCOL)
    host = replace(HOST, routes=(*HOST.routes, left))
    assert plan_routes(wish("10.0.0.0/8"), host, LINK).unpin == (left,)


def test_pins_of_another_running_client_stay() -> None:
    """If this fails, two clients on one host cut each other off."""
    pin = via("198.51.100.9/32", "192.168.1.1", ROUTE_PROTOCOL)
    their_route = device_route(ip_network("198.51.100.0/24"), OTHER_TUN, ROUTE_PROTOCOL)
    host = replace(
        HOST,
        links=(*LINKS, Link(OTHER_TUN, "rustun1", "tun", True, 1500)),
        routes=(*HOST.routes, pin, their_route),
    )
    plan = plan_routes(wish("10.0.0.0/8"), host, LINK)
    assert (plan.unpin, plan.remove) == ((), ())


def test_routes_of_others_are_never_touched() -> None:
    """If this fails, rustun removes an administrator's routes."""
    rng = random.Random(7)
    for _ in range(300):
        foreign = [
            via(str(ip_network((rng.getrandbits(32) & 0xFFFF0000, 16))), "192.168.1.1", rng.choice([2, 3, 4, 16, 186]))
            for _ in range(8)
        ]
        host = replace(HOST, routes=(*HOST.routes, *foreign))
        wished = wish(*(str(ip_network((rng.getrandbits(32) & 0xFFFF0000, 16))) for _ in range(8)))
        plan = plan_routes(wished, host, LINK)
        assert all(route.protocol == ROUTE_PROTOCOL for route in (*plan.remove, *plan.unpin, *plan.add, *plan.pin))
        theirs = {route.prefix for route in foreign}
        assert not theirs & {route.prefix for route in plan.add}


def test_device_gone_leaves_only_pins() -> None:
    """If this fails, cleaning up after a deleted TUN fails or touches other routes."""
    first = plan_routes(wish("203.0.113.0/24", outside=("203.0.113.7",)), HOST, LINK)
    host = replace(HOST, links=LINKS[:2], routes=(*HOST.routes, *first.pin))
    plan = plan_routes(HostState("rustun0", 0), host, None, first.pinned)
    assert plan.unpin == first.pin
    assert (plan.pin, plan.add, plan.remove) == ((), (), ())


def test_addresses_as_a_difference() -> None:
    """If this fails, a new address leaves the old one, or connections break though nothing changed."""
    host = replace(
        HOST,
        addresses=(
            *HOST.addresses,
            (TUN, ip_interface("10.0.1.2/24")),
            (TUN, ip_interface("fd00::2/64")),
            (TUN, ip_interface("fe80::1/64")),
        ),
    )
    plan = plan_addresses(wish(addresses=("10.0.1.9/24", "fd00::2/64")), host, LINK)
    assert text(plan.add) == ["10.0.1.9/24"]
    assert text(plan.remove) == ["10.0.1.2/24"]


EXITS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def exit_wish(*routes: str) -> HostState:
    return replace(wish(*routes, outside=("203.0.113.7", "192.168.1.9")), exits=EXITS[:1])


def test_an_exit_stands_in_a_table_of_its_own() -> None:
    """If this fails, an exit node takes over what the host itself routes, or nothing goes there."""
    plan = plan_routes(exit_wish("10.0.2.0/24"), HOST, LINK)
    assert {(str(route.prefix), route.table) for route in plan.add} == {("10.0.2.0/24", 254), ("0.0.0.0/0", 114)}
    assert plan.add_rules == (Rule(4, 11_400, 254, 0), Rule(4, 11_401, 114))
    assert text(pin.prefix for pin in plan.pin) == ["192.168.1.9/32", "203.0.113.7/32"]  # also where not needed now
    stands = replace(done(plan, HOST), exits=(plan.routes[-1],), rules=plan.add_rules)
    again = plan_routes(exit_wish("10.0.2.0/24"), replace(stands, routes=stands.routes[:-1]), LINK)
    assert (again.pin, again.add, again.add_rules, again.remove_rules, again.remove) == ((), (), (), (), ())
    gone = plan_routes(wish("10.0.2.0/24"), stands, LINK)
    assert set(gone.remove_rules) == set(plan.add_rules)
    assert EXITS[0] in {route.prefix for route in gone.remove}


def test_an_exit_stays_while_no_server_can_be_reached() -> None:
    """If this fails, traffic for the tunnel goes in clear as soon as a network comes back."""
    host = replace(HOST, routes=HOST.routes[:2])
    plan = plan_routes(exit_wish("203.0.0.0/16"), host, LINK)
    assert EXITS[0] in {route.prefix for route in plan.routes}
    assert "no other path" in dict(plan.refused)[ip_network("203.0.0.0/16")]


def test_one_way_out_of_a_host() -> None:
    """If this fails, two clients with an exit node each fight for the host's traffic."""
    theirs = device_route(EXITS[0], OTHER_TUN, ROUTE_PROTOCOL, 114)
    links = (*LINKS, Link(OTHER_TUN, "rustun1", "tun", True, 1500))
    rules = (Rule(4, 11_400, 254, 0), Rule(4, 11_401, 114))
    plan = plan_routes(exit_wish(), replace(HOST, links=links, exits=(theirs,), rules=rules), LINK)
    assert dict(plan.refused) == {EXITS[0]: "rustun1 is this host's way out already"}
    assert (plan.add, plan.add_rules, plan.remove_rules) == ((), (), ())


def test_what_the_kernel_refused_is_refused() -> None:
    """If this fails, a route that cannot be made counts as one, or the server's path is lost with its pin."""
    wished = wish("203.0.113.0/24", "10.0.2.0/24", outside=("203.0.113.7",))
    plan = plan_routes(wished, HOST, LINK)
    unpinned = plan_routes(wished, done(plan, HOST), LINK, failed={plan.pin[0]: "No route to host"})
    [(prefix, reason)] = unpinned.refused
    assert (str(prefix), "whose path cannot be kept: No route to host" in reason) == ("203.0.113.0/24", True)
    assert text(route.prefix for route in unpinned.remove) == ["203.0.113.0/24"]
    route = next(route for route in plan.add if str(route.prefix) == "10.0.2.0/24")
    assert dict(plan_routes(wished, HOST, LINK, failed={route: "No room"}).refused) == {
        route.prefix: "the kernel says: No room"
    }
    no_rule = plan_routes(exit_wish(), HOST, LINK, failed={Rule(4, 11_400, 254, 0): "not supported"})
    assert dict(no_rule.refused) == {EXITS[0]: "the kernel says: not supported"}
    assert no_rule.add_rules == ()
