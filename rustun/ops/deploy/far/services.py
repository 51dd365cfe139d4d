"""Units: enabled, reloaded, restarted, looked at until they do their work; put back when a later step fails."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rustun.ops.deploy.far.facts import statuses, unit_state
from rustun.ops.deploy.far.release import last_lines
from rustun.ops.deploy.far.system import Json, StepError, System

POLL_SECONDS: Final = 0.2
LOG_LINES: Final = 10
VERBS: Final = ("enable", "disable", "reload", "restart")


class Services:
    """The units that the steps of one plan touch."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._before: dict[str, Json] = {}  # units touched so far, as they were
        self._restarted: set[str] = set()
        self._units_changed = False
        self._began = system.now()

    def take(self, step: Json) -> bool:
        """Take a step of the kinds `daemon-reload`, `verify` and VERBS; return whether it changed something."""
        if step["do"] == "daemon-reload":
            self._units_changed = True
            self._systemctl("daemon-reload")
            return True
        if step["do"] == "verify":
            self._verify(step)
            return False
        if step["do"] not in VERBS:
            raise StepError(f"there is no step {step['do']!r}", "this toolkit is of another version than its far end")
        return self._act(step["do"], step["unit"])

    def _act(self, verb: str, unit: str) -> bool:
        before = unit_state(self._system, unit)
        self._before.setdefault(unit, before)
        if verb == "enable":
            if before["enabled"]:
                return False
            self._systemctl("enable", unit)
        elif verb == "disable":
            if not before["enabled"] and before["active"] in ("inactive", ""):
                return False
            self._systemctl("disable", "--now", unit)
        else:
            if verb == "restart":
                self._restarted.add(unit)
                self._system.run("systemctl", "reset-failed", unit)  # earlier failures count for nothing now
            self._systemctl(verb, unit)
        return True

    def _systemctl(self, *words: str) -> None:
        code, said = self._system.run("systemctl", *words)
        if code:
            unit = words[-1] if words[0] != "daemon-reload" else ""
            log = self._log(unit) if unit else last_lines(said)
            raise StepError(f"systemctl {' '.join(words)}: {said.strip().splitlines()[0] if said else code}", "", log)

    def _log(self, unit: str) -> list[str]:
        _, said = self._system.run("journalctl", "--no-pager", "-o", "cat", "-n", str(LOG_LINES), "-u", unit)
        return last_lines(said, LOG_LINES)

    def _verify(self, step: Json) -> None:
        deadline = self._system.now() + step["seconds"]
        while True:
            lacks = self._lacks(step)
            if not lacks:
                return
            if self._system.now() >= deadline:
                raise StepError(f"{step['unit']}: {lacks}, after {step['seconds']} s", "", self._log(step["unit"]))
            self._system.pause(POLL_SECONDS)

    def _lacks(self, step: Json) -> str:
        """Return what a service lacks to be as the step says; empty when it is."""
        state = unit_state(self._system, step["unit"])
        if state["active"] != "active":
            return f"is {state['active'] or 'not known'}"
        if state["release"] != step["release"]:
            return f"runs from release {state['release'][:12] or 'none of ours'}"
        answers = [document for document in statuses(self._system) if document.get("pid") == state["pid"]]
        if not answers:
            return "does not answer on its control socket"
        document = answers[0]
        if document.get("version") != step["version"]:
            return f"is of version {document.get('version')}, not {step['version']}"
        return client_lacks(document) if "identity" in step else self._server_lacks(document, step)

    def _server_lacks(self, document: Json, step: Json) -> str:
        routes = document.get("routes") or {}
        read_at = datetime.fromisoformat(routes["loaded_at"]).timestamp() if routes.get("loaded_at") else 0.0
        if routes.get("problems"):
            return f"refused its routes.json: {routes['problems'][0]}"
        if step["reads_routes"] and read_at < int(self._began):  # it tells whole seconds
            return "has not read its routes.json again"
        if document.get("alarms"):
            return f"has an alarm: {document['alarms'][0]}"
        if routes.get("members") != step["members"] or routes.get("not_in_force"):
            return f"has {routes.get('members')} members in force, not {step['members']}"
        return ""

    def put_back(self) -> None:
        """Have every unit that was touched run, or not, as before; its files are back already. Raises: StepError."""
        if self._units_changed or self._before:
            self._systemctl("daemon-reload")
        for unit, before in self._before.items():
            if not before["known"]:
                self._system.run("systemctl", "stop", unit)
                continue
            self._systemctl("enable" if before["enabled"] else "disable", unit)
            if before["active"] != "active":
                self._system.run("systemctl", "stop", unit)
            elif unit in self._restarted or unit_state(self._system, unit)["active"] != "active":
                self._system.run("systemctl", "reset-failed", unit)
                self._systemctl("restart", unit)
            else:
                self._systemctl("reload", unit)


def client_lacks(document: Json) -> str:
    """Return what a client lacks to have a tunnel that works both ways."""
    if document.get("state") == "online":
        return ""
    why = document.get("last_error") or ""
    return f"has no tunnel: {document.get('state')}{', ' if why else ''}{why}"
