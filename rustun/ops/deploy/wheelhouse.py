"""Wheels for a host's platform and Python: what a release is made of.

Rules of this module
  1. A release is named by what runs: the runtime's part of requirements.lock, the sources of the project, the host's
     platform and Python. So its digest is known before anything is fetched, and the same for everybody. Documentation
     is no part of it: where that changes, no host is upgraded.
  2. Packages are those that the lock pins, by hash; those of the web process only where a host has one. The project's
     own wheel is built from this checkout.
  3. What was fetched or built once is kept in build/wheels/, by what it is.
  4. A wheel that cannot be had is named, and then nothing is touched: a host without a compiler builds none.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from rustun.ops.deploy.records import Json, Release

OLDEST_PYTHON: Final = (3, 11)
DIGEST_CHARACTERS: Final = 16  # of 64: names a release; each wheel is checked by its whole digest
SOURCES: Final = ("pyproject.toml", "LICENSE")
DESCRIPTION: Final = "README.md"  # that pyproject.toml wants, for package indexes
OLDEST_GLIBC_MINOR: Final = 17  # manylinux2014
PIN: Final = re.compile(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", re.MULTILINE)
WANTED_BY: Final = re.compile(r"#\s+(?:via )?(\S+)$", re.MULTILINE)
VERSION: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}")  # a broken interpreter may tell anything
PIP: Final = ("-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input")


@dataclass(frozen=True, slots=True)
class Platform:
    """What decides which wheels a host takes.

    Attributes:
        arch: as `uname -m` says it.
        libc: "glibc" or "musl".
        libc_version: as in 2.36.
        python: path of the interpreter that a release will be made with.
        python_version: as in 3.11.2.
    """

    arch: str
    libc: str
    libc_version: str
    python: str
    python_version: str

    @property
    def short_python(self) -> str:
        """The version that wheels go by, as in 3.11."""
        return ".".join(self.python_version.split(".")[:2])

    @property
    def tags(self) -> tuple[str, ...]:
        """The platform tags of wheels that run here, the newest first (PEP 600, PEP 656)."""
        major, minor = (int(part) for part in self.libc_version.split(".")[:2])
        if self.libc != "glibc":
            return tuple(f"musllinux_{major}_{older}_{self.arch}" for older in range(minor, -1, -1))
        versions = range(minor, OLDEST_GLIBC_MINOR - 1, -1)
        return (*(f"manylinux_{major}_{older}_{self.arch}" for older in versions), f"manylinux2014_{self.arch}")

    def __str__(self) -> str:
        return f"Linux {self.arch} ({self.libc} {self.libc_version}), Python {self.short_python}"


def platform_of(facts: Json) -> Platform | str:
    """Return the platform that a host's facts tell, with the newest interpreter that will do; or what it lacks."""
    known = [one for one in facts["pythons"] if VERSION.fullmatch(one["version"])]
    fit = [one for one in known if _numbers(one["version"])[:2] >= OLDEST_PYTHON]
    if not fit:
        newest = max((one["version"] for one in known), key=_numbers, default="none")
        needed = ".".join(map(str, OLDEST_PYTHON))
        return f"its newest Python is {newest}, rustun needs {needed}: install python{needed} or newer"
    best = max(fit, key=lambda one: _numbers(one["version"]))
    return Platform(facts["arch"], facts["libc"], facts["libc_version"], best["path"], best["version"])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


