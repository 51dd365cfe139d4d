"""Man pages and completion: as they are rendered, installed and asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rustun
from rustun.cli.commands import main
from rustun.ops.handbook.building import COMPLETION
from tests.docs.conftest import ROOT

FILES = ["client.toml.5", "routes.json.5", "server.toml.5"]
MANUALS = sorted(["rustun.1", *(f"rustun-{name}.1" for name in main.commands), *FILES])
PLAIN = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_FORMATTING": "", "MANROFFSEQ": ""}
CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def man(*words: str) -> subprocess.CompletedProcess[str]:
    """Run man as a script does."""
    return subprocess.run(["man", *words], env={**os.environ, **PLAIN}, capture_output=True, text=True, check=False)


def file_of(built: Path, manual: str) -> Path:
    """Return where a man page is, as in rustun.1."""
    return built / "share" / "man" / f"man{manual[-1]}" / manual


def test_every_command_and_file_has_its_man_page(built: Path) -> None:
    """`man rustun-connect` would know of nothing."""
    assert sorted(path.name for path in (built / "share" / "man").rglob("*.[0-9]")) == MANUALS


@pytest.mark.parametrize("manual", MANUALS)
def test_a_man_page_is_rendered_without_a_warning(built: Path, manual: str) -> None:
    """A page would lose words, or run over the edge of a terminal."""
    raw = ["--warnings", "--encoding=UTF-8", "--troff-device=utf8", "-Z", "--local-file"]
    done = man(*raw, str(file_of(built, manual)))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_man_page_reads_like_one(built: Path) -> None:
    """Who looks something up would find another order than in all other pages, or two of them run into one."""
    shown = man("--local-file", str(file_of(built, "rustun-connect.1"))).stdout
    headings = [line for line in shown.splitlines() if line and line == line.upper() and not line.startswith(" ")]
    assert headings == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"]
    assert "rustun-connect - Join a network: make this host a member" in shown
    assert "--retry-refused" in shown
    assert "rustun(1), client.toml(5)" in " ".join(shown.split())
    assert "rustun keygen --out client.key" in man("--local-file", str(file_of(built, "rustun.1"))).stdout


def test_the_man_page_of_a_file_has_its_keys(built: Path) -> None:
    """An operator without a network would not learn what a key takes."""
    shown = " ".join(man("--local-file", str(file_of(built, "client.toml.5"))).stdout.split())
    assert "THE TABLE TUNNEL_CONFIG" in shown
    assert "Type: 576 to 65000; without it: 1500, legacy 1430; a change takes a restart." in shown


@pytest.mark.parametrize("shell", COMPLETION)
def test_a_completion_script_is_one_for_its_shell(built: Path, shell: str) -> None:
    """Every new shell would begin with an error."""
    script = built / "share" / COMPLETION[shell]
    done = subprocess.run([*CHECKS[shell], str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_RUSTUN_COMPLETE" in script.read_text()


def test_a_wheel_brings_man_pages_and_completion(built: Path, tmp_path: Path) -> None:
    """`pip install` would bring the program and leave its man pages behind."""
    source = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        source.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    (source / "rustun").mkdir()
    shutil.copyfile(ROOT / "rustun" / "__init__.py", source / "rustun" / "__init__.py")
    shutil.copytree(built / "share", source / "build" / "docs" / "share")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), str(source)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    data = f"rustun-{rustun.__version__}.data/data/"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        files = {name.removeprefix(data): wheel.read(name) for name in wheel.namelist() if name.startswith(data)}
    share = built / "share"
    wanted = [path for path in share.rglob("*") if path.is_file()]
    assert files == {f"share/{path.relative_to(share)}": path.read_bytes() for path in wanted}
    assert man("-M", str(share / "man"), "--where", "rustun-serve").stdout.strip().endswith("/man1/rustun-serve.1")
