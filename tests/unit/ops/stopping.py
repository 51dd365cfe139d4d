"""Stop a task at each of its steps on the disk, and tell what is there then.

    python -m tests.unit.ops.stopping FOLDER TASK

Rules of this module
  1. All is imported once, and the task runs once to its end; then each try is a fork, in a copy of the folder. It runs
     the command line as `./invoke` does, and sends SIGINT to itself before its n-th call that changes something on the
     disk. Such calls are seen by a profile function; the code is as it is. But nothing is synced: no power is cut here.
  2. What SIGKILL leaves is what is there when it comes, since buffers of a process end with it. So one run takes a
     picture before each step; in each behind which something comes into its place the task runs again. SIGINT comes
     where a picture differs from the one before or behind it: all other steps are elsewhere, in a folder for drafts.
  3. A line of JSON for each run: the step, exit code, what was said, and every file with what it holds; keys, which are
     random, only by their being some.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pyrage
from invoke import Program

import tasks
from rustun.ops.tasks import arguments, editing, fleet, project

CHANGES: Final = {"write", "replace", "rename", "link", "symlink", "mkdir", "unlink", "rmdir", "chmod", "truncate"}
FILES: Final = (io.BufferedWriter, io.TextIOWrapper, io.FileIO)  # opened, but empty, when `write` is called
KEY: Final = re.compile("[A-Za-z0-9+/]{43}=")
WORLD: Final = "world"
TASKS: Final = {
    "gen-config": "gen-config --inventory inventory/acme",
    "add-cluster": "add-cluster blue --inventory inventory/acme --set network=10.0.2.0/24",
    "add-member": "add-member red carol --inventory inventory/acme --set mtu=1400",
    "edit-member": "edit-member bob --inventory inventory/acme --set mtu=1400",
    "disable-member": "disable-member bob --inventory inventory/acme",
    "remove-member": "remove-member bob --yes --inventory inventory/acme",
    "rename-member": "rename-member alice ally --inventory inventory/acme",
    "rotate-keys": "rotate-keys --offline --yes --inventory inventory/acme",
    "lint --accept": "lint --accept --inventory inventory/acme",
    "secrets-seal": "secrets-seal --inventory inventory/acme",
    "secrets-open": "secrets-open --inventory inventory/acme --identity identity",
    "inventory-import": "inventory-import routes.json --server-toml server.toml --address 192.0.2.9:80 --out new.toml",
    "schema": "schema",
}


def files(folder: Path) -> dict[str, str]:
    """Return every file and link below a folder, and what it holds."""
    found = {}
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in (*names, *links)):
            found[str(path.relative_to(folder))] = held_by(path)
    return found


def visible(found: Mapping[str, str]) -> dict[str, str]:
    """Return the files that anybody looks at: a draft of a process that was killed is overwritten by the next."""
    return {name: held for name, held in found.items() if not any(part.startswith(".") for part in Path(name).parts)}


def held_by(path: Path) -> str:
    """Return what a file holds, keys only by their being some; or where a link leads; or what is sealed in it."""
    if path.is_symlink():
        return f"-> {path.readlink()}"
    data = path.read_bytes()
    if ".age" in path.suffixes:  # its bytes are random
        identity = pyrage.x25519.Identity.from_str((path.parents[2] / "identity").read_text())
        try:
            data = pyrage.decrypt(data, [identity])
        except pyrage.DecryptError:
            return "not sealed"
    return KEY.sub("KEY", data.decode())


def keys(folder: Path) -> dict[str, str]:
    """Return every private key below a folder, as it is."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.key")}


def run(command: str) -> int:
    """Run one command line as ./invoke would, here; return its exit code."""
    try:
        Program(namespace=tasks.namespace).run(["invoke", *command.split()])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


class Steps:
    """A profile function that counts steps, the first being 1.

    Args:
        interrupt_at: the step before which the process sends SIGINT to itself; 0: none.
        picture: called with the number of each step, before it.
    """

    def __init__(self, interrupt_at: int = 0, picture: Callable[[int], None] | None = None) -> None:
        self.done = 0
        self._interrupt_at = interrupt_at
        self._picture = picture

    def __call__(self, _frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call" or not changes_a_file(called):
            return
        self.done += 1
        if self._picture is not None:
            self._picture(self.done)
        if self.done == self._interrupt_at:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)


def changes_a_file(called: Any) -> bool:
    """Tell whether a function of C changes what is on the disk."""
    name = called.__name__
    return name in CHANGES and (called.__module__ == "posix" or isinstance(called.__self__, FILES))


def attempt(folder: Path, command: str, look: Steps) -> dict[str, Any]:
    """Run a command in the folder `try`, looked at before each step; return what came of it."""
    said, counted = folder / "said", folder / "steps"
    if not (child := os.fork()):
        code = 1
        try:
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os.chdir(folder / "try")
            sys.setprofile(look)
            code = run(command)
        finally:
            sys.setprofile(None)
            counted.write_text(str(look.done))
            sys.stdout.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = int(counted.read_text())
    here = folder / "try"
    return {"code": code, "steps": steps, "said": said.read_text(), "files": files(here), "keys": keys(here)}


def copy(source: Path, target: Path) -> None:
    """Make a folder the same as another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def attempts(folder: Path, task: str) -> Iterator[dict[str, Any]]:
    """Yield the files before, a whole run, what each ctrl-C left, and each picture with what came of it."""
    command = TASKS[task]
    world, here, pictures = folder / WORLD, folder / "try", folder / "pictures"
    yield {"files": files(world)}
    copy(world, here)
    pictures.mkdir()
    whole = attempt(folder, command, Steps(picture=lambda step: copy(here, pictures / str(step))))
    yield {"run": "whole", "task": task, **whole}
    left = [files(world), *(files(pictures / str(step)) for step in range(1, whole["steps"] + 1)), whole["files"]]
    for step in range(1, whole["steps"] + 1):
        if left[step - 1] != left[step] or left[step] != left[step + 1]:
            copy(world, here)
            yield {"run": "interrupted", "step": step, **attempt(folder, command, Steps(interrupt_at=step))}
        if visible(left[step]) != visible(left[step + 1]):
            copy(pictures / str(step), here)
            kept = keys(here)
            yield {"run": "again", "step": step, "left": left[step], "kept": kept, **attempt(folder, command, Steps())}


def main() -> None:
    """Try one task."""
    folder, task = Path(sys.argv[1]), sys.argv[2]
    for module in (arguments, editing, fleet, project):
        vars(module)["ROOT"] = folder / "try"
    vars(os)["sync"] = vars(os)["fsync"] = lambda *_descriptor: None
    copy(folder / WORLD, folder / "try")
    os.chdir(folder / "try")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        run(TASKS[task])  # imports what is needed
    for found in attempts(folder, task):
        print(json.dumps(found))


if __name__ == "__main__":
    main()
