"""What is expected of every packet; everything else is judged against it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from netlab.isolation.expectation import BAD_SOURCE, NO_ROUTE, TO_SENDER, Expectation
from netlab.isolation.plan import cells
from netlab.topology import HostSpec, LabSpec
from tests.unit.netlab.fleets import member, twins, two_tenants, with_a_lone_member
from tests.unit.netlab.isolation.runs import probe_of


def decided(spec: LabSpec, sender: str, source: str, destination: str) -> tuple[str, set[str]]:
    """Return whom a packet is for, and the grounds to refuse it."""
    decision = Expectation(spec).decide(sender, ip_address(source), ip_address(destination))
    return decision.owner, set(decision.grounds)


def test_expectations_follow_prefixes_and_clusters() -> None:
    """A relay that routes wrongly would agree with an expectation that is wrong in the same way."""
    spec = two_tenants()
    assert decided(spec, "a1", "10.0.1.1", "10.0.1.2") == ("a2", set())
    assert decided(spec, "a1", "192.168.1.77", "10.0.1.2") == ("a2", set())
    assert decided(spec, "a1", "10.0.1.2", "10.0.1.2") == ("", {BAD_SOURCE})
    assert decided(spec, "a1", "10.0.1.1", "192.168.1.9") == ("", {TO_SENDER})
    assert decided(spec, "a1", "10.0.1.1", "10.0.2.2") == ("", {NO_ROUTE})
    assert decided(spec, "a1", "10.0.2.2", "10.0.2.2") == ("", {BAD_SOURCE, NO_ROUTE})
    assert decided(spec, "b2", "10.0.2.2", "192.168.10.7") == ("b1", set())
    assert decided(spec, "b2", "10.0.2.2", "10.0.2.255") == ("", {NO_ROUTE})
    assert decided(spec, "b2", "169.254.1.1", "10.0.2.1") == ("", {BAD_SOURCE})
    assert decided(spec, "b2", "10.0.2.2", "ff02::1") == ("", {NO_ROUTE})


def test_a_default_route_leads_somewhere_while_one_offers_it() -> None:
    """Two exits of a cluster would both be expected to get a packet, or none to be allowed to answer."""
    spec = two_tenants()
    exits = tuple(
        replace(one, ciders=(*one.ciders, ip_network("0.0.0.0/0"))) if one.identity in ("a1", "b1", "b2") else one
        for one in spec.members
    )
    spec = replace(spec, members=exits)
    assert decided(spec, "a2", "10.0.1.2", "203.0.113.5") == ("a1", set())
    assert decided(spec, "a1", "203.0.113.5", "10.0.1.2") == ("a2", set())
    assert decided(spec, "b2", "203.0.113.5", "203.0.113.6") == ("", {NO_ROUTE})
    assert decided(spec, "a2", "10.0.1.2", "224.0.0.1") == ("", {NO_ROUTE})


def test_equal_addresses_lead_into_the_own_cluster() -> None:
    """With equal addresses in two clusters a leak would look like a hit."""
    probe = probe_of(twins(), "a1", "b2")
    assert (probe.owner, probe.receiver) == ("a2", "a2")


def test_every_pair_is_tried_in_every_way() -> None:
    """A way that nobody tries is a way out."""
    planned = cells(Expectation(two_tenants()))
    nodes = ("a1", "a2", "b1", "b2", "printer")
    own_lan = {("b1", "printer"), ("printer", "b1")}
    pairs = {(one, other) for one in nodes for other in nodes if one != other} - own_lan
    assert {cell for cell in planned if cell[1] in nodes} == pairs
    assert {cell for cell in planned if cell[1] not in nodes} == {
        (node, group) for node in nodes for group in ("(broadcast)", "(multicast)")
    }
    plain = {"icmp", "tcp-open", "tcp-closed", "udp", "fragments", "forged-member", "forged-cluster", "forged-lan"}
    six = {f"{name}6" for name in plain - {"forged-cluster"}}  # the other cluster has no IPv6 address to forge
    assert {probe.what for probe in planned["a1", "a2"]} == plain | six
    assert {probe.what for probe in planned["a1", "b2"]} == plain
    assert {probe.what for probe in planned["a1", "(multicast)"]} == {
        f"multicast-{group}" for group in ("224.0.0.1", "239.1.2.3", "ff02::1", "ff05::2")
    }
    assert {probe.what for probe in planned["a1", "(broadcast)"]} == {
        f"broadcast-{group}" for group in ("255.255.255.255", "10.0.1.255")
    }


def test_forged_sources_are_somebody_elses() -> None:
    """A source that the sender may use would be refused by nobody, and nothing would be shown."""
    expectation = Expectation(two_tenants())
    for probes in cells(expectation).values():
        for probe in probes:
            member = expectation.site_of[probe.sender].member
            grounds = expectation.decide(member, probe.source, probe.destination).grounds
            assert (BAD_SOURCE in grounds) == probe.what.startswith("forged"), probe


def test_a_forged_lan_source_lies_beside_the_own_lan() -> None:
    """A prefix that is read one bit too wide would go unseen."""
    assert str(probe_of(two_tenants(), "a1", "a2", "forged-lan").source) == "192.168.0.7"
    assert str(probe_of(two_tenants(), "a2", "a1", "forged-lan").source) == "192.168.222.222"


def test_a_forged_source_is_no_address_of_the_own_gateway() -> None:
    """The gateway's kernel drops what comes in with its own address: nothing would be shown of the relay."""
    planned = cells(Expectation(with_a_lone_member()))
    forged = [one for probes in planned.values() for one in probes if one.sender == "shed" and "cluster" in one.what]
    assert {str(probe.source) for probe in forged} == {"10.0.0.1"}


