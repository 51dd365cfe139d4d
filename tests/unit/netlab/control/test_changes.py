"""What differs between a laboratory and its inventory, and what has to be done with processes."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from netlab.control.changes import Change, Orders, State, differences, orders, planned_links
from netlab.layout import plan
from netlab.links.impairment import Impairment, Link
from netlab.topology import HostSpec, LabSpec
from rustun.ops.lab.records import LabNat
from tests.unit.netlab.fleets import member, two_tenants


def state(spec: LabSpec, **files: bytes) -> State:
    """Return a state whose clients' files say where they are, so that they differ where members do."""
    own = {f"{one.stem}.toml": repr(one).encode() for one in spec.members}
    named = {name.replace("_", "."): data for name, data in files.items()}
    return State(spec, {**own, "routes.json": repr(spec.members).encode(), **named}, planned_links(plan(spec)))


def test_nothing_is_different_from_itself() -> None:
    """A second apply would do something."""
    same = state(two_tenants())
    assert differences(same, same) == []
    assert orders(same, same) == Orders((), (), reload=False)


def test_who_comes_goes_and_changes_is_named_with_how() -> None:
    """People could not see what an apply will do, or it would do something else."""
    spec = two_tenants()
    first, *others = spec.members
    changed = replace(first, ciders=(*first.ciders, ip_network("192.168.3.0/24")))
    newcomer = member("newcomer", first.cluster, "10.0.9.9/24")
    wanted = replace(spec, members=(newcomer, changed, *others[:-1]))
    wanted = replace(wanted, hosts=tuple(host for host in wanted.hosts if host.behind != others[-1].identity))
    before, after = state(spec), state(wanted)
    found = {(one.sign, one.what, one.name): one.text for one in differences(before, after)}
    assert found["+", "member", "newcomer"] == f"{first.cluster}, 10.0.9.9"
    assert found["~", "member", first.identity].endswith("192.168.3.0/24")
    assert ("-", "member", others[-1].identity) in found
    gone = others[-1].identity
    assert orders(before, after) == Orders((first.identity, gone), ("newcomer", first.identity), reload=True)


def test_hosts_routers_and_links_are_compared_too() -> None:
    """A change of [lab] would be overlooked."""
    spec = two_tenants()
    first = spec.members[0].identity
    router = LabNat("router", "strict", (first,))
    host = HostSpec("camera", spec.hosts[0].behind, (ip_address("192.168.10.99"),))
    link = Link((spec.members[1].identity, "server"), Impairment(delay_s=0.02), Impairment())
    wanted = replace(spec, routers=(router,), hosts=(*spec.hosts, host), links=(link,))
    found = differences(state(spec), state(wanted))
    assert Change("+", "host", "camera", f"behind {host.behind}") in found
    assert Change("+", "nat", "router", f"before {first}") in found
    assert Change("~", "link", f"{link.ends[0]}->server", "plain -> delay=20ms") in found
    assert [one.sign for one in differences(state(wanted), state(spec))].count("-") == 2


def test_a_client_that_has_ended_is_started_again() -> None:
    """After a crash the laboratory could only be taken down."""
    before = replace(state(two_tenants()), ended=(two_tenants().members[0].identity,))
    after = state(two_tenants())
    [found] = differences(before, after)
    assert (found.what, found.text) == ("member", "its client has ended")
    assert orders(before, after) == Orders(before.ended, before.ended, reload=False)


def test_what_only_the_relay_reads_makes_it_read_again() -> None:
    """A key that was rotated, or a limit, would wait for the next lab-up."""
    before, after = (state(two_tenants(), server_toml=data) for data in (b"a", b"b"))
    assert differences(before, after) == [Change("~", "relay", "server", "server.toml")]
    assert orders(before, after) == Orders((), (), reload=True)
    moved = replace(after, relay=("vpn.example:8090",))
    assert differences(after, moved) == [Change("~", "relay", "server", "at none -> vpn.example:8090")]
