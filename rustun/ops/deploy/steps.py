"""Facts + wish -> ordered steps; pure, so that a dry run shows what a real run does.

Rules of this module
  1. What is as wished gets no step. No difference, no steps, not even a record.
  2. Of files that the wish does not name only those are removed that the last deployment put there (its manifest says).
  3. A unit is restarted when it does not run, runs from another release, or something changed that it reads only at its
     start; else reloaded when something changed that it reads again; else left alone. What changed is told by the host
     and by the last manifest: a run that died between a file and its reload is caught up with. That a key is gone is
     no change: a client has its copy until its end, and what it has to use instead it is told otherwise.
  4. The order: what nobody notices (user, release, folders), what stops, files, units, what starts, a look at it, the
     record. So a step that fails late has touched as little as possible, and the far end can put it back.
  5. Of files, keys come first: a server that watches routes.json never finds one that names a key which is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from rustun.ops.deploy.far.system import CONFIG, PROGRAM, STATE, UNITS
from rustun.ops.deploy.records import HostPlan, HostWish, Json, Release, WishedFile, WishedService
from rustun.ops.deploy.unfit import ROUTES, clock_note, drift_notes, members_file, members_note, unfit
from rustun.ops.filenames import SECRETS
from rustun.ops.units import SERVER_UNIT

KEEP_GENERATIONS: Final = 10
VERIFY_SECONDS: Final = 20  # a client's first tries come within 5 s of each other; a slow host takes some to start
KEYS: Final = f"{CONFIG}/{SECRETS}/"
SCRIPTS: Final = {"rustun": "rustun.cli:main"}  # as [project.scripts] has it
OWNERSHIP: Final = ("mode", "owner", "group")


def plan_host(facts: Json, wish: HostWish, release: Release, now: float, number: int) -> HostPlan:
    """Return the steps from what a host is like to what it shall be like.

    Args:
        facts: as far/facts.py tells them.
        release: the one that the wish names, as this host would install it.
        now: unix seconds, to judge the host's clock by.
        number: of the deployment that this is part of.
    """
    newest = max((entry["number"] for entry in facts["generations"]), default=0)
    last = next((entry["manifest"] for entry in facts["generations"] if entry["number"] == newest), None)
    changes = _Changes(facts, wish, last)
    steps = tuple(changes.steps(release, number) if wish.services or wish.files else changes.leave())
    problems = tuple(unfit(facts, wish, release)) if steps else ()
    notes = (*drift_notes(facts, wish, last), *members_note(facts, wish), *clock_note(facts, now))
    return HostPlan(wish, newest, steps, problems, notes, tuple(changes.notices()))


class _Changes:
    """What differs between a host, its last manifest (None before the first deployment) and a wish."""

    def __init__(self, facts: Json, wish: HostWish, last: Json | None) -> None:
        self.facts = facts
        self.wish = wish
        self.last = last
        self.before: Json = last or {"files": {}, "folders": {}, "services": {}}
        here = facts["files"]
        self.puts = {path: file for path, file in wish.files.items() if self._differs(here.get(path), file)}
        self.removals = [path for path in sorted(self.before["files"]) if path not in wish.files and path in here]
        self.fresh = {path: file for path, file in wish.files.items() if path in self.puts or self._is_untold(path)}

    def _differs(self, there: Json | None, file: WishedFile) -> bool:
        return there is None or any(there[key] != getattr(file, key) for key in ("digest", *OWNERSHIP))

    def _is_untold(self, path: str) -> bool:
        """Return whether the last deployment had other bytes than the wish, so that nobody was told of these yet."""
        known = self.before["files"].get(path)
        return known is None or known["digest"] != self.wish.files[path].digest

    def steps(self, release: Release, number: int) -> Iterator[Json]:
        """Yield all steps, in order."""
        body = [*self._prepare(release), *self._stop(), *self._change_files(), *self._start()]
        if not body and self.last == self.wish.manifest():
            return
        yield from body
        yield {"do": "record", "generation": number}
        yield from self._prune(number)

    def leave(self) -> Iterator[Json]:
        """Yield the steps that leave nothing of ours behind; none on a host where nothing of ours is."""
        if not self.facts["generations"]:
            return
        yield from self._stop()
        yield from self._change_files()
        for path in (PROGRAM, STATE):
            yield {"do": "remove-folder", "path": path}

    def _prepare(self, release: Release) -> Iterator[Json]:
        if self.wish.user and not self.facts["has_user"]:
            yield {"do": "user", "name": "rustun"}
        if release.digest not in self.facts["releases"]:
            yield {
                "do": "release", "release": release.digest, "version": self.wish.version, "python": release.python,
                "python_version": release.python_version, "scripts": SCRIPTS,
                "wheels": [list(wheel) for wheel in release.wheels],
            }  # fmt: skip
        for path, folder in sorted(self.wish.folders.items()):
            if self.facts["folders"].get(path) != asdict(folder):
                yield {"do": "folder", "path": path, **asdict(folder)}

    def _stop(self) -> Iterator[Json]:
        wished = self.wish.services
        idle = [unit for unit in self.before["services"] if unit not in wished]
        idle += [unit for unit, service in wished.items() if not service.runs]
        for unit in sorted(idle):
            state = self.facts["units"].get(unit, {})
            if state.get("enabled") or state.get("active", "") not in ("", "inactive"):
                yield {"do": "disable", "unit": unit}

    def _change_files(self) -> Iterator[Json]:
        for path, file in sorted(self.puts.items(), key=lambda put: (f"/{SECRETS}/" not in put[0], put[0])):
            yield {"do": "put", "path": path, "digest": file.digest, **{key: getattr(file, key) for key in OWNERSHIP}}
        for path in self.removals:
            yield {"do": "remove", "path": path}
        for path in sorted(self.before["folders"].keys() - self.wish.folders.keys(), reverse=True):
            yield {"do": "remove-empty", "path": path}
        if self.wish.release and self.facts["current"] != self.wish.release:
            yield {"do": "switch", "release": self.wish.release}
        stale = any(state.get("stale") for state in self.facts["units"].values())
        if stale or any(path.startswith(UNITS) for path in (*self.puts, *self.removals)):
            yield {"do": "daemon-reload"}

    def _start(self) -> Iterator[Json]:
        running = {unit: service for unit, service in sorted(self.wish.services.items()) if service.runs}
        touched = []
        for unit, service in running.items():
            if not self.facts["units"].get(unit, {}).get("enabled"):
                yield {"do": "enable", "unit": unit}
            if verb := self.verb(unit):
                yield {"do": verb, "unit": unit}
                touched += [(unit, service)] if service.verify else []
        for unit, service in touched:
            yield self._look(unit, service)

    def verb(self, unit: str) -> str:
        """Return what has to be done to a unit that shall run: restart, reload, or nothing."""
        state = self.facts["units"].get(unit, {})
        if state.get("active") != "active" or state.get("release") != self.wish.release:
            return "restart"
        if any(unit in file.restart for path, file in self.wish.files.items() if self._is_new_to(unit, path)):
            return "restart"
        heard = [path for path, file in self.fresh.items() if unit in file.reload]
        if any(self._fixed_differs(path) or self._leads_back(unit, path) for path in heard):
            return "restart"
        lost = any(unit in file.get("restart", ()) for path, file in self._lost() if not path.startswith(KEYS))
        return "restart" if lost else "reload" if heard else ""

    def _is_new_to(self, unit: str, path: str) -> bool:
        """Return whether a unit did not read these bytes at its start; another unit's file it may be since long."""
        known = self.before["files"].get(path, {})
        return path in self.fresh or unit not in known.get("restart", ())

    def _lost(self) -> Iterator[tuple[str, Json]]:
        """Yield the files of the last deployment that are no more wished, with what the manifest says of them."""
        return ((path, file) for path, file in self.before["files"].items() if path not in self.wish.files)

    def _fixed_differs(self, path: str) -> bool:
        known = self.before["files"].get(path, {"fixed": ""})
        return bool(known["fixed"] != self.wish.files[path].fixed)

    def _leads_back(self, unit: str, path: str) -> bool:
        """Return whether a server's own file comes back, and with it the members' file: a name waits for a start."""
        is_own = path in self.puts and bool(self.wish.files[path].fixed)
        return unit == SERVER_UNIT and is_own and members_file(self.facts) != ROUTES

    def _look(self, unit: str, service: WishedService) -> Json:
        step = {"do": "verify", "unit": unit, "version": self.wish.version, "release": self.wish.release}
        of_role: Json = {"identity": service.identity}
        if not service.identity:
            of_role = {"members": service.members, "reads_routes": ROUTES in self.puts or self.verb(unit) == "restart"}
        return {**step, **of_role, "seconds": VERIFY_SECONDS}

    def _prune(self, number: int) -> Iterator[Json]:
        entries = [entry for entry in self.facts["generations"] if entry["number"] != number]
        kept = entries[max(0, len(entries) - KEEP_GENERATIONS + 1) :]
        used = {self.wish.release, *(entry["manifest"]["release"] for entry in kept)}
        releases = [digest for digest in self.facts["releases"] if digest not in used]
        generations = [entry["number"] for entry in entries if entry not in kept]
        if releases or generations:
            yield {"do": "prune", "releases": releases, "generations": generations}

    def notices(self) -> Iterator[str]:
        """Yield who or what notices the steps, by unit."""
        for step in self._stop():
            yield f"{step['unit']} stops"
        for unit, service in sorted(self.wish.services.items()):
            verb = self.verb(unit) if service.runs else ""
            if verb == "reload":
                yield f"{unit} reads its files again; sessions stay"
            elif verb and self.facts["units"].get(unit, {}).get("active") != "active":
                yield f"{unit} starts"
            elif verb:
                whose = "its session is back" if service.identity else "all sessions are back"
                yield f"{unit} restarts; {whose} in 2 s"
