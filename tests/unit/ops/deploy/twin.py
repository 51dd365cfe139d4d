"""A host in memory: a folder as its root, a systemctl that is a recorder, users and time of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rustun.ops.deploy.far.system import COMPLETE, CURRENT, RELEASES, System

SLOW_CLIENT = "handshaking"


class HostTwin(System):
    """A host whose services do what their unit files would have them do.

    Attributes:
        commands: every systemctl that changed something, in order.
        active, enabled: units that run, and that start with the host.
        broken: units that do not come up, with what they say.
        status: what a unit's process tells; a unit without one does not answer.
        users: that the host has.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.commands: list[str] = []
        self.active: dict[str, int] = {}  # unit -> pid
        self.enabled: set[str] = set()
        self.broken: dict[str, str] = {}
        self.status: dict[str, dict[str, Any]] = {}
        self.users = {"root"}
        self.owners: dict[int, tuple[str, str]] = {}  # by inode
        self.clock = 1_800_000_000.0
        self.started: dict[int, str] = {}  # pid -> release
        self.interpreters = [{"path": "/usr/bin/python3", "version": "3.11.2"}]
        self.version = "0.1.0"
        self.no_venv = False
        (root / "run/systemd/system").mkdir(parents=True)
        (root / "etc/systemd/system").mkdir(parents=True)
        (root / "opt").mkdir()
        (root / "etc/machine-id").write_text(f"{root.name}\n")
        (root / "var/lib").mkdir(parents=True)

    def now(self) -> float:
        return self.clock

    def pause(self, seconds: float) -> None:
        self.clock += seconds

    def owner(self, status: os.stat_result) -> tuple[str, str]:
        return self.owners.get(status.st_ino, ("root", "root"))

    def give(self, path: str, owner: str, group: str) -> None:
        self.owners[os.stat(path).st_ino] = (owner, group)

    def has_user(self, name: str) -> bool:
        return name in self.users

    def pythons(self) -> list[dict[str, Any]]:
        return self.interpreters

    def words_of(self, pid: int) -> list[str]:
        return [f"{RELEASES}/{self.started[pid]}/bin/python"] if pid in self.started else []

    def ask_status(self, path: str) -> dict[str, Any] | None:
        return json.loads(Path(path).read_text())

    def run(self, *words: str) -> tuple[int, str]:
        if words[0] == "useradd":
            self.users.add(words[-1])
            return 0, ""
        if words[0] == "journalctl":
            return 0, self.broken.get(words[-1], "") + "\n"
        if words[0] == "systemctl":
            return self._systemctl(*words[1:])
        if words[-2:-1] == ("--without-pip",):
            return self._make_environment(Path(words[-1]))
        if words[-1] == "--version":
            return 0, f"rustun {self.version}\n"
        return 0, ""

    def _make_environment(self, place: Path) -> tuple[int, str]:
        if self.no_venv:
            return 1, "No module named venv\n"
        (place / "bin").mkdir(parents=True)
        (place / "lib/python3.11/site-packages").mkdir(parents=True)
        return 0, ""

    def _systemctl(self, verb: str, *words: str) -> tuple[int, str]:
        if verb == "list-units":
            return 0, "".join(f"{unit} loaded active running\n" for unit in sorted(self.active))
        if verb == "show":
            return 0, self._show(words[-1])
        if verb == "reset-failed":
            return 0, ""
        self.commands.append(" ".join((verb, *words)))
        actions: dict[str, Callable[[str], tuple[int, str]]] = {
            "enable": self._enable, "disable": self._disable, "stop": self._stop,
            "restart": self._restart, "reload": self._reload, "daemon-reload": lambda _: (0, ""),
        }  # fmt: skip
        return actions[verb](words[-1] if words else "")

    def _template(self, unit: str) -> Path:
        name = unit.partition("@")[0] + "@.service" if "@" in unit else unit
        return Path(self.at(f"/etc/systemd/system/{name}"))

    def _show(self, unit: str) -> str:
        pid = self.active.get(unit, 0)
        state = "active" if pid else "failed" if unit in self.broken else "inactive"
        return (
            f"LoadState={'loaded' if self._template(unit).exists() else 'not-found'}\nActiveState={state}\n"
            f"UnitFileState={'enabled' if unit in self.enabled else 'disabled'}\nMainPID={pid}\nNRestarts=0\n"
        )

    def _enable(self, unit: str) -> tuple[int, str]:
        if not self._template(unit).exists():
            return 1, f"Failed to enable unit: Unit file {unit} does not exist.\n"
        self.enabled.add(unit)
        return 0, ""

    def _disable(self, unit: str) -> tuple[int, str]:
        self.enabled.discard(unit)
        return self._stop(unit)

    def _stop(self, unit: str) -> tuple[int, str]:
        self.active.pop(unit, None)
        Path(self.at(f"/run/rustun/{unit}.sock")).unlink(missing_ok=True)
        return 0, ""

    def _restart(self, unit: str) -> tuple[int, str]:
        self._stop(unit)
        if not self._template(unit).exists():
            return 5, f"Failed to restart {unit}: Unit {unit} not found.\n"
        if unit in self.broken:
            return 1, f"Job for {unit} failed.\n"
        pid = max(self.started, default=100) + 1
        self.active[unit] = pid
        self.started[pid] = os.path.basename(os.readlink(self.at(CURRENT)))
        return self._reload(unit)

    def _reload(self, unit: str) -> tuple[int, str]:
        pid = self.active[unit]
        base = {"schema": 1, "version": self.version, "pid": pid, **self.status.get(unit, self._usual(unit))}
        path = Path(self.at(f"/run/rustun/{unit}.sock"))
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(base))
        return 0, ""

    def _usual(self, unit: str) -> dict[str, Any]:
        if "@" in unit:
            return {"role": "client", "identity": unit.partition("@")[2][: -len(".service")], "state": "online"}
        routes = Path(self.at("/etc/rustun/routes.json"))
        members = len(json.loads(routes.read_text())) if routes.exists() else 0
        loaded_at = datetime.fromtimestamp(self.clock, UTC).isoformat(timespec="seconds")
        routes_told = {"members": members, "problems": [], "not_in_force": [], "loaded_at": loaded_at}
        return {"role": "server", "alarms": [], "routes": routes_told}

    def has_release(self, digest: str) -> None:
        """Have a whole release, in use."""
        place = Path(self.at(f"{RELEASES}/{digest}"))
        place.mkdir(parents=True)
        (place / COMPLETE).write_text("{}")
        Path(self.at(CURRENT)).symlink_to(f"releases/{digest}")

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield every file and link below /etc, /opt and /var, with its bytes or target."""
        for top in ("etc", "opt", "var"):
            for path in sorted(Path(self.root, top).rglob("*")):
                name = "/" + str(path.relative_to(self.root))
                if path.is_symlink():
                    yield name, os.readlink(path).encode()
                elif path.is_file() and path.name not in ("lock", "machine-id"):
                    yield name, path.read_bytes()
