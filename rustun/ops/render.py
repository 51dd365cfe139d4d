"""What an inventory generates (artefacts.py), compared with what is in a folder, and put in place.

Rules of this module
  1. The same inventory gives the same bytes: no clock, no host name, no order of a set.
  2. A plan is made in memory and compared with what is there; a dry run is the same plan without its last step.
  3. What changes is written to a staging folder, read back by the project's own parsers, and only when all of it is
     good is each file renamed into place. Before that point nothing has changed; old files stay whole. ctrl-C waits
     until the last one is in place.
  4. Files that nothing generated are reported, never deleted. Private and shared keys are in files of their own
     (keyring.py) and never rendered.
"""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from rustun.config.keys import new_private_key
from rustun.errors import ConfigError, HostError, Problem
from rustun.ops.artefacts import artefacts
from rustun.ops.filenames import SECRETS, STAGING, server_file
from rustun.ops.fleet import Inventory
from rustun.ops.halves import in_halves
from rustun.ops.keyfiles import find_keys, write_key, write_key_files
from rustun.ops.keyring import Keyring, gather
from rustun.ops.masking import masked
from rustun.ops.reading_back import Kind as FileKind
from rustun.ops.reading_back import read_back
from rustun.ops.unchanged import KEPT
from rustun.ops.uninterrupted import uninterrupted

FILE_MODE: Final = 0o644  # no secret is rendered
US_PER_BYTE: Final = 0.5  # to write and to read back

Kind = Literal["new", "changed", "same"]


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file as it is (None: missing) and as it will be; `name` is relative to the plan's folder."""

    name: str
    present: bytes | None
    wished: bytes

    @property
    def kind(self) -> Kind:
        """What happens to it."""
        if self.present is None:
            return "new"
        return "same" if self.present == self.wished else "changed"

    def diff(self) -> str:
        """Return a unified diff from what is to what will be, keys masked; empty where nothing changes."""
        before = (self.present or b"").decode(errors="replace").splitlines(keepends=True)
        after = self.wished.decode().splitlines(keepends=True)
        old_name = "/dev/null" if self.present is None else f"a/{self.name}"
        return masked("".join(difflib.unified_diff(before, after, old_name, f"b/{self.name}")))


@dataclass(frozen=True, slots=True)
class RenderPlan:
    """What generating would do.

    Attributes:
        folder: where all names are relative to.
        files: every generated file, in the order of generation.
        unknown: files in the folder that nothing here generates, sorted.
        keyring: the keys that the files name, those too that have to be made.
    """

    folder: Path
    files: tuple[PlannedFile, ...]
    unknown: tuple[str, ...]
    keyring: Keyring

    @property
    def routes(self) -> PlannedFile:
        """The routes.json."""
        return next(file for file in self.files if file.name == "routes.json")

    @property
    def new_secrets(self) -> tuple[str, ...]:
        """Key files that are missing and will be generated."""
        return tuple(self.keyring.missing)

    @property
    def changes(self) -> tuple[PlannedFile, ...]:
        """The files that differ from what is there."""
        return tuple(file for file in self.files if file.kind != "same")

    @property
    def current(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and not self.new_secrets


def plan_render(inventory: Inventory, folder: Path) -> RenderPlan:
    """Compare what the inventory generates with what stands in `folder`; nothing is written.

    Raises:
        ConfigError: key files in the folder cannot be used, or are gone although generated files know them.
        HostError: the folder cannot be read.
    """
    try:
        find_keys(folder)
        keyring = gather(inventory, folder)
        wished = dict(artefacts(keyring))
        top = os.path.join(folder, "")
        files = tuple(PlannedFile(name, _read(top + name), data) for name, data in wished.items())
        there = sorted(_names_in(folder))
    except OSError as error:
        raise HostError(f"{error.filename}: cannot be read: {error.strerror}", "check who owns the folder") from error
    known = wished.keys() | keyring.kept_by_owners
    return RenderPlan(folder, files, tuple(name for name in there if name not in known), keyring)


def _names_in(folder: Path) -> Iterator[str]:
    """Yield the files below a folder by their names in it, keys left out."""
    top = os.path.join(folder, "")
    for path, folders, files in os.walk(top):
        if path == top:
            folders[:] = [name for name in folders if name not in (STAGING, SECRETS)]
            files = [name for name in files if name != SECRETS and not name.startswith(KEPT)]
        yield from (os.path.join(path, name)[len(top) :] for name in files)


def write_plan(plan: RenderPlan) -> None:
    """Generate missing keys, then put every changed file in place.

    Raises:
        ConfigError: a generated file is not what the project's parsers take; the files there stay as they were.
        HostError: no room, no right, or another run works on the folder; likewise.
    """
    if plan.current:
        return
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
        with _locked(plan.folder):
            write_key_files(plan.folder, plan.keyring.missing)
            _replace_files(plan)
    except OSError as error:
        place = error.filename or plan.folder
        reason = f"{place}: cannot be written: {error.strerror}"
        raise HostError(reason, "check the room on the disk and the owner of the folder") from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when the process dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise HostError(f"{folder}: another gen-config is writing here", "run it again when that one is done") from None
    finally:
        os.close(descriptor)


def _replace_files(plan: RenderPlan) -> None:
    staging = plan.folder / STAGING
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed; the lock says that it is over
    staging.mkdir(mode=0o700)
    try:
        (staging / SECRETS).symlink_to(Path("..") / SECRETS)
        for name in plan.keyring.kept_by_owners:  # they are not here: stand-ins, for the parsers alone
            write_key(staging / name, new_private_key())
        folders = {os.path.dirname(file.name) for file in plan.changes}
        for folder in folders:
            (staging / folder).mkdir(parents=True, exist_ok=True)
        _stage(staging, plan)
        drafts, finals = os.path.join(staging, ""), os.path.join(plan.folder, "")
        with uninterrupted():
            for folder in folders:
                (plan.folder / folder).mkdir(parents=True, exist_ok=True)
            for file in plan.changes:
                os.replace(drafts + file.name, finals + file.name)
    finally:
        with uninterrupted():
            shutil.rmtree(staging, ignore_errors=True)


def _stage(staging: Path, plan: RenderPlan) -> None:
    """Write what changes, and let the project's parsers judge it; problems name the file's final place."""
    servers = {server_file(server.name) for server in plan.keyring.inventory.servers}
    drafts, judged = os.path.join(staging, ""), set[str]()

    def stage(files: Sequence[PlannedFile]) -> list[Problem]:
        for file in files:
            _write(drafts + file.name, file.wished)
        kinds = ((file.name, _kind(file.name, servers)) for file in files)
        return [problem for name, kind in kinds if kind for problem in read_back(staging, name, kind, judged)]

    if problems := in_halves(stage, plan.changes, lambda file: US_PER_BYTE * len(file.wished)):
        raise ConfigError(tuple(replace(problem, file=str(plan.folder / problem.file)) for problem in problems))


def _write(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, FILE_MODE)  # whatever the umask
        file.write(data)


def _kind(name: str, servers: Collection[str]) -> FileKind | None:
    """Return what reads a file back; None for what only systemd, a shell or people read."""
    if name == "routes.json":
        return "routes"
    if name in servers:
        return "server"
    return "client" if name.endswith(".toml") else None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except FileNotFoundError:
        return None
