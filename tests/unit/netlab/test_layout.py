"""The plan of a laboratory."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from netlab.errors import BadInput
from netlab.layout import plan
from netlab.topology import SERVER, HostSpec
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
