"""A host that is only looked at."""

from __future__ import annotations

from ipaddress import ip_interface

from rustun.backends.base import HostReport, HostState
from rustun.backends.memory.host import MemoryHostNetwork
from rustun.backends.memory.reactor import VirtualReactor
from rustun.backends.untouched import NoDevice, UntouchedHost


def test_plans_are_the_real_ones_and_nothing_is_done() -> None:
    """If this fails, a dry run changes a host, or shows other steps than a real one takes."""
    real = MemoryHostNetwork(VirtualReactor())
    host = UntouchedHost(real)
    wished = HostState("rustun0", 1500, (ip_interface("10.0.1.2/24"),))
    assert host.apply(wished) == HostReport()
    assert host.plan(wished) == real.plan(wished)
    assert real.plan(wished).commands
    host.clear()
    assert (real.state, real.tuns) == (None, [])
    tun = host.open_tun("tun%d", 1500, True)
    assert (tun.name, real.tuns) == ("tun0", [])
    tun.close()


def test_what_stands_for_the_device_is_silent() -> None:
    """If this fails, a dry run ends because its device reports what it has not got."""
    tun = NoDevice("rustun0")
    assert tun.fileno() >= 0
    assert tun.is_up()
    assert tun.read_into(memoryview(bytearray(10)), memoryview(bytearray(9))) is None
    assert tun.write(b"\0" * 10, b"packet")
    tun.close()
    tun.close()
    assert tun.fileno() == -1
