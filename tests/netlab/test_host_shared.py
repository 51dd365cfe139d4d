"""A host that others change too: people who type commands, other clients, whoever writes the same settings."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from dataclasses import replace
from ipaddress import ip_interface, ip_network
from pathlib import Path

import pytest

from netlab.worlds.host_picture import assert_same, difference, host_picture, settle, sysctls
from rustun.backends import hosts_file
from rustun.backends.base import Endpoint, Forwarding, HostState
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.host_recovery import cleanup_all, recover
from rustun.backends.tun import open_device
from rustun.errors import HostError
from tests.netlab.bare_host import Host
from tests.netlab.private_namespace import STATE, in_private_namespace
from tests.netlab.test_host_crash import PICTURE, WISH, in_child, start, told

CARD = Path("/proc/sys/net/ipv4/conf/eth0/forwarding")
GATEWAY = Forwarding(lans=(ip_network("192.168.1.0/24"),))


def shell(*commands: str) -> None:
    done = subprocess.run(["sh", "-e"], input="\n".join(commands), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def comparable(picture: list[str]) -> list[str]:
    """Leave out what tells a device that `ip tuntap` made from one that a client holds."""
    return [line.replace(" linkdown", "") for line in picture if not line.startswith("link ")]


def gateway(device: str) -> HostState:
    return HostState(device, 1500, forwarding=GATEWAY)


@in_private_namespace
def test_the_printed_commands_do_what_the_client_does() -> None:
    """If this fails, `--dry-run` shows an administrator something else than what happens."""
    with Host():
        settle()
        before = host_picture()
        commands = LinuxHostNetwork(STATE).plan(WISH).commands
        assert_same(before, host_picture(), "a host that was only looked at")
        assert not list(STATE.iterdir())
        shell(*commands)
        typed = comparable(host_picture())
        shell("ip link del rustun0")
        cleanup_all(STATE)  # what tells by itself whose it is
        shell("sysctl -q -w net/ipv4/conf/eth0/forwarding=0 net/ipv6/conf/eth0/force_forwarding=0")
        assert_same(before, host_picture(), "the host after cleaning up what was typed")

        def start_and_tell() -> None:
            start()
            PICTURE.write_text(json.dumps(host_picture()))

        in_child(start_and_tell)
        assert_same(comparable(told()), typed, "typed commands: the host")


@in_private_namespace
def test_nothing_is_planned_for_a_device_that_is_somebody_elses() -> None:
    """If this fails, `--dry-run` tells an administrator to take the addresses off a card, or off another tunnel."""
    with Host():
        shell("ip tuntap add dev other0 mode tun")
        with closing(open_device("rustun0", offload=False)):
            taken = (("eth0", "of another kind"), ("rustun0", "held by a running process"), ("other0", "made to stay"))
            for name, reason in taken:
                with pytest.raises(HostError, match=reason) as planned:
                    LinuxHostNetwork(STATE).plan(replace(WISH, device=name))
                with pytest.raises(HostError) as tried:
                    open_device(name, offload=False)
                assert str(planned.value) == str(tried.value)


@in_private_namespace
def test_a_setting_that_somebody_changed_meanwhile_is_left_and_reported() -> None:
    """If this fails, stopping a client switches off forwarding that an administrator switched on."""
    with Host():
        in_child(start)
        CARD.write_text("0")
        found = recover(STATE, "rustun0")
        assert found.left == ()  # as it was before
        assert CARD.read_text() == "0\n"
        in_child(start)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        found = recover(STATE, "rustun0")
        assert any("net/ipv4/conf/eth0/forwarding is left at 1" in line for line in found.left), found.left
        assert CARD.read_text() == "1\n"
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")


@in_private_namespace
def test_what_two_clients_need_stays_until_the_last_one_goes() -> None:
    """If this fails, stopping one of two gateways on a host silences the other, or leaves the host forwarding."""
    with Host() as host:
        settle()
        before = host_picture()
        for first_to_go in (0, 1):
            networks, opened = zip(*(host.client(f"rustun{number}") for number in range(2)), strict=True)
            for number, network in enumerate(networks):
                assert network.apply(gateway(f"rustun{number}")).warnings == ()
            networks[first_to_go].clear()
            assert CARD.read_text() == "1\n"
            networks[1 - first_to_go].clear()
            for device in opened:
                device.close()
            assert_same(before, host_picture(), "the host after two clients")


@in_private_namespace
def test_a_dead_client_of_another_device_does_not_stop_this_one() -> None:
    """If this fails, who changes the device's name after a crash gets no packet: the dead one's guard drops them."""
    with Host() as host:
        settle()
        before = host_picture()
        in_child(start)
        network, device = host.client("other0")
        report = network.apply(HostState("other0", 1500, (ip_interface("10.0.1.2/24"),)))
        assert report.warnings == ()
        assert not any("rustun0" in line for line in host_picture())
        network.clear()
        device.close()
        assert_same(before, host_picture())


@in_private_namespace
def test_a_kill_switch_of_a_dead_client_is_said_to_the_next() -> None:
    """If this fails, a client on another device hangs for ever, and nobody is told why."""
    with Host() as host:
        in_child(lambda: start(replace(WISH, kill_switch=True, forwarding=Forwarding())))
        network, _ = host.client("other0")
        warnings = network.apply(HostState("other0", 1500)).warnings
        assert any("rustun cleanup --device rustun0" in line for line in warnings), warnings
        network.clear()


@in_private_namespace
def test_a_kill_switch_of_a_dead_client_stands_until_the_first_wish_of_the_next() -> None:
    """If this fails, packets leave in clear between two clients, or a host whose owner gave it up stays closed."""
    with Host() as host:
        in_child(lambda: start(replace(WISH, kill_switch=True, forwarding=Forwarding())))
        network, _ = host.client()
        assert any("kill_switch" in line for line in host_picture())
        network.apply(HostState("rustun0", 1500))
        assert not any("kill_switch" in line for line in host_picture())
        network.clear()


@in_private_namespace
def test_a_running_client_is_not_cleaned_up() -> None:
    """If this fails, `rustun cleanup` on a healthy host takes the tunnel away."""
    with Host() as host:
        network, _ = host.client()
        network.apply(WISH)
        before = host_picture()
        [found] = cleanup_all(STATE)
        assert found.running
        assert found.done == ()
        assert_same(before, host_picture())


@in_private_namespace
def test_a_lost_journal_leaves_what_tells_by_itself() -> None:
    """If this fails, a state folder that was emptied leaves rules and names on a host for ever."""
    with Host():
        settle()
        before = host_picture()
        in_child(lambda: start(replace(WISH, forwarding=Forwarding())))
        for file in STATE.iterdir():
            file.unlink()
        [found] = cleanup_all(STATE)
        assert found.left == ()
        assert_same(before, host_picture())


@in_private_namespace
def test_without_a_journal_nothing_is_set_that_nobody_could_restore() -> None:
    """If this fails, a client without a folder for its journal changes settings that stay for ever."""
    with Host():
        settle()
        before = sysctls()
        nowhere = Path("/proc/no-such-folder")
        network = LinuxHostNetwork(nowhere)
        device = network.open_tun("rustun0", 1500, True)
        report = network.apply(WISH)
        assert set(report.routed) >= set(WISH.routes)
        said = [line.partition(f": the journal {nowhere}/") for line in report.warnings]
        left_out = {before for before, found, _ in said if found}
        assert left_out >= {"no names are written", "net/ipv4/conf/eth0/forwarding is left as it is"}, report.warnings
        changed = {name for name, value in sysctls().items() if before.get(name) != value}
        assert not {name for name in changed if "/rustun0/" not in name}
        assert "rustun0" not in hosts_file.HOSTS.read_text()
        network.clear()
        device.close()


@in_private_namespace
def test_a_table_that_somebody_flushed_is_set_again() -> None:
    """If this fails, `nft flush ruleset` opens a kill switch for as long as the client lives."""
    with Host() as host:
        network, _ = host.client()
        network.apply(WISH)
        before = host_picture()
        shell("nft flush ruleset")
        assert difference(before, host_picture())
        network.apply(WISH)
        assert_same(before, host_picture())
        shell("nft flush chain inet rustun-rustun0 guard")
        network.apply(WISH)
        assert_same(before, host_picture())


@in_private_namespace
def test_an_exit_keeps_the_server_and_the_lan_where_they_are() -> None:
    """Row 31. If this fails, a chosen exit node takes the path to the server, or the printer next door."""
    with Host() as host:
        network, _ = host.client()
        exits = (ip_network("0.0.0.0/0"), ip_network("::/0"))
        servers = (Endpoint("198.51.100.7", 8080), Endpoint("2001:db8:7::7", 8080))
        wish = HostState("rustun0", 1500, (ip_interface("10.0.1.2/24"),), outside=servers, exits=exits)
        report = network.apply(wish)
        assert set(report.routed) >= set(exits)
        beside = {"192.168.1.0/24", "172.16.0.0/12", "2001:db8:1::/64", "198.51.100.7/32", "2001:db8:7::7/128"}
        assert {str(prefix) for prefix in report.elsewhere} >= beside, "who is there could speak through the exit"
        assert not {str(prefix) for prefix in report.elsewhere} & {"0.0.0.0/0", "::/0", "10.0.1.0/24"}
        assert {str(address) for address in report.local} >= {"192.168.1.5", "2001:db8:1::5"}
        assert {host.path(text) for text in ("1.1.1.1", "2606:4700::1111", "10.0.1.9")} == {"rustun0"}
        outside = ("198.51.100.7", "2001:db8:7::7", "192.168.1.77", "172.16.9.9", "2001:db8:1::9")
        assert {host.path(text) for text in outside} == {"eth0"}
        report = network.apply(replace(wish, exits=exits[:1]))
        assert any("IPv6 leaves this host beside the exit node" in line for line in report.warnings)
        assert host.path("2606:4700::1111") == "eth0"
        assert network.apply(replace(wish, exits=exits[:1], kill_switch=True)).warnings == ()
        host.ip.route("del", dst="0.0.0.0/0", gateway="192.168.1.1")
        assert ip_network("0.0.0.0/0") in network.apply(wish).routed
        host.ip.route("add", dst="0.0.0.0/0", gateway="192.168.1.1")
        network.apply(wish)
        assert host.path("198.51.100.7") == "eth0"
