"""Deployments that go wrong on real machines: each host is as it was, or as wished, and the report says which."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from netlab.machines.network import MachineSpec
from netlab.machines.running import Machines, machines
from tests.machines.station import Station, results
from tests.machines.world import on_machines

MIB = 1 << 20
STATE = "readlink /opt/rustun/current; cd /etc/rustun; find . -type f | sort | xargs sha256sum; systemctl is-active {}"


def state(running: Machines, name: str) -> str:
    """Return what a host runs, and from which files."""
    unit = "rustun-server" if name == "server" else f"rustun-client@{name}"
    return running[name].run(STATE.format(unit))


@on_machines
def test_faults(tmp_path: Path) -> None:
    """A host would be left half way, or the whole fleet down."""
    station = Station(tmp_path)
    specs = [MachineSpec("server"), MachineSpec("bj-a"), MachineSpec("bj-b", small=(("/opt", MIB),))]
    with machines(specs, tmp_path) as running:
        no_room(station, running)
        running["bj-b"].run("umount /opt")
        assert station.invoke("deploy", "--yes")[0] == 0
        broken_release(station, running)
        edited_by_hand(station, running)
        killed(station, running)
        host_down(station, running)
        going_back(station, running)


def no_room(station: Station, running: Machines) -> None:
    """A host with a full disk is named and not touched; the others are deployed."""
    code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (5, {"server": ["done"], "bj-a": ["done"], "bj-b": ["unfit"]}), report
    assert "no room: /opt/rustun has" in next(host["reason"] for host in report["hosts"] if host["result"] == "unfit")
    running["bj-b"].run("! test -e /etc/rustun && ! test -e /var/lib/rustun")


def broken_release(station: Station, running: Machines) -> None:
    """A release that does not work reaches one member, which runs the old one again."""
    before = {name: state(running, name) for name in ("server", "bj-a", "bj-b")}
    module = station.checkout / "rustun" / "cli" / "connect.py"  # the client; its version is told elsewhere
    good = module.read_text()
    module.write_text(good + 'raise SystemExit("this release is broken")\n')
    code, report = station.invoke("deploy", "--yes")
    module.write_text(good)
    assert (code, results(report)) == (5, {"bj-a": ["failed"], "bj-b": ["not begun"], "server": ["not begun"]}), report
    failed = report["hosts"][0]
    assert "this release is broken" in "".join(failed["log"])
    assert failed["put_back_problem"] == ""
    assert {name: state(running, name) for name in before} == before


def edited_by_hand(station: Station, running: Machines) -> None:
    """What somebody changed on a host is told, and put right."""
    running["bj-a"].run("echo '# mine' >>/etc/rustun/client-bj-a.toml; chmod 644 /etc/rustun/secrets/members/bj-a.key")
    code, plan = station.invoke("plan", "--check")
    notes = [note for host in plan["hosts"] for visit in host["visits"] for note in visit["notes"]]
    key = "/etc/rustun/secrets/members/bj-a.key has other rights on the host: 0644 root:root"
    assert (code, notes) == (3, ["/etc/rustun/client-bj-a.toml was edited on the host", key])
    assert station.invoke("deploy", "--yes")[0] == 0
    assert station.invoke("plan", "--check")[0] == 0


def killed(station: Station, running: Machines) -> None:
    """A deployment that is killed while a host is under way leaves it before or after; the next one goes on."""
    station.edit('address = "10.0.1.1"', 'address = "10.0.1.1"\nmtu = 1400')
    before = state(running, "bj-a")
    command = station.command("deploy", "--yes")
    with subprocess.Popen(
        command, cwd=station.checkout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("bj-a: put ") for line in process.stderr)
        process.send_signal(signal.SIGKILL)
    running["bj-a"].run("flock /var/lib/rustun/deploy/lock true")  # it ends by itself what it began
    assert state(running, "bj-a") != before
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1400'")
    code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {}), report


def host_down(station: Station, running: Machines) -> None:
    """A host that is off holds up nobody, and gets its files when it is back."""
    running["bj-a"].stop()
    station.edit("mtu = 1400", "mtu = 1300")
    code, report = station.invoke("deploy", "--yes")
    assert (code, report["hosts"], list(report["unreachable"])) == (5, [], ["root@bj-a"])
    running["bj-a"].start()
    running["bj-a"].wait_ready()
    code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {"bj-a": ["done"]}), report
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1300'")


def going_back(station: Station, running: Machines) -> None:
    """An earlier deployment comes back from what hosts kept."""
    code, report = station.invoke("rollback", "--yes")
    assert (code, results(report)) == (0, {"bj-a": ["done"]}), report
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1400'")
