"""docs/operations.md from its beginning: each command is typed, on hosts in memory, and shows what stands there."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import re
import shutil
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pyrage
import pytest
from invoke import Program

import tasks
from rustun.ops.deploy.looking import Target
from rustun.ops.deploy.ssh import Far, Unreachable
from rustun.ops.tasks import arguments, editing, fleet, hosts, project
from tests.unit.ops.deploy.fleet import Fleet

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"
DOCUMENT = ROOT / "docs" / "operations.md"
SERVER, STORE = "vpn.acme.example", "store.acme.example"
FIRST, SECOND = "a1bc8df1" + "0" * 56, "69e63b7e" + "0" * 56  # releases
ROUTES = """\
[{"cluster": "beijing", "identity": "bj-office", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
  "gateway": "10.0.1.254", "ciders": ["192.168.1.0/24"]}]
"""
OLD_SERVER = """
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
chacha20poly1305 = "kept-by-few-8FzQ2mW4xT7pLc9v"
[route_config]
routes_file = "routes.json"
"""
SECONDS = re.compile(r"\b\d+(\.\d)? s\b")


class Terminal(io.StringIO):
    """A terminal: somebody answers yes, and what is typed is seen."""

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1, /) -> str:  # type: ignore[override]  # typeshed has that of bytes
        print("y")
        return "y\n"


class Desk:
    """Where somebody types what the document says, in its order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "checkout"
        (self.folder / "inventory").mkdir(parents=True)
        self.hosts = Fleet(folder)
        self.hosts.wheels.digest_now = FIRST
        self.inventory = self.folder / "inventory" / "acme.toml"
        self.left = commands(DOCUMENT.read_text())
        monkeypatch.setattr(Target, "connect", lambda _target, ssh: self._connect(ssh))
        monkeypatch.setattr(Target, "wheels", lambda _target: self.hosts.wheels)
        for module in (arguments, editing, fleet, hosts, project):
            monkeypatch.setattr(module, "ROOT", self.folder)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(getpass, "getpass", lambda _prompt: "a long passphrase")
        slow = {"encrypt": lambda data, _passphrase: data, "decrypt": lambda data, _passphrase: data}  # on purpose
        monkeypatch.setattr(pyrage, "passphrase", SimpleNamespace(**slow))
        monkeypatch.chdir(self.folder)

    def _connect(self, ssh: str) -> Far:
        self.hosts.host(ssh.removeprefix("root@")).clock = time.time()
        try:
            return self.hosts.connect(ssh)
        except Unreachable as error:
            reason = "ssh: connect to host 198.19.0.4 port 22: Connection refused"
            raise Unreachable(reason, "is an ssh server running there?") from error

    def type(self, beginning: str, code: int = 0) -> None:
        """Type the next command of the document, which begins like this: it shows what stands there."""
        command, wanted = self.left.pop(0)
        assert command.startswith(beginning)
        shown = ""
        for part in command.split(" && "):
            ended, text = self.run(part.removeprefix("./invoke "))
            assert ended == code, f"{command}\n{text}"
            shown += text
        assert fits(shown, wanted), f"$ {command}\n{shown}\n--- does not show\n{wanted}"

    def run(self, words: str) -> tuple[int, str]:
        """Run a task; return its exit code, and what a terminal shows."""
        inventory = [] if words.startswith("inventory-import") else ["--inventory", "inventory/acme.toml"]
        with io.StringIO() as shown, contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            try:
                Program(namespace=tasks.namespace).run(["invoke", *words.split(), *inventory])
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            return code, shown.getvalue().replace(str(self.folder), "/srv/rustun")

    def sessions(self, *members: str) -> None:
        """Let members have sessions with the server."""
        told = Path(self.hosts.host(SERVER).at("/run/rustun/rustun-server.service.sock"))
        sessions = [{"identity": name, "state": "online", "proof_age_s": 2.0} for name in members]
        told.write_text(json.dumps({**json.loads(told.read_text()), "sessions": sessions}))

    def quietly(self, *tasks_: str) -> None:
        """Do what the document leaves out between two examples."""
        for words in tasks_:
            code, text = self.run(words)
            assert code == 0, f"{words}\n{text}"


