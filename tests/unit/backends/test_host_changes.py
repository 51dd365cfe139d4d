"""All steps of a wish: their order, what is refused on the way, and what the journal says."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from rustun.backends.base import Endpoint, Forwarding, HostState
from rustun.backends.forwarding import Change
from rustun.backends.host_changes import Changes, Facts, plan_changes, torn
from rustun.backends.host_journal import NOTHING, Kept
from rustun.backends.host_snapshot import Link, Snapshot
from rustun.backends.host_steps import (
    AddAddress,
    AddRoute,
    AddRule,
    DeleteTable,
    LoadTable,
    RemoveRoute,
    SetSysctl,
    SetUp,
    Step,
    WriteHosts,
)
from tests.unit.backends.test_host_plan import HOST, TUN

CARD = "net/ipv4/conf/eth0/forwarding"
SETTINGS = {"net/ipv4/conf/all/forwarding": "0", CARD: "0", "net/ipv4/conf/rustun0/forwarding": "0"}
SERVER = Endpoint("203.0.113.7", 8080)
WISH = HostState(
    "rustun0",
    1500,
    (ip_interface("10.0.1.2/24"),),
    (ip_network("203.0.113.0/24"),),
    (SERVER,),
    exits=(ip_network("0.0.0.0/0"),),
    forwarding=Forwarding(lans=(ip_network("192.168.1.0/24"),)),
    names=(("m1", (ip_address("10.0.1.7"),)),),
)
DOWN = replace(HOST, links=(*HOST.links[:2], Link(TUN, "rustun0", "tun", False, 1500)))


def facts(snapshot: Snapshot = DOWN, **changes: object) -> Facts:
    usual = Facts(
        snapshot,
        settings=SETTINGS,
        table_name="inet rustun-rustun0",
        hosts_path="/etc/hosts",
        hosts="127.0.0.1 localhost\n",
        kernel=(6, 1),
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def plan(
    wished: HostState = WISH,
    found: Facts | None = None,
    kept: Kept = NOTHING,
    refused: Mapping[Step, str] | None = None,
) -> Changes:
    return plan_changes(wished, found or facts(), kept, refused or {})


def first(changes: Changes, kind: type[Step]) -> Step:
    return next(step for step in changes.steps if isinstance(step, kind))


def loaded(changes: Changes) -> str:
    step = first(changes, LoadTable)
    assert isinstance(step, LoadTable)
    return step.script


def test_order_of_what_comes() -> None:
    """If this fails, a host forwards what no firewall judged, or sends its server's packets into the tunnel."""
    kinds = [type(step) for step in plan().steps]
    order = list(dict.fromkeys(kinds))
    assert order == [LoadTable, SetUp, AddAddress, AddRoute, AddRule, SetSysctl, WriteHosts]
    routes = [step.route.prefix for step in plan().steps if isinstance(step, AddRoute)]
    assert routes[0] == ip_network("203.0.113.7/32")
    assert routes[-1] == ip_network("0.0.0.0/0")


def test_the_journal_knows_everything_before_the_first_step() -> None:
    """If this fails, a client that is killed between two steps leaves something that nobody takes off."""
    changes = plan()
    assert changes.during.pins == {ip_network("203.0.113.7/32")}
    assert Change(CARD, "0", "1") in changes.during.settings
    assert changes.during.hosts
    assert changes.during.hosts_write is not None
    assert changes.during.table
    assert changes.after == replace(changes.during, hosts_write=None)


def test_an_empty_wish_leaves_nothing() -> None:
    """If this fails, a stopped client leaves settings, a table or names."""
    before = plan()
    present = {**SETTINGS, CARD: "1"}
    hosts = next(step.after for step in before.steps if isinstance(step, WriteHosts))
    standing = facts(HOST, settings=present, table="something", hosts=hosts)
    changes = plan(HostState("rustun0", 0), standing, before.after)
    assert changes.after == NOTHING
    assert changes.during.settings == before.after.settings
    kinds = [type(step) for step in changes.steps]
    assert kinds.index(SetSysctl) < kinds.index(DeleteTable)  # nothing is forwarded without a judge
    assert [step.after for step in changes.steps if isinstance(step, WriteHosts)] == ["127.0.0.1 localhost\n"]
    assert changes.report.warnings == ()


