"""The units on real machines: what systemd lets a server and its clients do, and what it does for them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlab.machines.machine import Machine
from netlab.machines.network import MachineSpec
from netlab.machines.running import machines
from rustun.ops.deploy.far.release import unpack
from rustun.ops.deploy.wheelhouse import Wheelhouse
from rustun.ops.inventory import load_inventory
from rustun.ops.keyring import gather
from rustun.ops.render import plan_render, write_plan
from rustun.ops.units import PROGRAM, SERVER_UNIT, client_unit, units
from tests.machines.world import BOOKWORM, on_machines
from tests.netlab.child import ROOT

FLEET = """
[fleet]
name = "units"
servers = [{ address = "198.18.0.1:443" }]
[cluster.a]
network = "10.0.1.0/24"
[cluster.a.member.gw]
ciders = ["192.168.10.0/24"]
names = "hosts"
key = [1, 2]
[cluster.a.member.relay]
"""
RELEASE = "/opt/rustun/releases/1"
SITE = f"{RELEASE}/lib/python3.11/site-packages"
MAKE_RELEASE = f"""
python3 -m venv --without-pip {RELEASE}
printf '#!{RELEASE}/bin/python3\\nfrom rustun.cli import main\\nmain()\\n' >{PROGRAM}
chmod 755 {PROGRAM}
python3 -m compileall -q {SITE}/rustun {SITE}/click {SITE}/cryptography {SITE}/pyroute2
ln -s {PROGRAM} /usr/local/bin/rustun
chown -R root:root /etc/rustun /etc/systemd/system
systemctl daemon-reload
"""
MAKE_USER = """
useradd --system --user-group --no-create-home rustun
chgrp rustun /etc/rustun/secrets /etc/rustun/secrets/server.key
chmod 750 /etc/rustun/secrets
chmod 640 /etc/rustun/secrets/server.key
"""
PATIENCE_S = 20  # only reached where something does not come
GW, RELAY = client_unit("gw"), client_unit("relay")


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Machine, Machine]]:
    """Boot a host for a server and a member, and one for a gateway, with all that a deployment puts there."""
    inventory, build = folder / "fleet.toml", folder / "build"
    inventory.write_text(FLEET)
    fleet = load_inventory(inventory)
    write_plan(plan_render(fleet, build))
    with machines([MachineSpec("server"), MachineSpec("gw")], folder) as running:
        for machine in running:
            root = machine.disk.root
            shutil.copytree(build, root / "etc/rustun", ignore=shutil.ignore_patterns("units"))
            for name, text in units(gather(fleet, build)).items():
                place = root / "etc/systemd/system" / name
                place.parent.mkdir(mode=0o755, exist_ok=True)
                place.write_text(text)
            house = Wheelhouse(ROOT)
            for name, digest in house.release(BOOKWORM).wheels:
                unpack(name, str(house.content(name, digest)), f"{root}{SITE}")
            (root / "opt/rustun/current").symlink_to("releases/1")
            machine.run(MAKE_RELEASE)
        server, gateway = running
        server.run(MAKE_USER)
        yield server, gateway


def show(machine: Machine, unit: str, name: str) -> str:
    return machine.run(f"systemctl show --value --property={name} {unit}").strip()


def wait(machine: Machine, condition: str) -> None:
    """Wait until a command succeeds there."""
    machine.run(f"timeout {PATIENCE_S} sh -c 'until {condition}; do sleep 0.1; done'")


def online(machine: Machine, count: int) -> None:
    """Wait until that many members are online at the server."""
    wait(machine, f'rustun status | grep -q "{count} of 2 members online"')


def set_aside(machine: Machine, unit: str, *lines: str) -> None:
    """Put a drop-in beside a unit; it counts from the next start."""
    text = "\n".join(("[Service]", *lines, ""))
    machine.run(f"mkdir -p /run/systemd/system/{unit}.d && cat >/run/systemd/system/{unit}.d/test.conf", text=text)
    machine.run("systemctl daemon-reload")


@on_machines
def test_services(tmp_path: Path) -> None:
    """A unit does not start where systemd holds it to its word, or leaves a host as no deployment wants it."""
    with two_hosts(tmp_path) as (server, gateway):
        server.run(f"systemctl start {SERVER_UNIT} {RELAY}")
        gateway.run(f"systemctl start {GW}")
        online(server, 2)
        a_sandbox_holds_what_it_should(server, gateway)
        reloads_end_when_all_is_read(server, gateway)
        a_restart_brings_everybody_back(server)
        a_service_that_hangs_is_replaced(server, gateway)
        a_hosts_file_may_be_replaced(gateway)
        a_killed_client_leaves_nothing(gateway)
        the_user_may_stand_in_both_places(server)


def a_sandbox_holds_what_it_should(server: Machine, gateway: Machine) -> None:
    assert "10.0.1.2 relay.rustun" in gateway.run("cat /etc/hosts")
    gateway.run("ping -c 1 10.0.1.2 && nft list table inet rustun-rustun0")
    assert gateway.run("cat /proc/sys/net/ipv4/conf/rustun0/forwarding") == "1\n"
    inside = f"nsenter --mount --target {show(gateway, GW, 'MainPID')} sh -c"
    assert gateway.run(f"{inside} 'ls /etc/rustun/secrets /etc/ssh; cat /etc/shadow; touch /etc/x || echo no'") == (
        "/etc/rustun/secrets:\n\n/etc/ssh:\nno\n"
    )
    assert f"/run/credentials/{GW}/gw@2.key" in gateway.run(f"journalctl --unit={GW}")
    assert "gw is online" in server.run("journalctl RUSTUN_EVENT=session-up RUSTUN_IDENTITY=gw --output=cat")
    assert gateway.run("journalctl RUSTUN_EVENT=online --output=json | grep -c RUSTUN_SERVER") == "1\n"
    rights = server.run(f"grep -E '^(Uid|Cap(Prm|Bnd))' /proc/{show(server, SERVER_UNIT, 'MainPID')}/status").split()
    assert rights[1] != "0" and rights[5:] == ["CapPrm:", f"{1 << 10:016x}", "CapBnd:", f"{1 << 10:016x}"]
    assert server.run("cd /run/rustun && stat --format='%U:%G %a %n' . *").splitlines() == [
        "root:rustun 3775 .",
        "root:rustun 660 client-rustun0.sock",
        "rustun:rustun 660 server.sock",
    ]
    assert gateway.run("stat --format='%U:%G %a' /run/rustun/*") == "root:root 600\n", "a host without the group"


def reloads_end_when_all_is_read(server: Machine, gateway: Machine) -> None:
    for machine, unit, said in ((server, SERVER_UNIT, "keys and tiers of"), (gateway, GW, "connected to")):
        process, count = show(machine, unit, "MainPID"), f'journalctl --unit={unit} | grep -c "{said}"'
        before = int(machine.run(f"{count} || true"))
        machine.run(f"systemctl reload {unit}")
        assert (show(machine, unit, "ActiveState"), show(machine, unit, "MainPID")) == ("active", process)
        wait(machine, f"[ $({count}) -gt {before} ]")
    online(server, 2)


def a_restart_brings_everybody_back(server: Machine) -> None:
    """Where the machine has nothing else to do this takes 1.1 s; other tests may run beside this one."""
    server.run(f"systemctl restart {SERVER_UNIT}")
    online(server, 2)


def a_service_that_hangs_is_replaced(server: Machine, gateway: Machine) -> None:
    hanging = ((server, SERVER_UNIT), (gateway, GW))
    for machine, unit in hanging:
        set_aside(machine, unit, "WatchdogSec=1", "RestartSec=0")
        machine.run(f"systemctl restart {unit}")
    processes = [show(machine, unit, "MainPID") for machine, unit in hanging]
    for (machine, _), process in zip(hanging, processes, strict=True):
        machine.run(f"kill -STOP {process}")
    for (machine, unit), process in zip(hanging, processes, strict=True):
        wait(machine, f"systemctl show {unit} | grep -q NRestarts=1 && systemctl is-active --quiet {unit}")
        log = machine.run(f"journalctl --unit={unit}")
        assert "Failed with result 'watchdog'" in log
        assert "/backends/reactor.py" in log, "where it hung"
        assert show(machine, unit, "MainPID") != process
    online(server, 2)


def a_hosts_file_may_be_replaced(gateway: Machine) -> None:
    """A new file in the place of the one that the unit lets it write: the kernel takes that right away."""
    gateway.run(f"sed -i '/relay.rustun/d' /etc/hosts && systemctl reload {GW}")
    wait(gateway, 'rustun status | grep -q "/etc/hosts cannot be written: Read-only file system"')


def a_killed_client_leaves_nothing(gateway: Machine) -> None:
    set_aside(gateway, GW, "Restart=no")
    gateway.run(f"systemctl kill --kill-whom=main --signal=KILL {GW}")
    wait(gateway, f"systemctl is-failed --quiet {GW}")
    assert gateway.run("nft list tables; grep rustun /etc/hosts; ls /run/rustun /sys/class/net") == (
        "/run/rustun:\nclient-rustun0.sock\n\n/sys/class/net:\neth0\neth1\nlo\n"
    )
    gateway.run(f'systemctl start {GW} && systemctl stop {GW} && [ -z "$(ls /run/rustun)" ]')
    assert show(gateway, GW, "Result") == "success"


def the_user_may_stand_in_both_places(server: Machine) -> None:
    named = 's/^listen_addr/user = "rustun"\\n&/'
    server.run(f"sed -i '{named}' /etc/rustun/server.toml && systemctl restart {SERVER_UNIT}")
    assert "for good" in server.run(f"journalctl --unit={SERVER_UNIT}")
    rights = server.run(f"grep ^CapPrm /proc/{show(server, SERVER_UNIT, 'MainPID')}/status").split()
    assert rights == ["CapPrm:", "0" * 16]
