"""Programs that are missing are installed once, by whoever may, and found afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netlab.packages import ADMIN_FOLDERS, lacking

PROGRAMS = {"rustun-test-program": "rustun-test-package"}
APT = """#!/bin/sh
echo "$@" >> {folder}/said
case "$*" in *" install "*) {install} ;; esac
"""
INSTALL = "printf '#!/bin/sh\\n' > {folder}/rustun-test-program; chmod +x {folder}/rustun-test-program"


def apt(folder: Path, install: str) -> Path:
    """Put an apt-get into a folder, and return where that notes what it was asked."""
    path = folder / "apt-get"
    path.write_text(APT.format(folder=folder, install=install.format(folder=folder)))
    path.chmod(0o755)
    return folder / "said"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_what_is_missing_is_installed_once(folder: Path) -> None:
    """If this fails, a fresh machine cannot run the tests, or each worker installs for itself."""
    said = apt(folder, INSTALL)
    assert lacking(PROGRAMS) == []
    assert lacking(PROGRAMS) == []
    update, install = said.read_text().splitlines()
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends rustun-test-package")
    assert os.environ["PATH"] == f"{folder}:/usr/bin:/bin{ADMIN_FOLDERS}"


def test_what_cannot_be_installed_is_named(folder: Path) -> None:
    """If this fails, a machine without a network shows a traceback of each test instead of one line."""
    apt(folder, "exit 100")
    assert lacking(PROGRAMS) == ["rustun-test-package"]


def test_who_is_not_root_installs_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an ordinary user waits for an apt that will not do it."""
    said = apt(folder, INSTALL)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lacking(PROGRAMS) == ["rustun-test-package"]
    assert not said.exists()


def test_without_a_path_programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a service with an empty environment misses what every host has."""
    monkeypatch.delenv("PATH")
    assert lacking({"sh": "dash"}) == []
