"""Deployments that go wrong on real machines: each host is as it was, or as wished, and the report says which."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from netlab.machines.network import MachineSpec
from netlab.machines.running import Machines, machines
from tests.machines.test_deploy import INVENTORY, edit, invoke, results
from tests.machines.world import on_machines
from tests.netlab.child import ROOT

MIB = 1 << 20
COPIED = ("rustun", "netlab", "templates", "tasks.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
STATE = "readlink /opt/rustun/current; cd /etc/rustun; find . -type f | sort | xargs sha256sum; systemctl is-active {}"


def state(running: Machines, name: str) -> str:
    """Return what a host runs, and from which files."""
    unit = "rustun-server" if name == "server" else f"rustun-client@{name}"
    return running[name].run(STATE.format(unit))


def broken_checkout(folder: Path) -> Path:
    """Return a copy of the project whose client ends at its start, though it tells its version."""
    copy = folder / "checkout"
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, copy / name, ignore=ignore) if source.is_dir() else shutil.copyfile(source, copy / name)
    (copy / "build").mkdir()
    shutil.copytree(ROOT / "build" / "wheels", copy / "build" / "wheels")
    module = copy / "rustun" / "cli" / "connect.py"
    module.write_text(module.read_text() + 'raise SystemExit("this release is broken")\n')
    return copy


@on_machines
def test_faults(tmp_path: Path) -> None:
    """A host would be left half way, or the whole fleet down."""
    (tmp_path / "acme.toml").write_text(INVENTORY)
    specs = [MachineSpec("server"), MachineSpec("bj-a"), MachineSpec("bj-b", small=(("/opt", MIB),))]
    with machines(specs, tmp_path) as running:
        no_room(tmp_path, running)
        running["bj-b"].run("umount /opt")
        assert invoke(tmp_path, "deploy", "--yes")[0] == 0
        broken_release(tmp_path, running)
        edited_by_hand(tmp_path, running)
        killed(tmp_path, running)
        host_down(tmp_path, running)
        going_back(tmp_path, running)


def no_room(folder: Path, running: Machines) -> None:
    """A host with a full disk is named and not touched; the others are deployed."""
    code, report = invoke(folder, "deploy", "--yes")
    assert (code, results(report)) == (5, {"server": ["done"], "bj-a": ["done"], "bj-b": ["unfit"]}), report
    assert "no room: /opt/rustun has" in next(host["reason"] for host in report["hosts"] if host["result"] == "unfit")
    running["bj-b"].run("! test -e /etc/rustun && ! test -e /var/lib/rustun")


def broken_release(folder: Path, running: Machines) -> None:
    """A release that does not work reaches one member, which runs the old one again."""
    before = {name: state(running, name) for name in ("server", "bj-a", "bj-b")}
    code, report = invoke(folder, "deploy", "--yes", checkout=broken_checkout(folder))
    assert (code, results(report)) == (5, {"bj-a": ["failed"], "bj-b": ["not begun"], "server": ["not begun"]}), report
    failed = report["hosts"][0]
    assert "this release is broken" in "".join(failed["log"])
    assert failed["put_back_problem"] == ""
    assert {name: state(running, name) for name in before} == before


def edited_by_hand(folder: Path, running: Machines) -> None:
    """What somebody changed on a host is told, and put right."""
    running["bj-a"].run("echo '# mine' >>/etc/rustun/client-bj-a.toml; chmod 644 /etc/rustun/secrets/members/bj-a.key")
    code, plan = invoke(folder, "plan", "--check")
    notes = [note for host in plan["hosts"] for visit in host["visits"] for note in visit["notes"]]
    key = "/etc/rustun/secrets/members/bj-a.key has other rights on the host: 0644 root:root"
    assert (code, notes) == (3, ["/etc/rustun/client-bj-a.toml was edited on the host", key])
    assert invoke(folder, "deploy", "--yes")[0] == 0
    assert invoke(folder, "plan", "--check")[0] == 0


def killed(folder: Path, running: Machines) -> None:
    """A deployment that is killed while a host is under way leaves it before or after; the next one goes on."""
    edit(folder, 'address = "10.0.1.1"', 'address = "10.0.1.1"\nmtu = 1400')
    before = state(running, "bj-a")
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), "deploy", "--yes"]
    command += ["--inventory", str(folder / "acme.toml"), "--out", str(folder / "build")]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith("bj-a: put ") for line in process.stderr)
        process.send_signal(signal.SIGKILL)
    running["bj-a"].run("flock /var/lib/rustun/deploy/lock true")  # it ends by itself what it began
    assert state(running, "bj-a") != before
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1400'")
    code, report = invoke(folder, "deploy", "--yes")
    assert (code, results(report)) == (0, {}), report


def host_down(folder: Path, running: Machines) -> None:
    """A host that is off holds up nobody, and gets its files when it is back."""
    running["bj-a"].stop()
    edit(folder, "mtu = 1400", "mtu = 1300")
    code, report = invoke(folder, "deploy", "--yes")
    assert (code, report["hosts"], list(report["unreachable"])) == (5, [], ["root@bj-a"])
    running["bj-a"].start()
    running["bj-a"].wait_ready()
    code, report = invoke(folder, "deploy", "--yes")
    assert (code, results(report)) == (0, {"bj-a": ["done"]}), report
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1300'")


def going_back(folder: Path, running: Machines) -> None:
    """An earlier deployment comes back from what hosts kept."""
    code, report = invoke(folder, "rollback", "--yes")
    assert (code, results(report)) == (0, {"bj-a": ["done"]}), report
    running["bj-a"].run("ip link show rustun0 | grep -q 'mtu 1400'")
