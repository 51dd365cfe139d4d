"""A client's web process beside a real tunnel: the seed's pages, asked while packets flow."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from netlab.configuration import configure, load
from netlab.lab import Files, Laboratory
from tests.netlab.own_world import in_own_world

FLEET = """
[fleet]
name = "small"
servers = [{ address = "203.0.113.9:9000" }]
[cluster.two]
network = "10.0.1.0/24"
[cluster.two.member.first]
[cluster.two.member.second]
name = "The second"
ciders = ["192.168.7.0/24"]
"""
PORT = 8081
PATIENCE_S = 20.0
LOOKS = 10
PAYLOAD = bytes(1000)
BURST, PAUSE_S = 20, 0.005
SELF = {
    "identity": "first", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "gateway": "", "ciders": [], "ipv6": "",
    "port": 0, "stun_ip": "", "stun_port": 0,
}  # fmt: skip
PEER = {
    "name": "The second", "identity": "second", "private_ip": "10.0.1.2", "ciders": ["192.168.7.0/24"], "ipv6": None,
    "ipv6_port": None, "stun_ip": None, "stun_port": None,
}  # fmt: skip
COUNTED = {  # the seed's name of what our status counts
    ("traffic", "receive_bytes"): "received_bytes",
    ("traffic", "send_bytes"): "sent_bytes",
    ("relay", "rx_frames"): "received_packets",
    ("relay", "tx_frames"): "sent_packets",
}


def page(lab: Laboratory, node: str, path: str) -> dict[str, Any]:
    """Return what a node's own port answers."""

    def ask() -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=PATIENCE_S) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    return lab.namespaces[node].run(ask)


def peers(lab: Laboratory) -> list[dict[str, Any]]:
    """Return what the first member shows of the others."""
    shown: list[dict[str, Any]] = page(lab, "first", "/status")["cluster_peers"]
    return shown


def answers(lab: Laboratory, node: str) -> bool:
    """Say whether somebody listens there."""
    try:
        return bool(page(lab, node, "/health"))
    except urllib.error.URLError:
        return False


@contextmanager
def traffic(lab: Laboratory) -> Iterator[None]:
    """Send datagrams both ways as long as this lasts."""
    stopped = threading.Event()

    def send(to: str) -> Callable[[], None]:
        def work() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                while not stopped.wait(PAUSE_S):
                    for _ in range(BURST):
                        sender.sendto(PAYLOAD, (to, 9))

        return work

    ways = [
        threading.Thread(target=lab.namespaces[node].run, args=(send(to),))
        for node, to in (("first", "10.0.1.2"), ("second", "10.0.1.1"))
    ]
    for way in ways:
        way.start()
    try:
        yield
    finally:
        stopped.set()
        for way in ways:
            way.join()


def is_true_now(lab: Laboratory) -> dict[str, Any]:
    """Return /status, which has to be what the tunnel says of itself between just before and just after."""
    before = lab.status("first")
    shown = page(lab, "first", "/status")
    after = lab.status("first")
    assert before is not None and after is not None
    for (part, key), own in COUNTED.items():
        assert before[own] <= shown[part][key] <= after[own], key
    for key in ("receive_bytes", "send_bytes"):
        assert shown["traffic"][f"{key}_mb"] == shown["traffic"][key] / (1 << 20)
    return shown


def has_no_power(node_process: int) -> None:
    """Fail where the web process of a client kept what its parent may."""
    children = Path(f"/proc/{node_process}/task/{node_process}/children").read_text().split()
    [web] = [pid for pid in children if "rustun.web" in Path(f"/proc/{pid}/cmdline").read_text()]
    facts = dict(line.split(":\t", 1) for line in Path(f"/proc/{web}/status").read_text().splitlines() if ":\t" in line)
    assert (int(facts["CapEff"], 16), int(facts["CapPrm"], 16), facts["NoNewPrivs"]) == (0, 0, "1")


@in_own_world
def test_the_seeds_pages_tell_the_truth_while_traffic_runs(tmp_path: Path) -> None:
    """A tool that watches the seed's client reads zeros, or what was true a while ago, or finds a field missing."""
    source = tmp_path / "small.toml"
    source.write_text(FLEET)
    made = configure(source, load(source), tmp_path / "small")
    files = Files(made.folder, tmp_path / "logs", Path("/run/small"))
    lab = Laboratory(made.spec, files, client_options=("--http-port", str(PORT)))
    lab.start()
    lab.wait_until(lambda: answers(lab, "first"), "the seed's pages are not there")
    assert page(lab, "first", "/health") == {"status": "ok", "service": "rustun-client"}
    has_no_power(lab.processes["first"].pid)
    lab.wait_until(lambda: [peer["status"] for peer in peers(lab)] == ["online"], "the other never comes")
    with traffic(lab):
        first, *_, last = [is_true_now(lab) for _ in range(LOOKS)]
    for part, key in COUNTED:
        assert first[part][key] < last[part][key], key
    assert last.keys() == {"self_info", "traffic", "relay", "p2p", "cluster_peers"}
    assert (last["self_info"], last["p2p"]) == (SELF, {"enabled": False, "peers": []}), last
    assert last["relay"].keys() == {"rx_frames", "rx_errors", "tx_frames", "tx_errors"}
    [peer] = last["cluster_peers"]
    assert peer == {**PEER, "last_active": peer["last_active"], "status": "online"}, peer
    assert abs(time.time() - peer["last_active"]) < PATIENCE_S
    assert lab.stop(["second"]) == []
    gone = {**PEER, "last_active": 0, "status": "offline"}
    lab.wait_until(lambda: peers(lab) == [gone], "its absence is not shown")
    assert lab.stop(["first"]) == []
    with pytest.raises(urllib.error.URLError, match="refused"):
        page(lab, "first", "/health")
    assert lab.close() == []