def test_a_refused_table_takes_forwarding_with_it_and_nothing_else() -> None:
    """If this fails, a host without nft forwards unjudged, or a tunnel without a LAN does not come up."""
    full = loaded(plan())
    without = plan(refused={LoadTable(full): "nft is not installed; install the package nftables"})
    guard = loaded(without)
    assert "guard" in guard
    assert "from_tunnel" not in guard
    assert not any(isinstance(step, SetSysctl) for step in without.steps)
    assert any("nothing is forwarded" in line and "nftables" in line for line in without.report.warnings)
    none = plan(refused={LoadTable(full): "nft is not installed", LoadTable(guard): "nft is not installed"})
    assert not any(isinstance(step, LoadTable | SetSysctl) for step in none.steps)
    assert set(none.report.routed) >= set(WISH.routes)
    assert not none.after.table


def test_what_is_beside_the_tunnel_is_reported() -> None:
    """If this fails, a server speaks as this host or its LAN, or members use a way out that nobody guards."""
    report = plan().report
    assert report.local == (ip_address("192.168.1.5"),)
    assert {str(prefix) for prefix in report.elsewhere} == {"192.168.1.0/24", "192.168.1.1/32", "203.0.113.7/32"}
    offer = replace(WISH, exits=(), forwarding=Forwarding(offer_exit=True))
    full = plan(offer)
    assert (report.offers_exit, full.report.offers_exit) == (False, True)
    assert not plan(offer, refused={LoadTable(loaded(full)): "nft is not installed"}).report.offers_exit


@pytest.mark.parametrize("stands", ["as loaded", "unknown"])
def test_a_kill_switch_that_stands_outlives_a_newer_one_that_is_refused(stands: str) -> None:
    """If this fails, an nft that fails once opens a host that was closed, and packets leave in clear."""
    wish = replace(WISH, kill_switch=True, outside=(SERVER, Endpoint("203.0.113.8", 8080)))
    script = loaded(plan(replace(wish, outside=(SERVER,)))) if stands == "as loaded" else None
    kept = Kept(table=True, kill_switch=True)
    found = facts(table=script)
    refused = dict.fromkeys((first(plan(wish, found, kept), LoadTable),), "no memory")
    refused[first(plan(wish, found, kept, refused), LoadTable)] = "no memory"
    changes = plan(wish, found, kept, refused)
    assert not any(isinstance(step, LoadTable | DeleteTable | SetSysctl) for step in changes.steps)
    assert (changes.after.table, changes.after.kill_switch) == (True, True)
    assert any("the one from before" in line and "no memory" in line for line in changes.report.warnings)
    opened = replace(wish, kill_switch=False)
    assert not plan(opened, found, kept, refused).after.kill_switch
    without = facts(table=loaded(plan(replace(WISH, forwarding=Forwarding()))))
    assert not plan(wish, without, kept, refused).after.kill_switch


def test_a_refused_kill_switch_is_said() -> None:
    """If this fails, somebody believes in a kill switch that is not there."""
    wish = replace(WISH, kill_switch=True, forwarding=Forwarding())
    changes = plan(wish, refused={LoadTable(loaded(plan(wish))): "no right"})
    assert any("kill switch is not in force" in line for line in changes.report.warnings)
    assert not changes.after.kill_switch


def test_refused_settings_and_names_are_warnings() -> None:
    """If this fails, a read-only /proc/sys or /etc/hosts ends the tunnel, or is kept quiet."""
    changes = plan()
    steps = [step for step in changes.steps if isinstance(step, SetSysctl | WriteHosts)]
    second = plan(refused=dict.fromkeys(steps, "read-only"))
    assert second.report.warnings.count("read-only") == len(steps)
    assert not any(isinstance(step, SetSysctl | WriteHosts) for step in second.steps)
    unread = plan(found=facts(hosts=None))
    assert any("no names are written" in line for line in unread.report.warnings)


@pytest.mark.parametrize(("value", "left"), [("1", False), ("0", False), ("2", True)])
def test_only_what_is_as_we_set_it_is_put_back(value: str, left: bool) -> None:
    """If this fails, the end of a client undoes what an administrator set meanwhile."""
    kept = Kept(settings=(Change(CARD, "0", "1"),))
    changes = plan(HostState("rustun0", 0), facts(settings={**SETTINGS, CARD: value}), kept)
    put_back = [step.change for step in changes.steps if isinstance(step, SetSysctl)]
    assert put_back == ([Change(CARD, "1", "0")] if value == "1" else [])
    assert any(CARD in line for line in changes.report.warnings) == left
    assert changes.after == NOTHING


