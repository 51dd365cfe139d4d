"""Whoever reads docs/start.md and types it on wired machines: a relay and two members, as that page has them.

Rules of this module
  1. /etc/rustun is a folder of each machine's own, and is called /etc/rustun again in what is shown.
  2. The machines share one /run, so what runs and what asks is told its control socket besides; nothing else is added
     to what a page says.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from ipaddress import ip_interface, ip_network
from pathlib import Path

from netlab.lab import Files, Laboratory
from netlab.processes import NodeProcess, environment
from netlab.topology import SERVER, LabSpec, MemberSpec
from tests.netlab.child import ROOT
from tests.shown import blocks, played

DOCUMENT = ROOT / "docs" / "start.md"
RELAY = "192.0.2.100"  # as the document has it
OFFICE, DEV = "bj-office-gw", "bj-dev"
MEMBERS = (
    MemberSpec(OFFICE, "beijing", (ip_interface("10.0.1.1/24"),), (ip_network("192.168.1.0/24"),), OFFICE),
    MemberSpec(DEV, "beijing", (ip_interface("10.0.1.2/24"),), (), DEV),
)
SERVE = "sudo rustun serve /etc/rustun/server.toml"
HANG_S = 60
KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
ASKING = ("status", "ping", "trace", "capture", "bugreport", "top")


class Newcomer:
    """Somebody who reads the document from its beginning.

    Attributes:
        commands: that the document shows, those that have been typed left out.
        lab: the machines.
        server_toml, routes_json, client_toml, without_keys: the files that the document shows.
    """

    def __init__(self, folder: Path) -> None:
        Path("/run/start").mkdir()
        self.commands = [one.command for one in played("start.md")]
        files = [text for language, text in blocks(DOCUMENT) if language]
        self.server_toml, self.routes_json, self.client_toml, self.without_keys = files
        self.folder = folder
        self.lab = Laboratory(LabSpec("start", (RELAY,), MEMBERS, ()), Files(folder, folder, Path("/run/start")))
        for node in (SERVER, OFFICE, DEV):
            self.etc(node).mkdir(parents=True)

    def etc(self, node: str) -> Path:
        """Return what is /etc/rustun on a machine."""
        return self.folder / node / "etc" / "rustun"

    def told(self, beginning: str) -> str:
        """Return the command of the document that begins like this."""
        [command] = [one for one in self.commands if one.startswith(beginning)]
        self.commands.remove(command)
        return command

    def words(self, node: str, command: str) -> list[str]:
        """Return a command of rustun as it is typed on a machine."""
        first, *typed = shlex.split(command.removeprefix("sudo ").replace("/etc/rustun", str(self.etc(node))))
        assert first == "rustun", command
        control = ["--control", str(self.lab.control(node))] if typed[0] in (*ASKING, "serve", "connect") else []
        return [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun", *typed, *control]

    def type(self, node: str, command: str, code: int = 0) -> str:
        """Type a command of rustun that ends by itself on a machine; return what it said."""
        return self.run(node, self.words(node, command), code)

    def run(self, node: str, words: list[str], code: int | None = 0) -> str:
        """Run a program on a machine, None being any exit code; return what it said."""

        def inside() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words,
                cwd=self.etc(node),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=HANG_S,
                check=False,
            )

        done = self.lab.namespaces[node].run(inside)
        assert code in (None, done.returncode), f"{words}\n{done.stdout}"
        return done.stdout.replace(str(self.etc(node)), "/etc/rustun")

    def start(self, node: str, command: str) -> None:
        """Type a command of rustun that goes on."""
        words = [*self.words(node, command), *(["--state-dir", f"/run/start/{node}"] if node != SERVER else [])]
        process = NodeProcess(node, self.lab.namespaces[node], words, ROOT, self.folder / f"{node}.log")
        self.lab.processes[node] = process

    def write(self, node: str, name: str, text: str, keys: dict[str, str]) -> None:
        """Write a file of the document on a machine, with the keys that were really made."""
        for shown, made in keys.items():
            assert shown in text
            text = text.replace(shown, made)
        (self.etc(node) / name).write_text(text.replace("/etc/rustun", str(self.etc(node))))

    def get_there(self) -> None:
        """Type the document as far as its tunnel, and wait for it."""
        of_server = KEY.findall(self.type(SERVER, self.told("sudo rustun keygen --out /etc/rustun/server.key")))[0]
        keygen = self.told("sudo rustun keygen --out /etc/rustun/client.key")
        made = {node: KEY.findall(self.type(node, keygen))[0] for node in (OFFICE, DEV)}
        self.write(SERVER, "server.toml", self.server_toml, {})
        shown = KEY.findall(self.routes_json)
        self.write(SERVER, "routes.json", self.routes_json, dict(zip(shown, made.values(), strict=True)))
        assert self.told("sudo mkdir -p /etc/rustun")
        self.type(SERVER, self.told("sudo rustun check"))
        self.start(SERVER, self.told(SERVE))
        connect = self.told("sudo rustun connect --config")
        pinned = {KEY.findall(self.client_toml)[0]: of_server}
        for node in (OFFICE, DEV):
            self.write(node, "client.toml", self.client_toml, {**pinned, f'"{DEV}"': f'"{node}"'})
            self.start(node, connect)
        self.lab.wait_online()
        self.lab.wait_until(self._know_each_other, "a client is not told of the other")

    def _know_each_other(self) -> bool:
        told = [(self.lab.status(node) or {}).get("peers") for node in (OFFICE, DEV)]
        return all(peers and all(peer["online"] for peer in peers) for peers in told)