def behind_gateways() -> LabSpec:
    """Return a cluster with a gateway that maps its LAN, one that masquerades, and an exit."""
    whole, real, seen = (ip_network(text) for text in ("0.0.0.0/0", "192.168.1.0/24", "192.168.101.0/24"))
    members = (
        replace(member("mapped", "a", "10.0.1.1/24", "192.168.101.0/24"), mapping=((seen, real),)),
        replace(member("hidden", "a", "10.0.1.2/24", "192.168.2.0/24"), masquerade=True),
        replace(member("exit", "a", "10.0.1.3/24"), ciders=(whole,), masquerade=True),
        member("plain", "a", "10.0.1.4/24"),
        member("other", "b", "10.0.2.1/24", "192.168.1.0/24"),
    )
    hosts = (
        HostSpec("nas", "mapped", (ip_address("192.168.1.9"),)),
        HostSpec("tv", "hidden", (ip_address("192.168.2.9"),)),
    )
    return LabSpec("gateways", ("198.18.0.1",), members, hosts)


def test_a_mapped_host_is_reached_by_the_address_that_the_cluster_sees() -> None:
    """A fleet with equal LANs would never come out as expected, or its hosts would not be tried at all."""
    spec = behind_gateways()
    to_nas, from_nas = probe_of(spec, "plain", "nas"), probe_of(spec, "nas", "plain")
    assert (str(to_nas.destination), to_nas.receiver, to_nas.translated) == ("192.168.101.9", "nas", True)
    assert (str(from_nas.source), from_nas.receiver, from_nas.answered) == ("192.168.1.9", "plain", True)
    assert from_nas.translated
    forged = probe_of(spec, "mapped", "plain", "forged-lan")
    assert (str(forged.source), forged.owner) == ("192.168.1.7", ""), "the real range is nobody's in the cluster"


def test_what_a_masquerading_gateway_hides_may_come_with_another_source() -> None:
    """Every member behind such a gateway would be told to arrive altered."""
    spec = behind_gateways()
    assert probe_of(spec, "plain", "tv").translated
    assert not probe_of(spec, "tv", "plain").translated
    assert not probe_of(spec, "plain", "hidden").translated


def test_who_may_send_from_anywhere_forges_nothing() -> None:
    """An exit node that passes on an answer from the internet would count as a forger."""
    forged = {probe.what for probe in cells(Expectation(behind_gateways()))["exit", "plain"]} & {"forged-cluster"}
    assert not forged
    assert str(probe_of(behind_gateways(), "exit", "plain", "forged-member").source) in ("10.0.1.1", "10.0.1.2")
