"""Deployments to real machines, over real ssh, to a real systemd, while packets run: who notices, and for how long.

Rules of this module
  1. Echoes run both ways between two members during every step, and one TCP connection during all of them.
  2. What a step prints are the figures of docs/deploy.md: run as a program of its own it shows them.
  3. A member's gap is from the stop of its service to its new session. Machines that restart at once share the
     processors here, which hosts do not: at worst they come one after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from netlab.machines.machine import Machine
from netlab.machines.network import MachineSpec
from netlab.machines.running import Machines, machines
from netlab.worlds.traffic import Echoes, Pings, Transfer
from tests.machines.station import Station, replace, results
from tests.machines.world import on_machines

ADDRESSES = {"bj-a": "10.0.1.1", "bj-b": "10.0.1.2", "bj-c": "10.0.1.3"}
WATCHED = ("bj-a", "bj-b")
THIRD = """
[cluster.beijing.member.bj-c]
ssh = "root@bj-c"
address = "10.0.1.3"
"""
PING_INTERVAL_S = 0.05
BLOCK_INTERVAL_S = 0.02  # 6.5 Mbit/s
LATE_S = 0.5  # an echo that takes longer is lost
GAP_S = 2.0  # the promise: so soon is a member back whose service restarts
CHANGE_S = 10.0  # the promise: so long takes one changed member
SESSIONS = "/opt/rustun/current/bin/rustun status --json"
KEYS = ("public_key", "server_public_key")  # with which a session was made
PATIENCE_S = 20  # only reached where something does not come
ASK = "python3 /tmp/ask.py"
ASK_PROGRAM = """
import sys, urllib.request
headers = {"Authorization": "Bearer " + open("/etc/rustun/secrets/dashboard.token").read().strip()}
asked = urllib.request.Request("http://127.0.0.1:" + sys.argv[1], headers=headers)
sys.stdout.write(urllib.request.urlopen(asked, timeout=5).read().decode())
"""
TOUCHED = """
systemctl show --property=MainPID,ActiveEnterTimestampMonotonic,StateChangeTimestampMonotonic {unit}
find /etc/rustun /etc/systemd/system /opt/rustun /var/lib/rustun/deploy -printf '%p %T@ %C@\\n' | sort
"""


@dataclass
class Seen:
    """What two members saw of each other during a step, and how long that took; complete when it is over."""

    seconds: float = 0.0
    echoes: dict[str, Echoes] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Echoes that never came back."""
        return sum(len(one.missing) for one in self.echoes.values())

    @property
    def silence(self) -> float:
        """The longest time without an echo, in seconds."""
        return max(one.silence for one in self.echoes.values())


@contextmanager
def seen(running: Machines, step: str) -> Iterator[Seen]:
    """Have two members ping each other while something is done; tell what they saw of it."""
    found = Seen()
    with ExitStack() as stack:
        ways = {f"{name} to {other}": (name, other) for name, other in (WATCHED, WATCHED[::-1])}
        pings = {
            way: stack.enter_context(Pings(running[name].namespace, ADDRESSES[other], PING_INTERVAL_S))
            for way, (name, other) in ways.items()
        }
        began = monotonic()
        yield found
        found.seconds = monotonic() - began
        found.echoes = {way: one.stop(LATE_S) for way, one in pings.items()}
    print(f"{step}: {found.seconds:.1f} s, {found.lost} echoes lost, longest silence {found.silence:.2f} s", flush=True)


def gaps(machine: Machine) -> list[float]:
    """Return for how long a member had no session, each time when its service was stopped, in seconds."""
    log = machine.run(f"journalctl --no-pager -o short-unix --unit=rustun-client@{machine.name}").splitlines()
    stopped = [float(line.split()[0]) for line in log if ": Stopping rustun-client" in line]
    connected = [float(line.split()[0]) for line in log if "connected to" in line]
    return [next(time for time in connected if time > stop) - stop for stop in stopped]


def last_gaps(running: Machines, count: int) -> dict[str, float]:
    """Return the gaps of the members that were restarted last; each was `count` times in all."""
    found = {name: gaps(running[name]) for name in ADDRESSES}
    assert {name: len(of) for name, of in found.items()} == dict.fromkeys(ADDRESSES, count)
    print(", ".join(f"{name} back after {of[-1]:.2f} s" for name, of in found.items()), flush=True)
    return {name: of[-1] for name, of in found.items()}


def at_once(count: int) -> float:
    """Return how long the gap may be of machines of which so many restart at the same time (rule 3)."""
    return GAP_S * count


def sessions(running: Machines, *keys: str) -> dict[str, list[str]]:
    """Return what the server tells of each member's session."""
    document = json.loads(running["server"].run(SESSIONS))
    return {one["identity"]: [one[key] for key in keys] for one in document["sessions"]}


def touched(running: Machines) -> dict[str, str]:
    """Return what changes where a deployment touches one of the two members, and their connections to the server."""
    remotes = {name: found[0] for name, found in sessions(running, "remote").items()}
    units = {name: f"rustun-client@{name}" for name in WATCHED}
    return {name: running[name].run(TOUCHED.format(unit=unit)) + remotes[name] for name, unit in units.items()}


def server_process(running: Machines) -> str:
    return running["server"].run("systemctl show -P MainPID rustun-server")


