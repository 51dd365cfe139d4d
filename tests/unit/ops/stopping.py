"""Stop a task at each of its steps on the disk, and tell what is there then.

    python -m tests.unit.ops.stopping

Rules of this module
  1. Standard input has one request a line: folder, tab, task. All is imported once, and a task runs once to its end;
     then each try is a fork, in a copy of the folder. It runs the command line as `./invoke` does, and sends SIGINT to
     itself before its n-th call that changes something on the disk. Such calls are seen by a profile function; the code
     is as it is. But nothing is synced: no power is cut here.
  2. What SIGKILL leaves is what is there when it comes, since buffers of a process end with it. So one run takes a
     picture before each step; in each behind which something comes into its place the task runs again. SIGINT comes
     where a picture differs from the one before or behind it: all other steps are elsewhere, in a folder for drafts.
  3. The answer is one line of JSON, a list of runs: the step, exit code, what was said, and every file with what it
     holds; keys, which are random, only by their being some.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.unit.ops.writing_tasks import TASKS, files, keys, run, visible

CHANGES: Final = {"write", "replace", "rename", "link", "symlink", "mkdir", "unlink", "rmdir", "chmod", "truncate"}
WORLD: Final = "world"
FILES: Final = (io.BufferedWriter, io.TextIOWrapper, io.FileIO)  # opened, but empty, when `write` is called


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


def attempt(folder: Path, task: str, look: Steps) -> dict[str, Any]:
    """Run a task in the folder `try`, looked at before each step; return what came of it."""
    said, counted = folder / "said", folder / "steps"
    if not (child := os.fork()):
        code = 1
        try:
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.setprofile(look)
            code = run(folder / "try", TASKS[task])
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
    world, here, pictures = folder / WORLD, folder / "try", folder / "pictures"
    yield {"files": files(world)}
    copy(world, here)
    pictures.mkdir()
    whole = attempt(folder, task, Steps(picture=lambda step: copy(here, pictures / str(step))))
    yield {"run": "whole", "task": task, **whole}
    left = [files(world), *(files(pictures / str(step)) for step in range(1, whole["steps"] + 1)), whole["files"]]
    for step in range(1, whole["steps"] + 1):
        if left[step - 1] != left[step] or left[step] != left[step + 1]:
            copy(world, here)
            yield {"run": "interrupted", "step": step, **attempt(folder, task, Steps(interrupt_at=step))}
        if visible(left[step]) != visible(left[step + 1]):
            copy(pictures / str(step), here)
            kept = keys(here)
            yield {"run": "again", "step": step, "left": left[step], "kept": kept, **attempt(folder, task, Steps())}


def answer(folder: Path, task: str) -> None:
    """Try one task."""
    copy(folder / WORLD, folder / "try")
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        run(folder / "try", TASKS[task])  # imports what is needed
    print(json.dumps(list(attempts(folder, task))), flush=True)


def main() -> None:
    """Answer until nobody asks any more."""
    vars(os)["sync"] = vars(os)["fsync"] = lambda *_descriptor: None
    for line in sys.stdin:
        folder, task = line.rstrip("\n").split("\t")
        answer(Path(folder), task)


if __name__ == "__main__":
    main()