class Wheelhouse:
    """The wheels of one checkout, for any platform; `folder` is where they are kept."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self.folder = checkout / "build" / "wheels"

    def requirements(self, *, web: bool = False) -> str:
        """Return the runtime's part of requirements.lock, with the extra `web` or without."""
        return self._requirements[web]

    @cached_property
    def _requirements(self) -> dict[bool, str]:
        lock = (self._checkout / "requirements.lock").read_text()
        return {web: runtime_part(lock, _dependencies(self._checkout, web=web)) for web in (False, True)}

    @cached_property
    def source_digest(self) -> str:
        """Digest of all that the project's own wheel is made of."""
        seen = hashlib.sha256()
        for path in _sources(self._checkout):
            data = path.read_bytes()
            seen.update(f"{path.relative_to(self._checkout)}\0{len(data)}\0".encode() + data)
        return seen.hexdigest()

    def digest(self, platform: Platform, *, web: bool = False) -> str:
        """Return the digest of the release for a platform, with the web process's packages or without."""
        parts = (self.requirements(web=web), self.source_digest, *platform.tags[:1], platform.short_python)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGEST_CHARACTERS]

    def release(self, platform: Platform, *, web: bool = False) -> Release:
        """Return the release for a platform, its wheels fetched; `missing` says what could not be had."""
        digest = self.digest(platform, web=web)
        try:
            files = [*self._packages(platform, self.requirements(web=web)), self._own_wheel()]
        except subprocess.CalledProcessError as error:
            reason = f"no wheels for {platform}: {_first_complaint(error.stdout)}"
            return Release(digest, platform.python, platform.python_version, missing=reason)
        wheels = tuple((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
        unpacked = sum(entry.file_size for file in files for entry in zipfile.ZipFile(file).infolist())
        return Release(digest, platform.python, platform.python_version, wheels, 2 * unpacked)  # compiled as well

    def content(self, name: str, digest: str) -> Path:
        """Return where a wheel of a release is."""
        found = (path for path in sorted(self.folder.glob(f"*/{name}")) if _digest_of(path) == digest)
        return next(found)

    def _packages(self, platform: Platform, requirements: str) -> list[Path]:
        """Return the wheels of the packages that a part of the lock pins, fetched where they are not kept."""
        name = hashlib.sha256("\0".join((requirements, *platform.tags, platform.short_python)).encode())
        place = self.folder / name.hexdigest()[:DIGEST_CHARACTERS]
        if not place.is_dir():
            where = [option for tag in platform.tags for option in ("--platform", tag)]
            tag = "cp" + platform.short_python.replace(".", "")
            where += ["--implementation", "cp", "--abi", tag, "--abi", "abi3", "--abi", "none"]
            with _draft(place) as draft, tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
                wanted.write(requirements)
                wanted.flush()
                options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(draft)]
                options += ["--python-version", platform.short_python, *where, "--requirement", wanted.name]
                _pip("download", *options)
        return sorted(place.glob("*.whl"))

    def _own_wheel(self) -> Path:
        place = self.folder / self.source_digest[:DIGEST_CHARACTERS]
        if not place.is_dir():
            with _draft(place) as draft, tempfile.TemporaryDirectory(prefix="rustun-wheel-") as copy:
                for path in _sources(self._checkout):  # a copy: building leaves folders beside the sources
                    target = Path(copy, path.relative_to(self._checkout))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
                Path(copy, DESCRIPTION).touch()
                _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(draft), copy)
        return next(place.glob("*.whl"))


def _dependencies(checkout: Path, *, web: bool) -> set[str]:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(project["optional-dependencies"]["web"] if web else ())]
    names = (re.match(r"[A-Za-z0-9._-]+", text) for text in wanted)
    return {found[0].lower().replace("_", "-") for found in names if found}


def runtime_part(lock: str, dependencies: set[str]) -> str:
    """Return the entries of a lock that the runtime needs.

    Args:
        lock: text of requirements.lock; each entry tells what it was taken for (`# via`).
        dependencies: what [project] of pyproject.toml names.
    """
    entries = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", lock, flags=re.MULTILINE)
    pinned = {found[1]: entry for entry in entries if (found := PIN.match(entry))}
    needed = {name for name in pinned if name in dependencies}
    while more := {
        name for name in pinned.keys() - needed if needed & set(re.findall(r"#\s+(?:via )?(\S+)$", pinned[name], re.M))
    }:
        needed |= more
    lines = (line for name in sorted(needed) for line in pinned[name].splitlines())
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _sources(checkout: Path) -> list[Path]:
    """Return the files that the project's wheel is made of, sorted."""
    package = (path for path in (checkout / "rustun").rglob("*") if path.is_file())
    pages = checkout / "rustun" / "web" / "pages"
    modules = (one for one in package if one.suffix == ".py" or one.name == "py.typed" or one.is_relative_to(pages))
    runtime = (path for path in modules if path.relative_to(checkout).parts[1] != "ops")
    return sorted([*(checkout / name for name in SOURCES), *runtime])


@contextlib.contextmanager
def _draft(place: Path) -> Iterator[Path]:
    """Give a folder that gets its name when it is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=place.parent) as folder:
        draft = Path(folder, "wheels")
        draft.mkdir()
        yield draft
        with contextlib.suppress(FileExistsError):  # somebody else was faster, with the same
            draft.rename(place)


def _pip(*words: str) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}  # 1980-01-01, as early as a zip file can say
    environment.pop("PYTHONDEVMODE", None)  # pip has warnings of its own
    command = [sys.executable, *PIP, *words]
    subprocess.run(command, check=True, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _first_complaint(said: str | None) -> str:
    if "WARNING: Retrying (" in (said or ""):  # what pip complains of afterwards is that it knows no version
        return "no package index answers here; what was fetched once, elsewhere too, is taken from build/wheels/"
    complaints = [line.removeprefix("ERROR: ") for line in (said or "").splitlines() if line.startswith("ERROR")]
    return complaints[0] if complaints else (said or "pip failed").strip().splitlines()[-1]


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
