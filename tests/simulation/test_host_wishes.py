"""What a client wants of its host beside addresses and routes, from its start to its end."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

from rustun.backends.base import Forwarding, HostReport, HostState
from rustun.backends.host_snapshot import device_route
from rustun.backends.memory.host import ETHERNET, PLAIN_HOST
from rustun.client.repair import TRY_AGAIN_SECONDS
from rustun.config import HostConsent
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import SERVER, Host, World, entry

ANY4 = ip_network("0.0.0.0/0")
EXIT = [entry("gw", "10.0.1.1", ciders=["0.0.0.0/0"]), entry("m1", "10.0.1.2")]
PATIENCE_S = 5.0
NO_EXIT_YET = 'kill_switch is off: until a server has told of exit_node "{}" all traffic goes in clear'


def joining(world: World, identity: str, consent: HostConsent) -> Host:
    """Start a client with what its host consents to."""
    return world.host_of(replace(world.client_config(identity), host=consent))


def state(host: Host) -> HostState:
    """Return what is wished of the host."""
    assert host.host_network.state is not None
    return host.host_network.state


def test_a_kill_switch_that_is_switched_off_before_a_session_goes(make_world: MakeWorld) -> None:
    """If this fails, who gives a kill switch up while the server is unreachable stays locked in till it is back."""
    world = make_world(EXIT, tier=Tier.KEY)
    world.stop_server()
    host = joining(world, "m1", HostConsent(exit_node="gw", kill_switch=True))
    assert state(host).kill_switch
    config = host.client.config
    host.client.settings.read = lambda: replace(config, host=HostConsent(exit_node="gw"))
    host.client.reload()
    world.run(1.0)
    assert not state(host).kill_switch


def test_what_stays_on_a_host_at_the_end_is_logged(make_world: MakeWorld) -> None:
    """If this fails, a setting that somebody else took over, or a table that could not go, is left in silence."""
    world = make_world(EXIT, tier=Tier.KEY)
    (host,) = world.online("m1")
    host.host_network.left = ("net/ipv4/conf/eth0/forwarding is left at 1",)
    host.client.stop("asked to stop", lambda: None)
    assert host.log.texts("host-left") == ["net/ipv4/conf/eth0/forwarding is left at 1"]


def test_a_kill_switch_stands_from_the_start_to_the_end(make_world: MakeWorld) -> None:
    """If this fails, packets leave in clear before the first session, or while a lost device is made anew."""
    world = make_world(EXIT, tier=Tier.KEY)
    world.stop_server()
    host = joining(world, "m1", HostConsent(exit_node="gw", kill_switch=True))
    assert state(host) == HostState("rustun0", 1500, outside=(SERVER,), kill_switch=True)
    world.run(PATIENCE_S)
    world.start_server()
    world.run_until_online("m1")
    world.run(PATIENCE_S)
    assert (state(host).kill_switch, state(host).exits) == (True, (ANY4,))
    host.host_network.may_open = False
    host.tun.vanish()
    world.run(PATIENCE_S)
    assert host.client.tun is None
    assert state(host).kill_switch
    host.client.stop("the test ends it", lambda: None)
    assert host.host_network.state is None


def test_the_host_is_set_up_before_a_first_session(make_world: MakeWorld) -> None:
    """If this fails, the kill switch of a dead client keeps the next one, which has none, from its server for ever."""
    world = make_world(EXIT, tier=Tier.KEY)
    world.stop_server()
    host = joining(world, "m1", HostConsent())
    assert state(host) == HostState("rustun0", 1500, outside=(SERVER,))


def test_what_cannot_be_had_is_told_once_and_shown_as_long_as_it_holds(make_world: MakeWorld) -> None:
    """If this fails, nobody sees that traffic goes in clear, or a log is full of it."""
    world = make_world(EXIT, tier=Tier.KEY)
    host = joining(world, "m1", HostConsent(exit_node="gone"))
    world.run_until_online("m1")
    world.host("gw")
    world.run(PATIENCE_S)
    early, warning = host.log.texts("host-warning")
    assert early == NO_EXIT_YET.format("gone")
    assert warning == 'exit_node "gone" is no member of this cluster: all traffic beside the cluster goes in clear'
    assert host.status()["warnings"] == [warning]


def test_a_reload_changes_what_the_host_agrees_to(make_world: MakeWorld) -> None:
    """If this fails, [host_config] waits for the next start, though its document says otherwise."""
    world = make_world([EXIT[0], entry("m1", "10.0.1.2", ciders=["192.168.1.0/24"])], tier=Tier.KEY)
    host = joining(world, "m1", HostConsent())
    world.run_until_online("m1")
    world.run(PATIENCE_S)
    lan = ip_network("192.168.1.0/24")
    wished = replace(host.client.config, host=HostConsent(gateway=(lan,), exit_node="gw", names="hosts"))
    host.client.settings.read = lambda: wished
    host.client.reload()
    world.run(PATIENCE_S)
    assert state(host).forwarding == Forwarding((lan,))
    assert state(host).names == (("gw", (ip_address("10.0.1.1"),)), ("m1", (ip_address("10.0.1.2"),)))
    assert (state(host).exits, host.status()["warnings"]) == ((ANY4,), [])
    again = joining(world, "gw", replace(wished.host, exit_node="m1"))
    world.run(PATIENCE_S)
    early, *lasting = again.log.texts("host-warning")
    assert (early, lasting) == (NO_EXIT_YET.format("m1"), again.status()["warnings"])


def test_until_there_is_an_exit_traffic_in_clear_is_shown(make_world: MakeWorld) -> None:
    """If this fails, a host with an exit node and no kill switch talks in clear while nobody expects it."""
    world = make_world(EXIT, tier=Tier.KEY)
    world.stop_server()
    host = joining(world, "m1", HostConsent(exit_node="gw"))
    world.run(PATIENCE_S)
    assert host.status()["warnings"] == host.log.texts("host-warning") == [NO_EXIT_YET.format("gw")]
    world.start_server()
    world.run_until_online("m1")
    world.run(PATIENCE_S)
    assert (state(host).exits, host.status()["warnings"]) == ((ANY4,), [])
    world.stop_server()
    world.run(PATIENCE_S)
    assert (state(host).exits, host.status()["warnings"]) == ((ANY4,), []), "it waits for the tunnel meanwhile"


def test_what_a_host_refused_is_tried_again(make_world: MakeWorld) -> None:
    """If this fails, a prefix stays out of the tunnel for good, though the route that stood in its way has gone."""
    world = make_world([entry("m1", "10.0.1.2"), entry("gw", "10.0.1.1", ciders=["192.0.2.0/24"])], tier=Tier.KEY)
    taken = replace(PLAIN_HOST, routes=(*PLAIN_HOST.routes, device_route(ip_network("192.0.2.0/24"), ETHERNET, 4)))
    (host,) = world.online("m1")
    host.host_network.host = taken
    host.monitor.change()
    world.run(1.0)
    assert ip_network("192.0.2.0/24") in host.client.host_report.refused
    world.run(TRY_AGAIN_SECONDS / 2)
    host.host_network.host = PLAIN_HOST
    world.run(TRY_AGAIN_SECONDS)
    assert ip_network("192.0.2.0/24") in host.client.host_report.routed


def test_tries_that_take_long_are_made_seldom(make_world: MakeWorld) -> None:
    """If this fails, a host whose nft hangs stops its tunnel for 20 s in each minute."""
    world = make_world([entry("m1", "10.0.1.2"), entry("gw", "10.0.1.1", ciders=["198.51.100.0/24"])], tier=Tier.KEY)
    (host,) = world.online("m1")
    apply, tries = host.host_network.apply, []

    def slow(wished: HostState) -> HostReport:
        tries.append(world.reactor.now())
        world.reactor.suspend(2.0)
        return apply(wished)

    host.host_network.apply = slow  # type: ignore[method-assign]
    world.run(1000.0)
    assert 3 <= len(tries) <= 8
