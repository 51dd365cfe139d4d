"""The cables of real machines."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from netlab.errors import BadInput
from netlab.machines.network import CONTROL, OUTSIDE, LanHost, MachineSpec, plan

LAN = (ip_interface("192.168.10.1/24"), ip_interface("fd00:10::1/64"))
PRINTER = LanHost("printer", (ip_interface("192.168.10.7/24"),))
SERVER = MachineSpec("server", names=("vpn.example", "203.0.113.7"))
GATEWAY = MachineSpec("gateway", names=("192.168.10.1",), lan=LAN, lan_hosts=(PRINTER,))


def test_the_same_machines_give_the_same_plan() -> None:
    """A failure that is seen once could not be repeated."""
    assert plan([SERVER, GATEWAY]) == plan([SERVER, GATEWAY])


def test_interface_indexes_and_hardware_addresses_are_unique() -> None:
    """The kernel refuses the batch, or two ends answer for each other."""
    topology = plan([SERVER, GATEWAY, MachineSpec("laptop")])
    ends = [end for cable in topology.cables for end in cable]
    ends += [bridge for node in topology.nodes for bridge in node.bridges]
    assert len({end.mac for end in ends}) == len(ends)
    assert len({(end.node, end.index) for end in ends}) == len(ends)
    assert len({(end.node, end.name) for end in ends}) == len(ends)


def test_tunnels_and_ssh_go_different_ways() -> None:
    """A deployment would cut its own connection, or a tunnel would be measured over the control network."""
    topology = plan([SERVER, GATEWAY])
    eth0, eth1 = topology.ports("gateway")[:2]
    assert [str(address) for address in eth0.addresses] == ["198.18.0.2/24", "2001:2::2/64"]
    assert [str(address) for address in eth1.addresses] == ["198.19.0.2/24"]
    assert {route.index for route in topology.node("gateway").routes} == {eth0.index}
    forwarding = [node.name for node in topology.nodes if node.forwards]
    assert forwarding == [OUTSIDE]
    assert topology.node(CONTROL).routes == ()


def test_an_address_among_the_names_is_on_the_outside() -> None:
    """Clients could not reach a server whose inventory gives a number."""
    topology = plan([SERVER, GATEWAY])
    assert ip_interface("203.0.113.7/32") in topology.ports("server")[0].addresses
    assert [route.prefix for route in topology.node(OUTSIDE).routes] == [ip_network("203.0.113.7/32")]
    assert len(topology.ports("gateway")[0].addresses) == 2, "the address that its LAN has is no other one"
    assert ("vpn.example", "198.18.0.1") in topology.names
    assert "203.0.113.7" not in dict(topology.names)


def test_lan_hosts_have_the_machine_as_their_router() -> None:
    """What answers from a LAN would not find the way back; a router of a version that the host lacks is refused."""
    [route] = plan([GATEWAY]).node("printer").routes
    assert (route.prefix, route.via) == (ip_network("0.0.0.0/0"), ip_address("192.168.10.1"))


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ([SERVER, SERVER], "two machines or LAN hosts are called 203.0.113.7, server, vpn.example"),
        ([SERVER, replace(GATEWAY, name="printer")], "called printer"),
        ([MachineSpec(CONTROL)], "called control"),
        ([MachineSpec("a.example")], '"a.example" is no host name'),
        ([MachineSpec("")], '"" is no host name'),
        ([SERVER, replace(GATEWAY, names=("198.18.0.1",))], "198.18.0.1 is another machine's"),
        ([], "0 machines"),
    ],
)
def test_what_cannot_be_wired_is_refused(specs: list[MachineSpec], words: str) -> None:
    """A machine would answer for another, or fail to boot with words that only systemd understands."""
    with pytest.raises(BadInput, match=words):
        plan(specs)