def commands(text: str) -> list[tuple[str, str]]:
    """Return the commands in the examples of a document, each with what is shown below it."""
    blocks = re.findall(r"^( *)```\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\$ ", "".join(textwrap.dedent(block) for _, block in blocks), flags=re.MULTILINE)
    found = [part.partition("\n") for part in parts if part]
    return [(command, shown) for command, _, shown in found if command.startswith("./invoke")]


def fits(shown: str, wanted: str) -> bool:
    """Tell whether a text is what a document shows: a line `...` stands for any lines, and so at the end of one."""
    pattern = ""
    for line in wanted.splitlines():
        text = re.escape(SECONDS.sub("N s", line.removesuffix("...")))
        pattern += "(.*\n)*?" if line == "..." else text + (".*\n" if line.endswith("...") else " *\n")
    return re.fullmatch(pattern, SECONDS.sub("N s", shown)) is not None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Return a checkout with nothing in it."""
    return Desk(tmp_path, monkeypatch)


def test_every_example_shows_what_one_sees(desk: Desk) -> None:
    """An operator would compare what is seen with what never was, and look for a fault that is none."""
    a_fleet_is_started(desk)
    it_changes(desk)
    keys_are_exchanged(desk)
    a_host_is_down_and_a_change_taken_back(desk)
    keys_are_lost(desk)
    assert desk.left == []


def a_fleet_is_started(desk: Desk) -> None:
    (desk.folder / "routes.json").write_text(ROUTES)
    (desk.folder / "server.toml").write_text(OLD_SERVER)
    desk.type("./invoke inventory-import")
    desk.inventory.write_text(README.read_text().split("inventory/acme.toml:\n\n```toml\n")[1].split("```")[0])
    desk.type("./invoke plan")
    desk.type("./invoke deploy")
    desk.type("./invoke secrets-seal")


def it_changes(desk: Desk) -> None:
    desk.type("./invoke add-member")
    desk.type("./invoke plan")
    desk.quietly("deploy")
    desk.type("./invoke edit-member")
    desk.type("./invoke plan")
    desk.quietly("deploy")
    desk.sessions("bj-office", "bj-dev", "bj-store")
    desk.type("./invoke status")


def keys_are_exchanged(desk: Desk) -> None:
    desk.type("./invoke rotate-keys && ./invoke deploy")
    desk.hosts.down.add(STORE)
    desk.type("./invoke rotate-keys", code=3)
    desk.hosts.down.clear()
    desk.quietly("rotate-keys", "deploy", "rotate-keys", "deploy")


def a_host_is_down_and_a_change_taken_back(desk: Desk) -> None:
    desk.quietly("edit-member bj-dev --set mtu=1400")
    desk.hosts.down.add(STORE)
    desk.type("./invoke deploy", code=5)
    desk.hosts.down.clear()
    desk.type("./invoke rollback")
    desk.sessions("bj-office", "bj-dev", "bj-store")
    desk.type("./invoke status")
    desk.quietly("deploy")
    desk.hosts.wheels.digest_now = SECOND
    desk.type("./invoke plan")
    desk.quietly("deploy")


def keys_are_lost(desk: Desk) -> None:
    desk.quietly("secrets-seal")
    shutil.rmtree(desk.folder / "secrets")
    desk.type("./invoke plan", code=2)
    desk.type("./invoke secrets-open")
    desk.type("./invoke plan")
    shutil.rmtree(desk.folder / "secrets")
    shutil.rmtree(desk.folder / "build")
    desk.type("./invoke plan", code=2)
    (desk.folder / "inventory" / "acme.keys.age").unlink()
    desk.type("./invoke deploy", code=5)
