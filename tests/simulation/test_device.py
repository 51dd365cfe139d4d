"""What a client does when somebody takes its device, or the way to its server, from under it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from netlab.worlds.ip_packets import tcp_packet
from rustun.backends.base import HostReport, HostState
from tests.simulation.conftest import MakeWorld
from tests.simulation.kernel import unfinished
from tests.simulation.world import SERVER, entry, office

PATIENCE_S = 5.0  # a look at the device a second, and a reconnect


def test_a_device_set_down_is_set_up_again(make_world: MakeWorld) -> None:
    """Row 30. If this fails, one `ip link set rustun0 down` silences a host until its client is restarted."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    reconnects = host.client.reconnects
    host.tun.down = True
    world.run(PATIENCE_S)
    assert not host.tun.down
    assert len(host.log.texts("put-right")) == 1
    assert host.client.reconnects == reconnects


def test_a_device_that_cannot_be_set_up_is_tried_less_and_less(make_world: MakeWorld) -> None:
    """Row 30. If this fails, a host whose administrator wants the device down loses a core to the client."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    host.host_network.broken = "somebody holds it down"
    host.tun.down = True
    world.run(600.0)
    assert len(host.log.texts("host-network")) == 15  # after 0, 1, 3, 7, 15, 31, 63 s, then one a minute
    host.host_network.broken = ""
    world.run(60.0)
    assert not host.tun.down


def test_whoever_undoes_what_was_set_up_is_not_fought(make_world: MakeWorld) -> None:
    """Row 30. If this fails, two programs that both want a host take its processor and its log."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    began = world.reactor.now()
    repairs = []
    for _ in range(6000):
        if not host.host_network.flushed:
            host.host_network.flushed = True
            repairs.append(world.reactor.now() - began)
            host.monitor.change()
        world.run(0.1)
    assert len(repairs) == 16
    waits = [round(later - earlier) for earlier, later in zip(repairs, repairs[1:], strict=False)]
    assert waits == [0, 1, 2, 4, 8, 16, 32, *[60] * 8]
    assert len(host.log.texts("put-right")) == 15
    world.run(60.0)
    assert not host.host_network.flushed
    world.run(121.0)
    host.host_network.flushed = True
    host.monitor.change()
    world.run(0.1)
    assert not host.host_network.flushed, "the next one is a first one"


def test_a_device_that_is_deleted_again_and_again_is_not_fought_for(make_world: MakeWorld) -> None:
    """Row 30. If this fails, a program that deletes unknown devices makes a client spin."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    for _ in range(6000):
        if host.tun.fileno() >= 0:
            host.tun.vanish()
        world.run(0.1)
    assert len(host.host_network.tuns) == 15  # after 0, 1, 3, 7, 15, 31, 63 s, then one a minute
    world.run(70.0)
    assert host.client.state == "online"


def test_a_device_that_vanished_is_made_anew(make_world: MakeWorld) -> None:
    """Row 30. If this fails, a deleted device ends the client, or leaves it online without one."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    host.tun.vanish()
    world.run(PATIENCE_S)
    assert len(host.host_network.tuns) == 2
    assert host.client.state == "online"
    assert host.status()["routes"] == ["10.0.0.0/16", "fd00:1::/64"]


def test_a_device_that_vanished_while_there_was_no_session(make_world: MakeWorld) -> None:
    """Row 30. If this fails, a client that waits for its server keeps a dead device, and shows it as there."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")
    world.stop_server()
    world.run(PATIENCE_S)
    host.host_network.may_open = False
    host.tun.vanish()
    world.run(PATIENCE_S)
    assert host.client.tun is None
    assert host.status()["routes"] == []
    tries = len(host.log.texts("not-connected"))
    world.run(120.0)
    assert len(host.log.texts("not-connected")) - tries <= 12  # backs off to 30 s
    host.host_network.may_open = True
    world.start_server()
    world.run(40.0)
    assert host.client.state == "online"


def test_the_way_to_the_server_is_kept_outside_before_each_try(make_world: MakeWorld) -> None:
    """Row 32. If this fails, a host whose own route changed sends the connection into the tunnel that it is to make."""
    world = make_world([entry("m0", "10.0.1.1"), entry("m1", "10.0.1.2", ciders=["192.0.2.0/24"])])
    host, _ = world.online("m0", "m1")
    applied: list[HostState] = []
    real_apply = host.host_network.apply

    def apply(wished: HostState) -> HostReport:
        applied.append(wished)
        return real_apply(wished)

    world.stop_server()
    world.run()
    host.host_network.apply = apply  # type: ignore[method-assign]
    world.run(PATIENCE_S)
    assert host.client.session is None
    assert applied
    for wished in applied:
        assert wished.outside == (SERVER,)
        assert ip_network("192.0.2.0/24") in wished.routes


def test_a_stream_of_tiny_segments_does_not_stop_the_seeds_client(make_world: MakeWorld) -> None:
    """If this fails, a far host that announces an MSS of 48 bytes takes a client on the seed's wire off the air."""
    world = make_world(office(2), security={"minimum_tier": "legacy"})
    sender, receiver = world.online("m0", "m1", legacy=True)
    payload = bytes(range(250)) * 250
    for number in range(4):
        large = tcp_packet("10.0.1.1", "10.0.1.2", (1, 2), payload, sequence=1 + number * len(payload))
        packet, header = unfinished(large, 48)
        sender.send(packet, header=header)
    world.run(1.0)
    got = b"".join(packet[40:] for packet in receiver.packets)
    assert len(receiver.packets) == 4 * -(-len(payload) // 48)
    assert got == payload * 4
    assert sender.client.reconnects == 0


def test_a_host_that_answers_as_nobody_foresaw_does_not_end_the_client(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, one message that the netlink library cannot read leaves a client connecting for ever."""
    world = make_world(office(2))
    host, _ = world.online("m0", "m1")

    def defect(wished: HostState) -> HostReport:
        raise LookupError("an attribute that nobody knows")

    with monkeypatch.context() as patch:
        patch.setattr(host.host_network, "apply", defect)
        host.client.reload()
        world.run(1.0)
    assert host.log.texts("internal-error")
    host.log.events.clear()
    host.client.reload()
    world.run(PATIENCE_S)
    assert host.client.state == "online"
