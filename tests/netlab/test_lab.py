"""The laboratory itself: what it builds, what it notices, what it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.handle import RunningLab
from netlab.isolation import command
from tests.netlab.child import run_inside
from tests.netlab.lab_cases import CASES, INVENTORY
from tests.netlab.watched_lab import begin_capture, check_capture, check_impatient_end, check_picture

ROOT = Path(__file__).parents[2]
LIMIT_S = 90  # only reached where something hangs
STRICT = (sys.executable, "-X", "dev", "-W", "error")


def netlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the laboratory as the tasks do."""
    command = [*STRICT, "-m", "netlab", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.mark.parametrize("case", CASES)
def test_inside(case: str, tmp_path: Path) -> None:
    """The instrument that everything else is proven with is wrong itself; each case says how."""
    run_inside("tests.netlab.lab_cases", case, str(tmp_path), limit_s=LIMIT_S)


AWKWARD = """
[fleet]
name = "awkward"
servers = [{ address = "relay.example:9000" }, { address = "203.0.113.9:9000" }]

[cluster.pair]
network = "10.0.1.0/24"
[cluster.pair.member.first]
address = "10.0.1.1"
[cluster.pair.member.second]
address = "10.0.1.2"

[cluster.single]
network = "10.0.1.0/24"
[cluster.single.member.lone]
address = "10.0.1.2"
ciders = ["192.168.7.0/24"]

[lab.host.shed]
behind = "lone"
address = "192.168.7.7"
"""


def test_the_demo_proves_a_member_that_is_alone_in_its_cluster(tmp_path: Path) -> None:
    """A fleet with such a member, with several relays or with equal addresses could not be rehearsed."""
    fleet = tmp_path / "awkward.toml"
    fleet.write_text(AWKWARD)
    done = netlab("demo", "--inventory", str(fleet), "--build", str(tmp_path), "--seconds", "0.2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 surprises, 0 unproven" in done.stdout
    assert "lone is alone in its cluster: the counters of its client and of the relay prove its denials" in done.stdout
    assert "one, which has the addresses and names of all 2 servers of the inventory" in done.stdout


def check_single_probes(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    """See that one probe can be sent in a running laboratory, and is told of."""
    assert command.run(lab, "sh-db", "sh-printer", "udp", as_json=True) == 0
    (passed,) = json.loads(capsys.readouterr().out)["probes"]
    assert (passed["kind"], passed["as_expected"]) == ("udp", True)
    assert "  last seen   sh-printer:eth0, 1 packet" in passed["lines"]
    assert command.run(lab, "bj-dev", "sh-db", "udp", as_json=False) == 0
    assert "no-route +1" in capsys.readouterr().out
    assert command.run(lab, "bj-dev", "sh-dbb", "udp", as_json=False) == 2
    assert "did you mean sh-db?" in capsys.readouterr().err


def test_a_laboratory_stays_up_until_it_is_taken_down(
    lab: RunningLab, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """People could not play with it, or look at it, or it stayed for ever."""
    name = lab.name
    capture = begin_capture(name, tmp_path / "watched.pcapng")
    document = json.loads(netlab("status", "--name", name, "--json").stdout)
    states = {node["node"]: node["rustun"]["state"] for node in document["nodes"] if node["role"] == "member"}
    assert states == dict.fromkeys(("bj-office-gw", "bj-dev", "sh-office-gw", "sh-db"), "online")
    inside = netlab("exec", "--name", name, "sh-printer", "--", "cat", "/proc/net/dev")
    assert "eth0" in inside.stdout
    assert "rustun0" not in inside.stdout
    assert netlab("exec", "--name", name, "bj-dev", "--", "sh", "-c", "exit 7").returncode == 7
    several = netlab("exec", "--name", name, "--json", "beijing/*", "--", "sh", "-c", "cat /proc/net/dev; test -e /x")
    ran = {one["node"]: one for one in json.loads(several.stdout)["nodes"]}
    assert (several.returncode, sorted(ran)) == (5, ["bj-dev", "bj-office-gw"])
    assert all(one["code"] == 1 and "rustun0" in one["stdout"] for one in ran.values())
    told = netlab("exec", "--name", name, "role:host,server", "--", "echo", "here").stdout.splitlines()
    assert sorted(told) == ["server     | here", "sh-printer | here"]
    check_single_probes(name, capsys)
    check_picture(name)
    again = netlab("up", "--inventory", str(INVENTORY), "--name", name)
    assert (again.returncode, "is up already" in again.stderr) == (2, True)
    check_impatient_end(name, tmp_path / "ended.pcapng")
    down = netlab("down", "--name", name)
    assert (down.returncode, "clean" in down.stdout) == (0, True), down.stdout + down.stderr
    assert netlab("status", "--name", name).returncode == 2
    check_capture(capture, tmp_path / "watched.pcapng")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("demo", "--inventory", "missing.toml"), "missing.toml"),
        (("bench", "--only", "tcp-9"), "rows: tcp-1"),
        (("exec", "--name", "no-such-lab", "bj-dev", "--", "true"), "lab"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: tuple[str, ...], found: str) -> None:
    """People would get a traceback, and scripts the wrong exit code."""
    done = netlab(*arguments)
    assert done.returncode == 2, done.stderr
    assert found in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_tries_everything_and_makes_nothing() -> None:
    """People with a kernel that lacks something would learn it from an error in the middle of a run."""
    before = Path("/proc/net/dev").read_text().count(":")
    done = netlab("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    states = {one["name"]: one["state"] for one in document["facilities"]}
    needed = ("TUN device", "namespaces", "TUN in a namespace", "veth", "bridge", "nft NAT", "nft egress", "AF_PACKET")
    assert (document["can_run"], {states[name] for name in needed}) == (True, {"ok"})
    assert all(one["why"] and one["mend"] for one in document["facilities"] if one["state"] != "ok")
    assert Path("/proc/net/dev").read_text().count(":") == before
