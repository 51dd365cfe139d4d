"""./invoke: when it makes the environment, from what, and what it says where it cannot."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
import venv
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "invoke"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, loaded as a module, at work in a checkout of its own with nothing installed."""
    loader = SourceFileLoader("invoke_script", str(SCRIPT))
    spec = importlib.util.spec_from_loader("invoke_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    for name, value in (
        ("ROOT", tmp_path),
        ("VENV", tmp_path / ".venv"),
        ("PYTHON", tmp_path / ".venv" / "bin" / "python"),
        ("LOCK", tmp_path / "requirements.lock"),
        ("STAMP", str(tmp_path / ".venv" / "made-by-invoke")),
    ):
        monkeypatch.setattr(module, name, value)
    (tmp_path / "requirements.lock").write_text("invoke==1\n")
    return module


def test_a_standard_stream_that_is_closed_is_opened() -> None:
    """A task under `>&-` would end in a traceback, or write its words into the next file that it opens."""
    after = "import os, sys; sys.exit(len({os.fstat(one).st_rdev for one in range(3)}) + sys.stdout.write('told'))"
    code = f"import os, runpy, sys; sys.dont_write_bytecode = True; script = runpy.run_path({str(SCRIPT)!r}); "
    code += f"script['open_standard_streams'](); os.execv(sys.executable, [sys.executable, '-c', {after!r}])"
    closed = f"exec {shlex.join([sys.executable, '-c', code])} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", closed], check=False, timeout=30).returncode == 1 + len("told")


class Pip:
    """Stands for pip and venv: remembers calls, makes a folder with a python in it."""

    def __init__(self, folder: Path, exit_code: int = 0) -> None:
        self.folder = folder
        self.exit_code = exit_code
        self.calls: list[list[str]] = []

    def create(self, _path: Path) -> None:
        """Take the place of EnvBuilder.create."""
        self.folder.joinpath("bin").mkdir(parents=True, exist_ok=True)
        for name in ("python", "invoke"):
            (self.folder / "bin" / name).touch(mode=0o755)

    def call(self, command: list[Any]) -> int:
        """Take the place of subprocess.call."""
        assert (self.folder / "made-by-invoke").read_text() == "", "an environment looks made before it is"
        self.calls.append([str(word) for word in command])
        return self.exit_code


@pytest.fixture
def pip(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Pip:
    """No network, no real environment."""
    double = Pip(Path(script.VENV))
    monkeypatch.setattr(venv.EnvBuilder, "create", double.create)
    monkeypatch.setattr("subprocess.call", double.call)
    return double


def test_it_installs_the_lock_by_hash_then_the_checkout(script: ModuleType, pip: Pip) -> None:
    """Something else than what was reviewed and pinned would be installed."""
    script.make_environment()
    lock, checkout = pip.calls
    assert lock[-3:] == ["--require-hashes", "-r", str(script.LOCK)]
    assert {"--no-deps", "--no-index", "-e", str(script.ROOT)} <= set(checkout)
    assert script.is_made()


def test_it_works_once(script: ModuleType, pip: Pip) -> None:
    """Every task would wait for pip."""
    script.make_environment()
    script.make_environment()
    assert len(pip.calls) == 2


def test_a_new_lock_makes_it_anew(script: ModuleType, pip: Pip) -> None:
    """Tests would run against versions that nobody else has."""
    script.make_environment()
    script.LOCK.write_text("invoke==2\n")
    assert not script.is_made()
    script.make_environment()
    assert len(pip.calls) == 4
    assert script.is_made()


def test_a_failed_or_interrupted_making_is_repeated(
    script: ModuleType, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half an environment would be taken for a whole one for ever."""
    pip.exit_code = 1
    with pytest.raises(SystemExit, match="4"):
        script.make_environment()
    assert "pip failed" in capsys.readouterr().err
    assert not script.is_made()
    pip.exit_code = 0
    script.make_environment()
    assert script.is_made()


def test_ones_own_environment_is_left_alone(script: ModuleType, pip: Pip) -> None:
    """./invoke would delete an environment that a developer made."""
    pip.create(script.VENV)
    script.make_environment()
    assert pip.calls == []


def test_what_a_link_leads_to_is_left_alone(script: ModuleType, pip: Pip, tmp_path: Path) -> None:
    """./invoke in one checkout would empty the environment of another, while that one works with it."""
    other = tmp_path / "other"
    pip.folder = other
    pip.create(other)
    (other / "made-by-invoke").write_text("of another checkout")
    script.VENV.symlink_to(other)
    script.make_environment()
    assert (pip.calls, (other / "made-by-invoke").read_text()) == ([], "of another checkout")


def test_a_foreign_environment_without_invoke_is_named(
    script: ModuleType, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user would see an import error, or lose the folder."""
    script.VENV.mkdir()
    with pytest.raises(SystemExit, match="4"):
        script.make_environment()
    assert "pip install -e" in capsys.readouterr().err
    assert pip.calls == []


def test_a_python_without_venv_says_what_to_install(
    script: ModuleType, pip: Pip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a minimal Debian the first command of the README would end in a traceback."""
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="4"):
        script.make_environment()
    assert "apt install python3-venv" in capsys.readouterr().err
    assert not script.VENV.exists()
    assert pip.calls == []


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ([], ["--list"]),
        (["rename-member", "--help"], ["--help", "rename-member"]),
        (["lab-exec", "-h"], ["--help", "lab-exec"]),
        (["lab-exec", "control", "--", "ls", "--help"], ["lab-exec", "control", "--", "ls", "--help"]),
        (["--help", "plan"], ["--help", "plan"]),
        (["plan", "--diff"], ["plan", "--diff"]),
    ],
)
def test_help_is_there_for_each_task(script: ModuleType, typed: list[str], taken: list[str]) -> None:
    """Asking for help on a task that has to have arguments would be answered with what is missing."""
    assert script.words_for_invoke(typed) == taken
