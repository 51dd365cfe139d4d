"""Wheels: which ones a host takes, what a release is called, and what is missing."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from rustun.ops.deploy.wheelhouse import Platform, Wheelhouse, platform_of, runtime_part

ROOT = Path(__file__).resolve().parents[4]
BOOKWORM = Platform("x86_64", "glibc", "2.36", "/usr/bin/python3", "3.11.2")


def facts(*versions: str) -> dict[str, object]:
    """Return the part of a host's facts that tells its platform."""
    pythons = [{"path": f"/usr/bin/python{version}", "version": version} for version in versions]
    return {"arch": "x86_64", "libc": "glibc", "libc_version": "2.36", "pythons": pythons}


def test_the_newest_python_that_will_do() -> None:
    """A host with an old system Python and a new one beside it would be refused, or get the old one."""
    platform = platform_of(facts("3.9.2", "3.12.10", "3.11.4"))
    assert isinstance(platform, Platform)
    assert (platform.python, platform.short_python) == ("/usr/bin/python3.12.10", "3.12")
    assert platform_of(facts("Warning: deprecated\n3.13.0", "3.12.1")) == replace(
        platform, python="/usr/bin/python3.12.1", python_version="3.12.1"
    )
    assert platform_of(facts("3.9.2")) == ("its newest Python is 3.9.2, rustun needs 3.11: install python3.11 or newer")


def test_tags_of_old_and_new_systems() -> None:
    """pip would take a wheel that the host's C library cannot load, or find none."""
    assert BOOKWORM.tags[0] == "manylinux_2_36_x86_64"
    assert BOOKWORM.tags[-2:] == ("manylinux_2_17_x86_64", "manylinux2014_x86_64")
    musl = Platform("aarch64", "musl", "1.2", "/usr/bin/python3", "3.12.1")
    assert musl.tags == ("musllinux_1_2_aarch64", "musllinux_1_1_aarch64", "musllinux_1_0_aarch64")


def test_the_runtime_part_of_the_lock() -> None:
    """A host would get test tools, or a release without a package that it needs."""
    part = Wheelhouse(ROOT).requirements()
    names = {line.partition("==")[0] for line in part.splitlines() if "==" in line}
    assert {"click", "cryptography", "pyroute2", "rich", "cffi", "pygments"} <= names
    assert names.isdisjoint({"pytest", "scapy", "jinja2", "invoke", "mypy", "setuptools"})
    assert all(line.lstrip().startswith("--hash=sha256:") for line in part.splitlines() if "==" not in line)


def test_the_web_process_brings_its_packages() -> None:
    """A server that shall have a dashboard would not start."""
    without, part = (
        {line.partition("==")[0] for line in Wheelhouse(ROOT).requirements(web=web).splitlines() if "==" in line}
        for web in (False, True)
    )
    assert {"aiohttp", "prometheus-client", "multidict", "yarl"} <= part - without
    assert without <= part
    assert part.isdisjoint({"pytest", "playwright", "sphinx"})


def test_what_the_runtime_part_follows() -> None:
    """A package that a dependency of a dependency needs would be missing."""
    needed_by = {"a": ["rustun"], "b": ["a", "z"], "c": ["b"], "d": ["z"]}
    lock = ""
    for name, parents in needed_by.items():
        via = " via " + parents[0] if len(parents) == 1 else " via\n    #   " + "\n    #   ".join(parents)
        lock += f"{name}==1 \\\n    --hash=x\n    #{via}\n"
    found = [line.partition("==")[0] for line in runtime_part(lock, {"a"}).splitlines() if "==" in line]
    assert found == ["a", "b", "c"]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the project's wheel is made of, with one dependency, and an index that is a folder."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "rustun", copy / "rustun", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copyfile(ROOT / name, copy / name)
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "click-9.9-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("click/__init__.py", "")
        archive.writestr("click-9.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: click\nVersion: 9.9\n")
        archive.writestr("click-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("click-9.9.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (copy / "requirements.lock").write_text(f"click==9.9 \\\n    --hash=sha256:{digest}\n    # via rustun\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return copy


def description(wheel: Path) -> str:
    """Return what a wheel says of itself beyond its headers: the project's description."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name).decode().partition("\n\n")[2]


def test_a_release_is_fetched_once_and_called_by_what_it_is(checkout: Path, tmp_path: Path) -> None:
    """Every deployment would fetch everything again, or a changed program would look like the old one."""
    wheels = Wheelhouse(checkout)
    release = wheels.release(BOOKWORM)
    assert release.missing == ""
    assert [name.partition("-")[0] for name, _ in release.wheels] == ["click", "rustun"]
    assert all(wheels.content(name, digest).is_file() for name, digest in release.wheels)
    assert release.unpacked_bytes > 500_000
    shutil.rmtree(tmp_path / "index")  # nothing is asked again
    assert Wheelhouse(checkout).release(BOOKWORM) == release
    (checkout / "README.md").write_text("# another\n")  # no host restarts for a word that was mended
    assert Wheelhouse(checkout).digest(BOOKWORM) == release.digest
    assert not description(wheels.content(*release.wheels[1])), "one digest would stand for two wheels"
    (checkout / "rustun" / "new.py").write_text("")
    assert Wheelhouse(checkout).digest(BOOKWORM) != release.digest
    (checkout / "rustun" / "new.py").unlink()
    (checkout / "rustun" / "ops" / "new.py").write_text("")  # the toolkit is no part of a release
    assert Wheelhouse(checkout).digest(BOOKWORM) == release.digest


def test_a_wheel_that_is_missing_is_named(checkout: Path) -> None:
    """The operator would not know which package holds up a host."""
    lock = checkout / "requirements.lock"
    lock.write_text(lock.read_text().replace("click==9.9", "click==9.8"))
    release = Wheelhouse(checkout).release(BOOKWORM)
    assert release.missing.startswith("no wheels for Linux x86_64 (glibc 2.36), Python 3.11: ")
    assert "click==9.8" in release.missing


def test_an_index_that_does_not_answer_is_told_from_one_that_lacks_a_version(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator would look for a version that does not exist, when only his network is down."""
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # discard: nobody listens
    monkeypatch.setenv("PIP_FIND_LINKS", str(checkout))
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert "no package index answers here" in Wheelhouse(checkout).release(BOOKWORM).missing


def test_a_wheel_with_another_hash_is_refused(checkout: Path) -> None:
    """Whoever gets between us and the index would run his program as root on every host."""
    lock = checkout / "requirements.lock"
    lock.write_text(lock.read_text().replace("sha256:", "sha256:0")[:-1])
    assert Wheelhouse(checkout).release(BOOKWORM).missing != ""
