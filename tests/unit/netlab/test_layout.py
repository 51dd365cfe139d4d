"""The plan of a laboratory."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netlab.errors import BadInput
from netlab.layout import plan
from netlab.links.impairment import Impairment, Link
from netlab.topology import SERVER, HostSpec, LabSpec, Topology
from rustun.ops.lab.records import LabNat
from tests.unit.netlab.fleets import member, twins, two_tenants


def test_the_same_fleet_gives_the_same_plan() -> None:
    """A failure that is seen once could not be repeated."""
    assert plan(two_tenants()) == plan(two_tenants())


def test_nodes_forward_only_where_there_is_no_rustun() -> None:
    """Packets could pass beside the tunnel, isolation and gateways would be measured on the wrong path."""
    assert not any(node.forwards for node in plan(two_tenants()).nodes)
    assert [node.name for node in plan(two_tenants(), plain=True).nodes if node.forwards] == [SERVER, "b1"]


def test_interface_indexes_and_hardware_addresses_are_unique() -> None:
    """The kernel refuses the batch, or two ends answer for each other."""
    topology = plan(two_tenants())
    ends = [end for cable in topology.cables for end in cable]
    bridges = [bridge for node in topology.nodes for bridge in node.bridges]
    assert len({(port.node, port.index) for port in (*ends, *bridges)}) == len(ends) + len(bridges)
    assert len({port.mac for port in (*ends, *bridges)}) == len(ends) + len(bridges)


def test_a_lan_host_leaves_by_its_gateway() -> None:
    """Hosts without rustun could neither be reached nor answer."""
    topology = plan(two_tenants())
    (bridge,) = topology.node("b1").bridges
    assert bridge.addresses[0].network == ip_network("192.168.10.0/24")
    assert [route.via for route in topology.node("printer").routes] == [bridge.addresses[0].ip]


def test_a_gateway_does_not_take_the_address_of_a_host() -> None:
    """Gateway and host would fight for one address."""
    spec = two_tenants()
    first = replace(spec, hosts=(HostSpec("first", "b1", (ip_address("192.168.10.1"),)),))
    assert str(plan(first).node("b1").bridges[0].addresses[0]) == "192.168.10.2/24"


def test_names_of_servers_lead_to_the_laboratory() -> None:
    """Clients with the real configuration would look for the real server."""
    assert plan(twins()).names == (("relay.example", "198.18.0.1"),)
    assert plan(two_tenants()).names == ()


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ((HostSpec("a1", "a1", (ip_address("192.168.1.9"),)),), 'two nodes are called "a1"'),
        ((HostSpec("x", "nobody", (ip_address("192.168.1.9"),)),), 'host "x" is behind "nobody", which is no member'),
    ],
)
def test_what_cannot_be_built_is_said(hosts: tuple[HostSpec, ...], found: str) -> None:
    """A wrong inventory would end in a riddle from the kernel."""
    with pytest.raises(BadInput, match=found):
        plan(replace(two_tenants(), hosts=hosts))


def test_a_lan_too_small_is_said() -> None:
    """A gateway without an address would leave the host silent."""
    spec = replace(two_tenants(), members=(member("b1", "b", "10.0.2.1/24", "192.168.10.7/32"),))
    with pytest.raises(BadInput, match="no room for a gateway"):
        plan(spec)


def test_a_fleet_without_members_is_said() -> None:
    """Nothing run is not passed."""
    with pytest.raises(BadInput, match="there are no members"):
        plan(replace(two_tenants(), members=(), hosts=()))


def behind_routers() -> LabSpec:
    """Return the two tenants: a2 behind a router, b2 behind two, and a slow link."""
    routers = (LabNat("office", "moderate", ("a2", "home")), LabNat("home", "strict", ("b2",)))
    slow = Link(("a2", "office"), Impairment(delay_s=0.02), Impairment(delay_s=0.01))
    return replace(two_tenants(), routers=routers, links=(slow,))


def routes(topology: Topology, node: str) -> set[str]:
    """Return a node's routes as text, of IPv4."""
    found = [route for route in topology.node(node).routes if route.prefix.version == 4]
    return {f"{route.prefix} {route.via or 'direct'}" for route in found}


def test_who_is_behind_a_router_has_no_route_from_the_outside() -> None:
    """A client behind NAT would be reached without it."""
    topology = plan(behind_routers())
    assert [(near.node, far.node) for near, far in topology.cables] == [
        (SERVER, "a1"), ("office", "a2"), (SERVER, "b1"), ("b1", "printer"), ("home", "b2"), (SERVER, "office"),
        ("office", "home"),
    ]  # fmt: skip
    assert routes(topology, SERVER) == {"198.18.0.2/32 direct", "198.18.0.4/32 direct", "198.18.0.6/32 direct"}
    assert routes(topology, "office") == {
        "198.18.0.1/32 direct", "0.0.0.0/0 198.18.0.1", "198.19.0.3/32 direct", "198.19.0.7/32 direct",
    }  # fmt: skip
    assert routes(topology, "b2") == {"198.19.0.7/32 direct", "0.0.0.0/0 198.19.0.7"}
    assert [node.name for node in topology.nodes if node.forwards] == ["office", "home"]


