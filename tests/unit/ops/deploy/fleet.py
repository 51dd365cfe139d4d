"""A fleet of hosts in memory: one server and members, with an inventory, and lines to all of them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rustun.ops.deploy.far.conversation import converse
from rustun.ops.deploy.looking import Target
from rustun.ops.deploy.records import Release
from rustun.ops.deploy.rollout import Rollout
from rustun.ops.deploy.ssh import Far, Unreachable
from rustun.ops.deploy.survey import Survey, survey
from rustun.ops.deploy.wheelhouse import Platform
from rustun.ops.deploy.wish import wish_hosts
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan
from tests.unit.ops.deploy.twin import HostTwin

NOW = 1_800_000_000.0
INVENTORY = """\
[fleet]
name = "acme"
servers = [{{ address = "192.0.2.1:8080", ssh = "root@server" }}]{settings}
[cluster.beijing]
network = "10.0.1.0/24"
{members}
"""


class Wheels:
    """A wheelhouse that has one release at a time.

    Attributes:
        digest_now: of the release that hosts shall have.
        missing: why it cannot be had.
    """

    def __init__(self, folder: Path) -> None:
        self.digest_now = "release1"
        self.missing = ""
        self.wheel = folder / "rustun.whl"
        self.wheel.write_bytes(b"PK\x05\x06" + bytes(18))  # an empty zip file

    def digest(self, platform: Platform, *, web: bool = False) -> str:
        return f"{self.digest_now}-web" if web else self.digest_now

    def release(self, platform: Platform, *, web: bool = False) -> Release:
        wheel = hashlib.sha256(self.wheel.read_bytes()).hexdigest()
        return Release(
            self.digest(platform, web=web),
            platform.python,
            platform.python_version,
            (("rustun.whl", wheel),),
            1 << 20,
            self.missing,
        )

    def content(self, name: str, digest: str) -> Path:
        return self.wheel


class Fleet:
    """Hosts by how they are reached; made when they are first named.

    Attributes:
        down: hosts that do not answer.
        settings: lines of [fleet].
        before_apply: called with the name of a host that is about to take steps.
    """

    def __init__(self, folder: Path, *members: str) -> None:
        self.folder = folder
        self.hosts: dict[str, HostTwin] = {}
        self.down: set[str] = set()
        self.before_apply: Callable[[str], None] = lambda ssh: None
        self.wheels = Wheels(folder)
        self.members = {name: "" for name in members}
        self.settings = ""
        self.threads: list[threading.Thread] = []

    def host(self, name: str) -> HostTwin:
        """Return a host by the name after root@."""
        if name not in self.hosts:
            root = self.folder / "hosts" / name
            root.mkdir(parents=True)
            self.hosts[name] = HostTwin(root)
        return self.hosts[name]

    def connect(self, ssh: str) -> Far:
        """Talk to a host, on pipes."""
        name = ssh.removeprefix("root@")
        if name in self.down:
            raise Unreachable("Connection timed out", "is it up?")
        ends = os.pipe(), os.pipe()
        requests, answers = os.fdopen(ends[0][0], "rb"), os.fdopen(ends[1][1], "wb")
        reader, writer = os.fdopen(ends[1][0], "rb"), os.fdopen(ends[0][1], "wb")

        def talk() -> None:
            with requests, answers:
                converse(self.host(name), requests, answers)

        thread = threading.Thread(target=talk)
        thread.start()
        self.threads.append(thread)

        def hang_up() -> Unreachable:
            if not writer.closed:
                writer.close()
                thread.join()
                reader.close()
            return Unreachable("the connection ended")

        return Watched(name, self, reader, writer, lambda: None, hang_up)

    def write(self) -> Path:
        """Write the inventory as it is now."""
        members = "".join(
            f'[cluster.beijing.member.{name}]\nssh = "root@{name}"\n{more}\n' for name, more in self.members.items()
        )
        path = self.folder / "acme.toml"
        path.write_text(INVENTORY.format(settings=f"\n{self.settings}" if self.settings else "", members=members))
        return path

    def look(self, limit: str = "") -> Survey:
        """Generate the files of the inventory as it is now, and survey its hosts."""
        rendered = plan_render(load_inventory(self.write()), self.folder / "build")
        write_plan(rendered)
        rendered = plan_render(load_inventory(self.write()), self.folder / "build")
        return survey(wish_hosts(rendered, NOW), limit, self.connect, self.wheels, NOW)

    def deploy(self, limit: str = "", max_failures: int = 1, found: Survey | None = None) -> dict[str, list[str]]:
        """Deploy; return what became of each host's visits, in order."""
        found = found or self.look(limit)
        rollout = Rollout(found, self.connect, self.wheels.content, lambda visit, text: None, max_failures)
        results: dict[str, list[str]] = {}
        for outcome in rollout.run():
            results.setdefault(outcome.visit.ssh.removeprefix("root@"), []).append(outcome.result)
        found.close()
        return results


class Watched(Far):
    """A line that tells before steps are taken."""

    def __init__(self, name: str, fleet: Fleet, reader: BinaryIO, writer: BinaryIO, *ends: Any) -> None:
        super().__init__(reader, writer, *ends)
        self._name = name
        self._fleet = fleet

    def apply(self, *args: Any) -> Any:
        self._fleet.before_apply(self._name)
        return super().apply(*args)


@dataclass(frozen=True)
class TwinTarget(Target):
    """The hosts of a fleet in memory."""

    fleet: Fleet | None = None

    def connect(self, ssh: str) -> Far:
        assert self.fleet is not None
        return self.fleet.connect(ssh)

    def wheels(self) -> Wheels:  # type: ignore[override]  # all that is asked of a wheelhouse
        assert self.fleet is not None
        return self.fleet.wheels


def target(fleet: Fleet, limit: str = "") -> TwinTarget:
    """Return the target of a task on a fleet."""
    return TwinTarget(fleet.write(), fleet.folder / "build", fleet.folder, limit, fleet=fleet)
