"""A gateway's host as a client sets it up: on kernels and with programs that lack something.

The client's part is LinuxHostNetwork with a real TUN device; what stands is told by the distribution's tools.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from unittest import mock

from netlab.worlds.host_picture import assert_same, host_picture
from netlab.worlds.site import DEVICE, Machine, cable
from rustun.backends import forwarding, host_executor, nft
from rustun.backends.base import Endpoint, Forwarding, HostState
from rustun.backends.host_network import LinuxHostNetwork
from tests.netlab.own_world import in_own_world

LANS = (ip_network("192.168.1.0/24"), ip_network("fd77::/64"))
PEER = ip_network("10.0.2.0/24")
WISH = HostState(DEVICE, 1500, (ip_interface("10.0.1.2/24"), ip_interface("fd00:1::2/64")), (PEER,))
GATEWAY = replace(WISH, forwarding=Forwarding(LANS, masquerade=True))
OLD_NFT = """#!/bin/sh
script=$(cat)
case "$script" in *prefix*) echo '/dev/stdin:9:1-2: Error: syntax error, unexpected prefix' >&2; exit 1;; esac
printf '%s\\n' "$script" | exec {} "$@"
"""


@contextmanager
def client(folder: Path) -> Iterator[LinuxHostNetwork]:
    """Yield what a client has of its host; afterwards the host has to be as it was before."""
    before = host_picture()
    network = LinuxHostNetwork(folder / "state")
    device = network.open_tun(DEVICE, 1500, True)
    try:
        yield network
        network.clear()
    finally:
        device.close()
    assert_same(before, host_picture())


def gateway() -> Machine:
    """Return a machine with a LAN and an uplink that lives on router advertisements."""
    machine, lan, provider = Machine("gateway"), Machine("lan"), Machine("provider")
    cable(machine, "eth1", lan, "eth0")
    cable(machine, "eth0", provider, "eth0")
    for other in (lan, provider):
        other.interface("eth0")
    machine.interface("eth1", "192.168.1.1/24", "fd77::1/64")
    machine.interface("eth0", "9.9.9.2/24")
    machine.set(**{"net/ipv6/conf/eth1/accept_ra": "0", "net/ipv6/conf/eth0/accept_ra": "1"})
    return machine


@in_own_world
def test_an_older_kernel_stays_a_host_and_comes_back(tmp_path: Path) -> None:
    """If this fails, where it takes force_forwarding (Linux 6.17) a second look undoes what the first one did."""

    def older() -> dict[str, str]:
        found = forwarding.read_settings()
        return {name: value for name, value in found.items() if not name.endswith("/force_forwarding")}

    def work() -> None:
        with mock.patch.object(host_executor, "read_settings", older), client(tmp_path) as network:
            report = network.apply(GATEWAY)
            assert report.warnings == ()
            stands = host_picture()
            assert "sysctl net/ipv6/conf/all/forwarding = 1" in stands
            assert "sysctl net/ipv6/conf/eth0/accept_ra = 2" in stands
            assert "sysctl net/ipv6/conf/eth1/accept_ra = 0" in stands
            assert network.apply(GATEWAY) == replace(report, changes=0)
            assert_same(stands, host_picture(), "the host after the same wish")

    gateway().do(work)


@in_own_world
def test_without_nft_the_rest_goes_on(tmp_path: Path) -> None:
    """If this fails, a host without nftables has no tunnel at all, forwards without any rules, or was not told."""

    def work() -> None:
        with mock.patch.object(nft, "ADMIN_FOLDERS", ""), mock.patch.dict("os.environ", {"PATH": str(tmp_path)}):
            network = LinuxHostNetwork(tmp_path / "state")
            wish = replace(GATEWAY, kill_switch=True, outside=(Endpoint("9.9.9.9", 8080),))
            plan = network.plan(wish)
            device = network.open_tun(DEVICE, 1500, True)
            before = forwarding.read_settings()
            report = network.apply(wish)
            assert plan.report.warnings == report.warnings
            assert not [command for command in plan.commands if "nft" in command or "sysctl" in command]
            assert PEER in report.routed
            assert forwarding.read_settings() == before
            for words in ("nothing is forwarded", "the kill switch is not in force", "every interface"):
                [line] = [line for line in report.warnings if words in line]
                assert "nft is not installed; install the package nftables" in line
            network.clear()
            device.close()

    gateway().do(work)


@in_own_world
def test_an_nft_that_is_too_old_keeps_the_guard(tmp_path: Path) -> None:
    """If this fails, a mapping that cannot be had takes the rest of the firewall with it."""
    program = shutil.which("nft")
    old = tmp_path / "nft"
    old.write_text(OLD_NFT.format(program))
    old.chmod(0o755)
    wish = replace(GATEWAY, forwarding=Forwarding(LANS, mapping=((ip_network("192.168.11.0/24"), LANS[0]),)))

    def work() -> None:
        with client(tmp_path) as network, mock.patch.object(nft, "ADMIN_FOLDERS", "/usr/bin:/bin"):
            with mock.patch.dict("os.environ", {"PATH": str(tmp_path)}):
                report = network.apply(wish)
            [line] = report.warnings
            assert "nothing is forwarded" in line
            assert "update the package nftables" in line
            listing = nft.listed(f"rustun-{DEVICE}")
            assert listing is not None
            assert "chain guard" in listing
            assert "chain forward" not in listing
            assert network.apply(GATEWAY).warnings == ()

    gateway().do(work)