def test_without_rustun_routers_route_to_everybody_behind_them() -> None:
    """Plain routing, the measure for speed, would end at the first router."""
    topology = plan(behind_routers(), plain=True)
    assert {"10.0.2.2/32 198.18.0.6", "198.19.0.5/32 198.18.0.6"} <= routes(topology, SERVER)
    assert {"10.0.2.2/32 198.19.0.7", "198.19.0.5/32 198.19.0.7"} <= routes(topology, "office")
    assert {"10.0.2.2/32 198.19.0.5", "198.19.0.5/32 direct"} <= routes(topology, "home")
    assert not any(node.nat for node in topology.nodes)


def test_a_router_knows_the_way_to_another_before_it_routes_by_it() -> None:
    """The kernel refuses a route by way of a router that it cannot reach yet."""
    for node in plan(behind_routers(), plain=True).nodes:
        direct = {address for address in node.routes if address.via is None}
        vias = [route.via for route in node.routes]
        assert vias == sorted(vias, key=lambda via: via is not None)
        assert {str(via) for via in vias if via} <= {str(route.prefix.network_address) for route in direct} | {
            str(bridge.addresses[0].ip) for other in plan(behind_routers()).nodes for bridge in other.bridges
        }


def test_each_cable_has_a_link_turned_as_the_cable_is() -> None:
    """What is written for one direction would hold for the other."""
    links = plan(behind_routers()).links
    assert list(links)[:3] == ["server-a1", "office-a2", "server-b1"]
    assert links["office-a2"] == Link(("office", "a2"), Impairment(delay_s=0.01), Impairment(delay_s=0.02))
    assert links["server-a1"] == Link((SERVER, "a1"))


def test_a_part_has_what_leads_to_its_members_and_nothing_else() -> None:
    """A sample of a fleet would have routers before nobody, or lose the one that its members are behind."""
    part = behind_routers().part(["b2"])
    assert [member.identity for member in part.members] == ["b2"]
    assert not part.hosts and not part.links
    assert [(router.name, router.before) for router in part.routers] == [("office", ("home",)), ("home", ("b2",))]
    assert plan(part)
    assert behind_routers().part(["a1", "b1"]).routers == ()


@pytest.mark.parametrize(
    ("routers", "found"),
    [
        ((LabNat("a1", "open", ("a2",)),), 'two nodes are called "a1"'),
        ((LabNat("r", "open", ()),), 'NAT router "r" is before nobody'),
        ((LabNat("r", "open", ("printer",)),), '"printer", which is neither member nor router'),
        ((LabNat("r", "open", ("a1",)), LabNat("s", "open", ("a1",))), '"a1" is behind two NAT routers'),
        ((LabNat("r", "open", ("s",)), LabNat("s", "open", ("r",))), 'NAT router "r" is behind itself'),
    ],
)
def test_routers_that_lead_nowhere_are_said(routers: tuple[LabNat, ...], found: str) -> None:
    """A member without a way out would be a riddle, two routers behind each other a plan without end."""
    with pytest.raises(BadInput, match=found):
        plan(replace(two_tenants(), routers=routers))


def test_who_stays_keeps_its_place_whoever_comes_and_goes() -> None:
    """A change of a laboratory that is up would give everybody new addresses, and so end all sessions."""
    spec = two_tenants()
    before = plan(spec)
    assert plan(spec, kept=before) == before
    first, second, *others = spec.members
    newcomers = (member("new1", "a", "10.0.1.7/24"), member("new2", "a", "10.0.1.8/24", "192.168.5.0/24"))
    hosts = (HostSpec("first", "b1", (ip_address("192.168.10.3"),)), *spec.hosts)
    changed = replace(spec, members=(*newcomers, second, *others), hosts=hosts)
    after = plan(changed, kept=before)
    stay = {SERVER, "printer", *(one.identity for one in (second, *others))}
    for name in stay - {SERVER, "b1"}:
        assert after.node(name) == before.node(name)
        assert after.ports(name) == before.ports(name)
    assert after.node("b1").bridges == before.node("b1").bridges
    assert set(before.ports("b1")) < set(after.ports("b1"))
    ends = [end for cable in after.cables for end in cable]
    assert len({(port.node, port.index) for port in ends}) == len({port.mac for port in ends}) == len(ends)
    assert {port.name for port in after.ports(SERVER)} == {"m1", "m2", "m3", "m4", "m5"}


def test_a_lan_that_comes_beside_another_takes_nothing_from_it() -> None:
    """Hosts of the LAN that was there would be cut off while the laboratory follows."""
    spec = two_tenants()
    before = plan(spec)
    other = HostSpec("aside", "b1", (ip_address("192.168.99.7"),))
    after = plan(replace(spec, hosts=(other, *spec.hosts)), kept=before)
    assert set(before.cables) < set(after.cables)
    assert {bridge.name for bridge in after.node("b1").bridges} == {"lan0", "lan1"}
    back = plan(replace(spec, hosts=(other,)), kept=after)
    assert [bridge.name for bridge in back.node("b1").bridges] == ["lan1"]
