"""Take the steps of a plan on this host, or put everything back.

Every step says whether it changed something, and leaves behind what undoes it. Nothing is undone after the last step.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rustun.ops.deploy.far.facts import releases
from rustun.ops.deploy.far.release import make_release
from rustun.ops.deploy.far.services import Services
from rustun.ops.deploy.far.system import (
    CONFIG,
    CURRENT,
    OURS,
    RELEASES,
    STATE,
    UNITS,
    Json,
    StepError,
    System,
    describe,
    digest_of,
    names,
)

INCOMING: Final = f"{STATE}/incoming"  # what a request brought, each file called by its digest
NEW: Final = ".rustun-new-"
OLD: Final = ".rustun-old-"  # a second name of what a new file replaced, until the end
Report = Callable[[Json], None]


class Execution:
    """One application of steps; used once.

    Args:
        manifest: what the host is like when all steps are taken, for the record.
        report: called with {"begin": n}, {"done": n, "changed": ...} for the n-th step.
    """

    def __init__(self, system: System, manifest: Json, report: Report) -> None:
        self._system = system
        self._manifest = manifest
        self._report = report
        self._undo: list[Callable[[], None]] = []
        self._finish: list[Callable[[], None]] = []  # what cannot be undone: when nothing can fail any more
        self._services = Services(system)

    def run(self, steps: Sequence[Json]) -> Json:
        """Take the steps; return how it ended. Never raises on account of the host."""
        sweep(self._system)
        for number, step in enumerate(steps):
            self._report({"begin": number})
            try:
                changed = self._take(step)
            except StepError as error:
                return self._give_up(number, error)
            except OSError as error:
                place = f"{error.filename}: " if error.filename else ""
                return self._give_up(number, StepError(f"{place}{error.strerror or error}", "see the room on the disk"))
            self._report({"done": number, "changed": changed})
        for finish in self._finish:
            finish()
        return {"end": "done"}

    def _give_up(self, number: int, error: StepError) -> Json:
        problem = ""
        try:
            while self._undo:
                self._undo.pop()()
            self._services.put_back()
        except (StepError, OSError) as second:
            problem = str(second)
        with contextlib.suppress(OSError):
            sweep(self._system)
        told = {"reason": error.reason, "remedy": error.remedy, "log": error.log}
        return {"end": "failed", "step": number, **told, "put_back": not problem, "put_back_problem": problem}

    def _take(self, step: Json) -> bool:
        path = step.get("path", "")
        if path and (not f"{path}/".startswith(OURS) or ".." in path.split("/")):
            raise StepError(f"{path} is no place of ours")
        takers: dict[str, Callable[[Json], bool]] = {
            "user": self._user,
            "folder": self._folder,
            "release": self._release,
            "put": self._put,
            "remove": self._remove,
            "remove-empty": self._remove_empty,
            "remove-folder": self._remove_folder,
            "switch": self._switch,
            "record": self._record,
            "prune": self._prune,
        }
        return takers[step["do"]](step) if step["do"] in takers else self._services.take(step)

    def _user(self, step: Json) -> bool:
        if self._system.has_user(step["name"]):
            return False
        code, said = self._system.run(
            "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
            "--shell", "/usr/sbin/nologin", step["name"],
        )  # fmt: skip
        if code:
            raise StepError(f"useradd: {said.strip()}", f"make the user {step['name']} by hand")
        return True  # harmless: it stays when a later step fails

    def _folder(self, step: Json) -> bool:
        path = self._system.at(step["path"])
        before = describe(self._system, step["path"]) if os.path.isdir(path) else None
        if before == {key: step[key] for key in ("mode", "owner", "group")}:
            return False
        if before is None:
            os.mkdir(path, 0o700)
            self._undo.append(lambda: os.rmdir(path))
        else:
            self._undo.append(lambda: self._dress(path, before))
        self._dress(path, step)
        return True

    def _dress(self, path: str, step: Json) -> None:
        self._system.give(path, step["owner"], step["group"])
        os.chmod(path, int(step["mode"], 8))

    def _release(self, step: Json) -> bool:
        if step["release"] in releases(self._system):
            return False
        place = self._system.at(f"{RELEASES}/{step['release']}")
        self._undo.append(lambda: shutil.rmtree(place, ignore_errors=True))
        make_release(self._system, step, place, {name: self._content(digest) for name, digest in step["wheels"]})
        return True

    def _content(self, digest: str) -> str:
        """Return where bytes with this digest are: what the request brought, or the copy of a generation."""
        folders = [INCOMING, *(f"{STATE}/{name}/files" for name in names(self._system.at(STATE)) if name.isdigit())]
        for folder in folders:
            path = self._system.at(f"{folder}/{digest}")
            if os.path.exists(path):
                return path
        raise StepError(f"nothing with the digest {digest[:12]} came, or was kept", "deploy again")

    def _put(self, step: Json) -> bool:
        path = self._system.at(step["path"])
        wished = {key: step[key] for key in ("mode", "owner", "group")}
        there = os.path.isfile(path) and not os.path.islink(path)
        if there and digest_of(path) == step["digest"] and describe(self._system, step["path"]) == wished:
            return False
        new = beside(path, NEW)
        shutil.copyfile(self._content(step["digest"]), opened_anew(new))
        self._dress(new, step)
        sync(new)
        self._keep(path)
        os.replace(new, path)
        return True

    def _keep(self, path: str) -> None:
        """Have a file's bytes, or its absence, come back when a later step fails."""
        old = beside(path, OLD)
        if not os.path.lexists(path):
            self._undo.append(lambda: os.unlink(path))
            return
        os.link(path, old, follow_symlinks=False)
        self._finish.append(lambda: os.unlink(old))
        self._undo.append(lambda: os.replace(old, path))

    def _remove(self, step: Json) -> bool:
        path = self._system.at(step["path"])
        if not os.path.lexists(path):
            return False
        self._keep(path)
        os.unlink(path)
        return True

    def _remove_empty(self, step: Json) -> bool:
        """Remove a folder in the end, if nothing of anybody else's is in it."""
        path = self._system.at(step["path"])

        def finish() -> None:
            with contextlib.suppress(OSError):
                os.rmdir(path)

        self._finish.append(finish)
        return os.path.isdir(path)

    def _remove_folder(self, step: Json) -> bool:
        """Remove a folder and all that is in it, in the end: there is no way back."""
        path = self._system.at(step["path"])
        self._finish.append(lambda: shutil.rmtree(path, ignore_errors=True))
        return os.path.isdir(path)

    def _switch(self, step: Json) -> bool:
        link, target = self._system.at(CURRENT), f"releases/{step['release']}"
        before = os.readlink(link) if os.path.islink(link) else None
        if before == target:
            return False

        def point(to: str) -> None:
            new = beside(link, NEW)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            os.symlink(to, new)
            os.replace(new, link)

        self._undo.append(lambda: os.unlink(link) if before is None else point(before))
        point(target)
        return True

    def _record(self, step: Json) -> bool:
        """Keep the manifest and a copy of every file as a generation, in place of one of the same number."""
        place = self._system.at(f"{STATE}/{step['generation']}")
        draft = beside(place, NEW)
        self._undo.append(lambda: shutil.rmtree(draft, ignore_errors=True))
        os.makedirs(f"{draft}/files", 0o700)
        for path, file in self._manifest["files"].items():
            copy = f"{draft}/files/{file['digest']}"
            if not os.path.exists(copy):
                shutil.copyfile(self._system.at(path), opened_anew(copy))
        with open(f"{draft}/manifest.json", "w") as file:
            json.dump(self._manifest, file, indent=1, sort_keys=True)
        os.sync()
        if os.path.isdir(place):
            old = beside(place, OLD)
            os.rename(place, old)
            self._undo.append(lambda: os.rename(old, place))
            self._finish.append(lambda: shutil.rmtree(old, ignore_errors=True))
        os.rename(draft, place)
        self._undo.append(lambda: shutil.rmtree(place))
        return True

    def _prune(self, step: Json) -> bool:
        """Remove releases and generations that nothing needs any more, in the end."""
        places = [f"{RELEASES}/{name}" for name in step["releases"]]
        places += [f"{STATE}/{number}" for number in step["generations"]]
        self._finish += [partial(shutil.rmtree, self._system.at(place), ignore_errors=True) for place in places]
        return bool(places)


def beside(path: str, mark: str) -> str:
    """Return the name beside a path for what is on its way there, or was there."""
    return os.path.join(os.path.dirname(path), mark + os.path.basename(path))


def opened_anew(path: str) -> str:
    """Make an empty file that only root reads, in place of any of that name, and return its path."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return path


def sync(path: str) -> None:
    """Have a file's bytes on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(system: System) -> None:
    """Remove what a run that was killed left beside the files of ours."""
    for base in (CONFIG, UNITS, STATE):
        for folder, below, found in os.walk(system.at(base)):
            if base != CONFIG:
                below[:] = [name for name in below if base == UNITS and name.startswith("rustun-")]
            for name in found:
                if name.startswith((NEW, OLD)):
                    os.unlink(os.path.join(folder, name))
    for name in names(system.at(STATE)):
        if name.startswith((NEW, OLD)):
            shutil.rmtree(system.at(f"{STATE}/{name}"), ignore_errors=True)