@on_machines
def test_a_fleet_from_nothing_to_nothing(tmp_path: Path) -> None:
    """What works against hosts in memory would not work on hosts, or would interrupt those who work there."""
    station = Station(tmp_path)
    with machines([MachineSpec(name) for name in ("server", *ADDRESSES)], tmp_path) as running:
        a_fleet_from_nothing(station, running)
        ends = [running[name].namespace for name in WATCHED]
        with Transfer(ends[0], ends[1], ADDRESSES[WATCHED[1]], BLOCK_INTERVAL_S) as stream:
            a_member_is_added(station, running)
            one_member_is_changed(station, running)
            all_keys_are_exchanged(station, running)
            everybody_gets_a_new_release(station, running)
            a_member_is_removed(station, running)
            sent, received = stream.stop()
        assert sent == received


def a_fleet_from_nothing(station: Station, running: Machines) -> None:
    code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {"server": ["done"], "bj-a": ["done"], "bj-b": ["done"]}), report
    running["bj-a"].run("ping -c 1 -W 5 10.0.1.2")
    code, report = station.invoke("deploy", "--yes")
    assert (code, report["hosts"], len(report["unchanged"])) == (0, [], 3)


def a_member_is_added(station: Station, running: Machines) -> None:
    before = touched(running)
    station.inventory.write_text(station.inventory.read_text() + THIRD)
    with seen(running, "a member is added") as found:
        code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {"server": ["done"], "bj-c": ["done"]}), report
    assert found.lost == 0
    assert touched(running) == before
    running["bj-c"].run("ping -c 1 -W 5 10.0.1.1")


def one_member_is_changed(station: Station, running: Machines) -> None:
    before, server = touched(running), server_process(running)
    station.edit('address = "10.0.1.3"', 'address = "10.0.1.3"\nciders = ["192.168.7.0/24"]')
    with seen(running, "one member is changed") as found:
        code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {"server": ["done"], "bj-c": ["done"]}), report
    assert found.seconds < CHANGE_S
    assert found.lost == 0
    assert (touched(running), server_process(running)) == (before, server)
    assert "192.168.7.0/24 dev rustun0" in running["bj-a"].run("ip route")


def all_keys_are_exchanged(station: Station, running: Machines) -> None:
    server, old = server_process(running), sessions(running, *KEYS)
    for step in ("prepare", "switch", "retire"):
        code, report = station.invoke("rotate-keys", "--yes")
        assert code == 0, report
        with seen(running, step) as found:
            code, report = station.invoke("deploy", "--yes")
        assert (code, results(report)) == (0, dict.fromkeys(("server", *ADDRESSES), ["done"])), report
        if step != "prepare":
            assert found.lost == 0
        for name, gap in last_gaps(running, 1).items():
            assert gap < at_once(len(ADDRESSES)), name
    assert all(set(keys).isdisjoint(old[name]) for name, keys in sessions(running, *KEYS).items())
    keys = running["bj-a"].run("ls /etc/rustun/secrets/members"), running["server"].run("ls /etc/rustun/secrets")
    assert keys == ("bj-a@2.key\n", "server@2.key\n")
    assert server_process(running) == server


def everybody_gets_a_new_release(station: Station, running: Machines) -> None:
    replace(station.checkout / "rustun" / "__init__.py", '"0.1.0"', '"0.1.0.post1"')
    station.edit("[fleet]\n", '[fleet]\ndashboard = "127.0.0.1:8081"\nmetrics = "127.0.0.1:9101"\n')
    with seen(running, "a new release") as found:
        code, report = station.invoke("deploy", "--yes")
    visits = [host["names"][0] for host in report["hosts"]]
    assert (code, visits) == (0, ["server", *ADDRESSES, "server"]), "first its configuration, its release last"
    assert last_gaps(running, 2)["bj-a"] < GAP_S, "it went first, alone"
    assert found.silence < at_once(2) + 2 * PING_INTERVAL_S
    code, report = station.invoke("status")
    told = [(row["service"], row["session"], row["version"], row["differences"]) for row in report["hosts"]]
    new = "0.1.0.post1"
    assert (code, told) == (0, [("active", "", new, 0), *[("active", "online", new, 0)] * 3])
    server = running["server"]
    server.run("cat >/tmp/ask.py", text=ASK_PROGRAM)
    figures = f"{ASK} 9101/metrics | grep -q ^rustun_build_info"
    server.run(f"timeout {PATIENCE_S} sh -c 'until {figures}; do sleep 0.1; done'")
    snapshot = json.loads(server.run(f"{ASK} 8081/api/snapshot"))
    assert snapshot["data"]["status"]["online"] == 3
    assert running["bj-a"].run("ls /etc/rustun/secrets") == "members\n", "the token is the servers' alone"


def a_member_is_removed(station: Station, running: Machines) -> None:
    before = touched(running)
    text = station.inventory.read_text()
    station.inventory.write_text(text[: text.index("[cluster.beijing.member.bj-c]")])
    with seen(running, "a member is removed") as found:
        code, report = station.invoke("deploy", "--yes")
    assert (code, results(report)) == (0, {"server": ["done", "done"], "bj-c": ["done"]}), report
    assert found.lost == 0
    assert touched(running) == before
    left = "find /etc/rustun /opt/rustun /etc/systemd/system -name '*rustun*' 2>/dev/null; ls /sys/class/net"
    assert "rustun" not in running["bj-c"].run(f"{left}; true")
