"""A host where something goes wrong at the wrong moment: what is closed stays closed, what runs goes on."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from netlab.worlds.host_picture import assert_same, host_picture, settle
from rustun.backends import host_executor, hosts_file
from rustun.backends.base import Forwarding, HostState
from rustun.backends.host_executor import Hands
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.host_recovery import cleanup_all, recover
from rustun.backends.host_steps import Step, WriteHosts
from tests.netlab.bare_host import Host
from tests.netlab.private_namespace import STATE, in_private_namespace
from tests.netlab.test_host_crash import WISH, in_child, start
from tests.netlab.test_host_shared import CARD

CLOSED = replace(WISH, kill_switch=True, forwarding=Forwarding())


def shell(*commands: str) -> None:
    done = subprocess.run(["sh", "-e"], input="\n".join(commands), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@in_private_namespace
def test_a_running_client_is_not_cleaned_up_by_who_looks_elsewhere_for_its_journal() -> None:
    """If this fails, `rustun cleanup` without the right folder opens a kill switch and takes routes of a tunnel."""
    with Host():
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        network.apply(CLOSED)
        before = host_picture()
        [found] = cleanup_all(Path("/run/elsewhere"))
        assert (found.running, found.done) == (True, ())
        assert "--state-dir" in found.left[0]
        assert_same(before, host_picture())
        network.clear()
        device.close()


@in_private_namespace
def test_a_running_client_is_not_cleaned_up_on_a_disk_that_went_read_only() -> None:
    """If this fails, a clean-up takes a tunnel down because a broken disk does not let it write."""
    with Host():
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        network.apply(CLOSED)
        before = host_picture()
        shell(f"mount --bind {STATE} {STATE}", f"mount -o remount,ro,bind {STATE}")
        [found] = cleanup_all(STATE)
        assert (found.running, found.done) == (True, ())
        assert "a running client" in found.left[0]
        assert_same(before, host_picture())
        device.close()


@in_private_namespace
def test_what_an_orderly_end_or_the_next_start_leaves_is_told() -> None:
    """If this fails, a setting that somebody else took over stays behind, and nobody learns that it does."""
    with Host():
        wish = replace(WISH, forwarding=Forwarding(lans=(ip_network("192.168.1.0/24"),)), names=())
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        network.apply(wish)
        CARD.write_text("2")
        [left] = network.clear()
        assert "net/ipv4/conf/eth0/forwarding is left at 2" in left
        device.close()
        CARD.write_text("0")
        in_child(lambda: start(wish))
        CARD.write_text("2")
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        assert any(left == line for line in network.apply(HostState("rustun0", 1500)).warnings)
        assert network.clear() == ()
        device.close()


@in_private_namespace
def test_a_host_without_ipv6_has_the_rest() -> None:
    """If this fails, a server that gives a member an IPv6 address cuts it off where IPv6 is switched off."""
    with Host() as host:
        for name in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
        settle()
        before = host_picture()
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        report = network.apply(WISH)
        assert [str(address) for address in report.addresses] == ["10.0.1.2/24"]
        assert "is IPv6 off on this host?" in report.refused[ip_network("fd00:1::2/128")]
        assert {host.path(text) for text in ("10.0.1.9", "10.0.2.9")} == {"rustun0"}
        assert network.apply(WISH).changes == 0
        network.clear()
        device.close()
        assert_same(before, host_picture())


@in_private_namespace
def test_what_others_write_into_the_hosts_file_meanwhile_stays() -> None:
    """If this fails, two clients that hear the same news lose each other's names, or an administrator's line."""
    with Host():
        network = LinuxHostNetwork(STATE)
        device = network.open_tun("rustun0", 1500, True)
        lines = iter([b"10.0.9.9 printer\n", b"10.0.9.8 scanner\n"])

        def write_meanwhile(step: Step, hands: Hands) -> None:
            line = next(lines, b"") if isinstance(step, WriteHosts) else b""
            with hosts_file.HOSTS.open("ab") as file:
                file.write(line)
            do(step, hands)

        do = host_executor._one
        host_executor._one = write_meanwhile
        before = hosts_file.HOSTS.read_bytes()
        report = network.apply(WISH)
        assert not any("hosts" in line for line in report.warnings), report.warnings
        assert hosts_file.HOSTS.read_text().count("bj-dev.rustun") == 1
        network.clear()
        device.close()
        assert hosts_file.HOSTS.read_bytes() == before + b"10.0.9.9 printer\n10.0.9.8 scanner\n"
        lines = iter([b"10.0.9.7 ever new\n"] * 100)
        device = network.open_tun("rustun0", 1500, True)
        report = network.apply(WISH)
        assert any("/etc/hosts changes all the time" in line for line in report.warnings), report.warnings
        assert set(report.routed) >= set(WISH.routes)
        network.clear()
        device.close()


@in_private_namespace
def test_a_kill_switch_stands_after_a_crash_also_where_no_journal_tells_of_it() -> None:
    """If this fails, a full disk makes the clean-up after a crash open the host, until the next client starts."""
    with Host():
        in_child(lambda: start(CLOSED))
        for file in STATE.glob("*.json"):
            file.unlink()
        found = recover(STATE, "rustun0", keep_kill_switch=True)
        assert any("the kill switch of rustun0 stands" in line for line in found.left), found.left
        assert any("kill_switch" in line for line in host_picture())
        assert recover(STATE, "rustun0").left == ()
        assert not any("rustun" in line for line in host_picture())
