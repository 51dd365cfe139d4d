"""Where somebody types what a document says of the toolkit, in its order, on hosts in memory.

Rules of this module
  1. Each task gets the inventory that the document is about besides; nothing else is added.
  2. The checkout is called /srv/rustun in what is shown.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import sys
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
from tests.shown import fits, played
from tests.unit.ops.deploy.fleet import Fleet

FIRST = "a1bc8df1" + "0" * 56  # a release


class Terminal(io.StringIO):
    """A terminal: somebody answers yes, and what is typed is seen."""

    def isatty(self) -> bool:
        return True

    def readline(self, _size: int | None = -1, /) -> str:  # type: ignore[override]  # typeshed has that of bytes
        print("y")
        return "y\n"


class Desk:
    """A checkout with nothing in it.

    Attributes:
        folder: the checkout.
        hosts: who is deployed to.
        inventory: what tasks are told to take.
        left: what the document shows and nobody has typed yet.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, document: str) -> None:
        self.folder = folder / "checkout"
        (self.folder / "inventory").mkdir(parents=True)
        self.hosts = Fleet(folder)
        self.hosts.wheels.digest_now = FIRST
        self.inventory = self.folder / "inventory" / "acme.toml"
        self.left = played(document)
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
        told = self.left.pop(0)
        command, wanted = told.command, told.output
        assert command.startswith(beginning)
        shown = ""
        for part in command.split(" && "):
            ended, text = self.run(part.removeprefix("./invoke "))
            assert ended == code, f"{command}\n{text}"
            shown += text
        assert not wanted or fits(shown, wanted), f"$ {command}\n{shown}\n--- does not show\n{wanted}"

    def run(self, words: str) -> tuple[int, str]:
        """Run a task; return its exit code, and what a terminal shows."""
        inventory = ["--inventory", str(self.inventory.relative_to(self.folder))] * ("-import" not in words)
        with io.StringIO() as shown, contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            try:
                Program(namespace=tasks.namespace).run(["invoke", *words.split(), *inventory])
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            return code, shown.getvalue().replace(str(self.folder), "/srv/rustun")

    def sessions(self, server: str, *members: str) -> None:
        """Let members have sessions with a server."""
        told = Path(self.hosts.host(server).at("/run/rustun/rustun-server.service.sock"))
        sessions = [{"identity": name, "state": "online", "proof_age_s": 2.0} for name in members]
        told.write_text(json.dumps({**json.loads(told.read_text()), "sessions": sessions}))

    def quietly(self, *tasks_: str) -> None:
        """Do what the document leaves out between two examples."""
        for words in tasks_:
            code, text = self.run(words)
            assert code == 0, f"{words}\n{text}"
