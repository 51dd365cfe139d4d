"""MemoryTun and MemoryHostNetwork."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from rustun.backends.base import Endpoint, HostState
from rustun.backends.memory import MemoryHostNetwork, MemoryTun, VirtualReactor
from rustun.errors import HostError, RightsError


def test_device_both_ways() -> None:
    """If this fails, simulated packets do not reach the client or its host."""
    tun = MemoryTun(VirtualReactor(), "rustun0")
    header, packet = bytearray(10), bytearray(100)
    assert tun.read_into(memoryview(header), memoryview(packet)) is None
    assert tun.send(b"out", b"0123456789")
    assert tun.read_into(memoryview(header), memoryview(packet)) == 3
    assert (bytes(header), bytes(packet[:3])) == (b"0123456789", b"out")
    assert tun.write(bytes(10), b"in")
    tun.refuses = True
    assert not tun.write(bytes(10), b"refused")
    assert tun.received == [(bytes(10), b"in")]


def test_device_queue_is_bounded() -> None:
    """If this fails, a host that floods fills the memory of a simulation and no drop is ever seen."""
    tun = MemoryTun(VirtualReactor(), "rustun0")
    tun.queue_packets = 2
    assert [tun.send(b"x") for _ in range(3)] == [True, True, False]


def test_vanished_device_is_an_error() -> None:
    """If this fails, a deleted TUN cannot be simulated."""
    reactor = VirtualReactor()
    tun = MemoryTun(reactor, "rustun0")
    called: list[int] = []

    def on_readable() -> None:
        called.append(1)
        reactor.unwatch(tun)

    reactor.watch(tun, on_readable, None)
    tun.vanish()
    reactor.run_until_idle()
    assert called == [1]
    with pytest.raises(HostError, match="rustun0 is gone"):
        tun.read_into(memoryview(bytearray(10)), memoryview(bytearray(10)))
    with pytest.raises(HostError, match="rustun0 is gone"):
        tun.write(bytes(10), b"x")


def test_opening_devices() -> None:
    """If this fails, naming and rights cannot be simulated."""
    host = MemoryHostNetwork(VirtualReactor())
    assert [host.open_tun("rustun%d", 1500, True).name for _ in range(2)] == ["rustun0", "rustun1"]
    with pytest.raises(HostError, match="held"):
        host.open_tun("rustun1", 1500, True)
    host.tuns[0].close()
    assert host.open_tun("rustun%d", 1500, False).name == "rustun0"
    host.may_open = False
    with pytest.raises(RightsError):
        host.open_tun("rustun%d", 1500, True)


def test_apply_judges_as_the_real_one() -> None:
    """If this fails, a client's reaction to refused prefixes cannot be simulated."""
    host = MemoryHostNetwork(VirtualReactor())
    wished = HostState(
        "rustun0",
        1500,
        (ip_interface("10.0.1.2/24"), ip_interface("198.51.100.1/32")),
        (ip_network("10.0.2.0/24"), ip_network("198.51.100.0/24"), ip_network("203.0.113.0/24")),
        (Endpoint("203.0.113.7", 8080),),
    )
    report = host.apply(wished)
    assert report.routed == (ip_network("10.0.1.0/24"), ip_network("10.0.2.0/24"), ip_network("203.0.113.0/24"))
    assert list(report.refused) == [ip_network("198.51.100.0/24"), ip_network("198.51.100.1/32")]
    assert report.addresses == wished.addresses[:1]
    assert (report.elsewhere, report.local) == ((ip_network("203.0.113.7/32"),), (ip_address("198.51.100.2"),))
    assert host.state == wished
    host.broken = "no such device"
    with pytest.raises(HostError, match="no such device"):
        host.apply(wished)
    host.clear()
    assert host.state is None
