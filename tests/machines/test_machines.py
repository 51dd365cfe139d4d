"""Real machines boot, are reached, do what a host of rustun has to do, go off and come back, and leave nothing."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from ipaddress import ip_interface
from pathlib import Path

import pytest

from netlab.errors import ExpectationFailed
from netlab.machines.network import LanHost, MachineSpec
from netlab.machines.running import machines
from tests.machines.world import on_machines
from tests.netlab.child import ROOT

PATIENCE_S = 60.0  # only reached where something hangs
MIB = 1 << 20
LAN = (ip_interface("192.168.10.1/24"), ip_interface("fd00:10::1/64"))
PRINTER = LanHost("printer", (ip_interface("192.168.10.7/24"),))
RULES = """
add table inet t
add chain inet t c { type filter hook input priority 0; }
add rule inet t c tcp dport 9 drop
"""


@on_machines
def test_four_machines(tmp_path: Path) -> None:
    """Without this no test of a deployment says anything about real hosts."""
    specs = [
        MachineSpec("server"),
        MachineSpec("gateway", lan=LAN, lan_hosts=(PRINTER,)),
        MachineSpec("laptop"),
        MachineSpec("nas"),
    ]
    with machines(specs, tmp_path) as running:
        assert {machine.name: machine.state for machine in running} == {spec.name: "running" for spec in specs}
        assert [machine.run("hostname") for machine in running] == [f"{spec.name}\n" for spec in specs]
        own = {machine.run("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub") for machine in running}
        assert len(own) == len(specs)
        gateway, laptop = running["gateway"], running["laptop"]
        assert "tun7" in gateway.run("ip tuntap add dev tun7 mode tun && ip -o link show tun7")
        gateway.run("nft -f -", text=RULES)
        assert "dport 9 drop" in gateway.run("nft list ruleset")
        gateway.run("echo 1 >/proc/sys/net/ipv4/ip_forward && ping -c 1 192.168.10.7")
        laptop.run("ping -c 1 server && ping -6 -c 1 2001:2::1")
        with pytest.raises(ExpectationFailed, match="exit code 1"):  # the router of the outside says: no way
            laptop.run("ping -c 1 -W 5 192.0.2.1")
        laptop.run("touch /etc/seen")
        with pytest.raises(ExpectationFailed, match="exit code 2"):
            running["nas"].run("ls /etc/seen")


@on_machines
def test_ssh_knows_every_host(tmp_path: Path) -> None:
    """A product that checks host keys can only be tested where they are known, and where a wrong one is refused."""
    with machines([MachineSpec("a"), MachineSpec("b")], tmp_path) as running:
        plain = ["ssh", "-o", "BatchMode=yes", "root@a", "id -u"]
        assert subprocess.run(plain, capture_output=True, text=True, check=True).stdout == "0\n"
        taken = running["b"].ssh.known_hosts.read_text().replace("\na,", "\nb,").splitlines()[1].split(" ", 1)[1]
        running["a"].ssh.known_hosts.write_text(f"a,{running['a'].ssh.address} {taken}\n")
        refused = subprocess.run(plain, capture_output=True, text=True, check=False)
        assert refused.returncode == 255
        assert "Host key verification failed" in refused.stderr


@on_machines
def test_off_and_on_again(tmp_path: Path) -> None:
    """A deployment that meets a host that is down, or one that comes back, is only tested where that is true."""
    with machines([MachineSpec("a"), MachineSpec("b")], tmp_path) as running:
        machine = running["a"]
        for switch_off in (machine.stop, machine.pull_plug):
            machine.run(f"echo {switch_off.__name__} >/etc/kept && sync")
            switch_off()
            assert machine.state == "off"
            running["b"].run("! ping -c 1 -W 1 a")
            machine.start()
            machine.wait_ready()
            assert machine.state == "running"
            assert machine.run("cat /etc/kept") == f"{switch_off.__name__}\n"
            running["b"].run("ping -c 1 a")
        machine.pull_plug()
        with pytest.raises(ExpectationFailed, match="No route to host|timed out"):  # silent; not "refused"
            machine.run("true")


@on_machines
def test_disks_without_room(tmp_path: Path) -> None:
    """A deployment onto a full disk is only tested where the disk is full, and the rest of the host still lives."""
    specs = [MachineSpec("a", small=(("/opt", MIB),)), MachineSpec("b", disk_bytes=8 * MIB)]
    with machines(specs, tmp_path) as running:
        for name, folder in (("a", "/opt"), ("b", "/etc")):
            running[name].run(f"echo fits >{folder}/small")
            with pytest.raises(ExpectationFailed, match=os.strerror(errno.ENOSPC)):
                running[name].run(f"head -c {9 * MIB} /dev/zero >{folder}/large")
            assert running[name].run(f"cat {folder}/small") == "fits\n"
        running["a"].run(f"head -c {9 * MIB} /dev/zero >/etc/large")


@on_machines
def until_killed(tmp_path: Path) -> None:
    """Boot a machine, name its run, and stay."""
    with machines([MachineSpec("a")], tmp_path) as running:
        print(running.group.path.name, flush=True)
        signal.pause()


def test_killed_run(tmp_path: Path) -> None:
    """What a killed run leaves would slow down, or break, every run after it."""
    command = [sys.executable, "-m", "tests.netlab.own_world", __file__, until_killed.__name__, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert select.select((run.stdout,), (), (), PATIENCE_S)[0]
        name = run.stdout.readline().strip()
        run.kill()
        assert run.stdout.read() == ""  # comes when the last process that could write is dead
    assert f"removed control group {name}\n" in swept()
    assert name not in swept()


def swept() -> str:
    """Return what `./invoke lab-sweep` says."""
    return subprocess.run(
        [sys.executable, "-m", "netlab", "sweep"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
