"""The messages are the product: every broken file of tests/golden/config with all that `check` says about it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rustun.config import check_files

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.suffix != ".txt")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEY_FILES = {
    "good.key": (0o600, "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"),
    "open.key": (0o644, "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=\n"),
    "lines.key": (0o600, "one\ntwo\n"),
    "words.key": (0o600, "no key at all\n"),
    "empty.key": (0o400, "\n"),
}


def said(name: str, folder: Path) -> str:
    """Return what `check` prints about the case, with `folder` as the working directory."""
    problems = check_files([Path(name)], NOW)
    return "".join(f"{line}\n" for problem in problems for line in problem.lines()).replace(str(folder), "FOLDER")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every case, and with key files of the modes that git does not keep."""
    folder = tmp_path_factory.mktemp("cases")
    for name in CASES:
        shutil.copyfile(GOLDEN / name, folder / name)
    for name, (mode, text) in KEY_FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return folder


@pytest.fixture
def folder(copies: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder as the working directory."""
    monkeypatch.chdir(copies)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return copies


@pytest.mark.parametrize("name", CASES)
def test_every_message_of_a_broken_file(name: str, folder: Path) -> None:
    """An operator is left without file, line, reason or remedy, or reads another text than was reviewed."""
    expected = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert said(name, folder) == expected


@pytest.mark.parametrize("name", CASES)
def test_no_message_shows_a_secret(name: str, folder: Path) -> None:
    """A key ends up on a terminal or in a log."""
    shown = said(name, folder)
    for secret in ("a long and random key string", "yAnz5TF", "0123456789"):
        assert secret not in shown