def test_what_another_client_needs_stays_and_is_put_back_by_the_last() -> None:
    """If this fails, the first of two gateways that stops silences the other, or the last leaves the host open."""
    mine, present = Kept(settings=(Change(CARD, "0", "1"),)), {**SETTINGS, CARD: "1"}
    joined = plan(found=facts(settings=present, others={"site1": mine}))
    assert Change(CARD, "0", "1") in joined.after.settings
    assert CARD not in [step.change.name for step in joined.steps if isinstance(step, SetSysctl)]
    leaving = plan(HostState("rustun0", 0), facts(settings=present, others={"site1": joined.after}), mine)
    assert not any(isinstance(step, SetSysctl) for step in leaving.steps)


def test_pins_of_other_journals_stay() -> None:
    """If this fails, a client that stops cuts another one off their server."""
    pin = next(step.route for step in plan().steps if isinstance(step, AddRoute))
    snapshot = replace(HOST, routes=(*HOST.routes, pin))
    kept, theirs = Kept(pins=frozenset({pin.prefix})), {"site1": Kept(pins=frozenset({pin.prefix}))}
    alone = plan(HostState("rustun0", 0), facts(snapshot), kept)
    assert RemoveRoute(pin) in alone.steps
    beside = plan(HostState("rustun0", 0), facts(snapshot, others=theirs), kept)
    assert RemoveRoute(pin) not in beside.steps


def test_a_hosts_file_that_was_cut_off_is_taken_as_before() -> None:
    """If this fails, a power cut while names are written loses an administrator's lines."""
    rng = random.Random(5)
    for _ in range(300):
        before = "".join(rng.choices("ab\nü", k=rng.randrange(12)))
        after = "".join(rng.choices("ab\nü", k=rng.randrange(12)))
        old, new = before.encode(), after.encode()
        cut = rng.randrange(len(new) + 1)
        found = (new[:cut] + old[cut:]).decode("utf-8", "surrogateescape")
        assert torn(found, before, after)
    lines, ours = "127.0.0.1 localhost\n10.1.1.1 db\n", "127.0.0.1 localhost\n10.1.1.1 db\n# begin rustun rustun0\n"
    assert not torn("127.0.0.1 localhost\n10.1.1.2 db\n", lines, ours)
    kept = Kept(hosts=True, hosts_write=(lines, "x" * 30))
    changes = plan(HostState("rustun0", 0), facts(hosts="x" * 10 + lines[10:]), kept)
    assert [step.after for step in changes.steps if isinstance(step, WriteHosts)] == [lines]


def test_a_family_beside_the_exit_node_is_said() -> None:
    """If this fails, IPv6 leaves in clear from a host whose owner chose an exit node, and nobody says so."""
    default6 = replace(HOST.routes[2], prefix=ip_network("::/0"))
    host = facts(replace(HOST, routes=(*HOST.routes, default6)))
    wish = replace(WISH, forwarding=Forwarding())
    [line] = plan(wish, host).report.warnings
    assert line.startswith("IPv6 leaves this host beside the exit node")
    assert plan(replace(wish, kill_switch=True), host).report.warnings == ()
    assert plan(wish).report.warnings == ()  # no way out by IPv6
    assert plan(replace(wish, exits=()), host).report.warnings == ()


def test_a_setting_that_cannot_be_taken_back_stays_in_the_journal() -> None:
    """If this fails, a host goes on forwarding after a clean-up that met a read-only /proc, and nobody knows."""
    kept = Kept(settings=(Change("net/ipv4/conf/all/forwarding", "0", "0"), Change(CARD, "0", "1")))
    found = facts(settings={**SETTINGS, CARD: "1"})
    step = SetSysctl(Change(CARD, "1", "0"))
    empty = HostState("rustun0", 0)
    assert step in plan(empty, found, kept).steps
    changes = plan(empty, found, kept, {step: "cannot set it to 0: Read-only file system"})
    assert step not in changes.steps
    assert changes.after.settings == kept.settings
    assert changes.report.warnings == ("cannot set it to 0: Read-only file system",)
    assert plan(empty, facts(), kept).after.settings == ()
