"""docs/status.md, diagnose.md and hosts.md: who asks the tunnel of docs/start.md is shown what stands there."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
import tarfile
from itertools import product
from pathlib import Path
from time import monotonic

from netlab.capture import pcapng
from netlab.processes import NodeProcess
from netlab.topology import SERVER
from tests.netlab.newcomer import DEV, OFFICE, Newcomer
from tests.netlab.own_world import in_own_world
from tests.shown import FIGURES, ROOT, Shown, blocks, fits, played

FOREIGN = "10.9.9.9"
SECOND_ECHO_IS_LOST = """table inet lost {
    chain in { type filter hook input priority filter; iifname rustun0 icmp sequence 2 drop; }
}"""
HANG_S = 20.0


class Asking:
    """Somebody who reads a document at the machines of docs/start.md and types its commands in their order.

    Attributes:
        left: what nobody has typed yet.
    """

    def __init__(self, newcomer: Newcomer, document: str) -> None:
        self._newcomer = newcomer
        self.left = played(document)

    def next(self, beginning: str) -> Shown:
        """Return the next command, which begins like this."""
        shown = self.left.pop(0)
        assert shown.command.startswith(beginning), f"the document says: {shown.command}"
        return shown

    def type(self, node: str, beginning: str, code: int = 0) -> str:
        """Type the next command on a machine: it shows what stands there. Return what it showed."""
        shown = self.next(beginning)
        said = self._newcomer.type(node, shown.command, code)
        assert not shown.output or fits(said, shown.output, FIGURES), f"{said}\n--- does not show\n{shown.output}"
        return said


@in_own_world
def test_what_is_asked_is_answered_as_it_stands_there(tmp_path: Path) -> None:
    """Somebody who looks for a fault by the book sees what stands nowhere in it, and looks for another fault."""
    newcomer = Newcomer(tmp_path)
    newcomer.get_there()
    by_status(newcomer)
    by_ping_and_trace(newcomer)
    by_the_firewall(newcomer)
    assert newcomer.lab.close() == []


def by_status(newcomer: Newcomer) -> None:
    """docs/status.md."""
    asking = Asking(newcomer, "status.md")
    asking.type(SERVER, "sudo rustun status")
    asking.type(DEV, "sudo rustun status")
    table = ROOT.joinpath("docs", "status.md").read_text().split("| `--check` |")[1].partition("\n\n")[0]
    checks = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert checks == ["live", "ready", "connected"]
    for node, check in product((SERVER, DEV), checks):
        newcomer.type(node, f"rustun status --check {check}")
    python, *words = shlex.split(asking.next("python3 -c").command)
    assert python == "python3"
    socket = str(newcomer.lab.control(SERVER))
    words = [word.replace("/run/rustun/server.sock", socket) for word in words]
    calm = [sys.executable, "-W", "ignore::ResourceWarning"]  # what is typed leaves its socket to the end of python3
    assert json.loads(newcomer.run(SERVER, [*calm, *words]))["role"] == "server"
    assert asking.left == []


def by_ping_and_trace(newcomer: Newcomer) -> None:
    """docs/diagnose.md, with a lost echo and packets from an address that nobody gave to their sender."""
    asking = Asking(newcomer, "diagnose.md")
    newcomer.run(OFFICE, ["nft", SECOND_ECHO_IS_LOST])
    asking.type(DEV, "rustun ping", code=1)
    newcomer.run(OFFICE, ["nft", "delete table inet lost"])
    newcomer.run(DEV, ["ip", "address", "add", f"{FOREIGN}/32", "dev", "lo"])
    newcomer.run(DEV, ["ping", "-I", FOREIGN, "-c", "12", "-i", "0.01", "-W", "0.1", "10.0.1.1"], code=1)
    asking.type(SERVER, "rustun trace")
    folder = newcomer.etc(DEV)
    to_a_file, to_a_pipe = (asking.next("sudo rustun capture").command for _ in range(2))
    begun = [
        captures(newcomer, to_a_file, folder / "to-a-file"),
        captures(newcomer, to_a_pipe.partition(" | ")[0], folder / "to-a-pipe", " > pipe.pcapng"),
    ]
    assert to_a_pipe.endswith(" | tcpdump -n -r -")  # which reads what pcapng reads here
    newcomer.run(DEV, ["ping", "-c", "3", "-i", "0.01", "-W", "5", "10.0.1.1"])
    for capture in begun:
        capture.signal(signal.SIGINT)
        assert capture.reap(monotonic() + HANG_S) == 0, capture.last_words()
    for name in ("gw.pcapng", "pipe.pcapng"):
        kept = sum(isinstance(one, pcapng.Packet) for one in pcapng.read(folder / name))
        assert kept == 6, f"{name} holds {kept}"
    asking.type(DEV, "sudo rustun bugreport")
    [archive] = folder.glob("*.tar*")
    with tarfile.open(archive) as report:
        assert any("status" in name for name in report.getnames())
    assert asking.left == []


def captures(newcomer: Newcomer, command: str, log: Path, to: str = "") -> NodeProcess:
    """Type a capture on a member, its output going somewhere else than to a log; return it once it listens."""
    words = ["sh", "-c", f"exec {shlex.join(newcomer.words(DEV, command))}{to}"]
    process = NodeProcess("capture", newcomer.lab.namespaces[DEV], words, newcomer.etc(DEV), log)
    newcomer.lab.wait_until(lambda: "capturing at" in log.read_text(), "the capture did not begin")
    return process


def by_the_firewall(newcomer: Newcomer) -> None:
    """docs/hosts.md, at an office whose host agrees to be a gateway."""
    for what in (
        "link add lan0 type veth peer name lan1",
        "address add 192.168.1.254/24 dev lan0",
        "link set lan0 up",
    ):
        newcomer.run(OFFICE, ["ip", *what.split()])
    agreed = next(text for language, text in blocks(ROOT / "docs" / "hosts.md") if "gateway = " in text)
    client = newcomer.etc(OFFICE) / "client.toml"
    client.write_text(f"{client.read_text()}\n{agreed}")
    newcomer.lab.processes[OFFICE].signal(signal.SIGHUP)
    asking = Asking(newcomer, "hosts.md")
    nft = asking.next("nft list chain").command.split()
    newcomer.lab.wait_until(lambda: "192.168.1.0/24" in newcomer.run(OFFICE, nft, None), "nobody is let into the LAN")
    assert asking.left == []
