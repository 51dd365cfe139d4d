"""The wheel: what goes in, and that it runs away from the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import rustun

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "rustun" / "web" / "pages"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network from a copy of what it is made of."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for path in (ROOT / "rustun").rglob("*"):
        if path.suffix == ".py" or path.name == "py.typed" or (path.is_file() and PAGES in path.parents):
            (source / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            (source / path.relative_to(ROOT)).write_bytes(path.read_bytes())
    out = tmp_path_factory.mktemp("dist")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(out), str(source)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}  # pip's own warnings
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_the_wheel_holds_the_runtime_and_only_that(wheel: Path) -> None:
    """An installation would miss modules, or put `tests` and `netlab` where other packages look for theirs."""
    names = zipfile.ZipFile(wheel).namelist()
    packaged = {name for name in names if not name.startswith(f"rustun-{rustun.__version__}.dist-info/")}
    runtime = {str(path.relative_to(ROOT)) for path in (ROOT / "rustun").rglob("*.py") if "ops" not in path.parts}
    pages = {str(path.relative_to(ROOT)) for path in PAGES.rglob("*") if path.is_file()}
    assert packaged == runtime | pages | {"rustun/py.typed"}


def test_the_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """`pip install` would give a command that only works beside the sources."""
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    entry = "from importlib.metadata import entry_points; import sys; sys.argv[0] = 'rustun'\n"
    entry += "[script] = entry_points(group='console_scripts', name='rustun'); sys.exit(script.load()())\n"
    python = environment / "bin" / "python"
    command = [str(python), "-I", "-c", entry, "--version"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert rustun.__version__ in done.stdout
    where = [str(python), "-I", "-c", "import rustun; print(rustun.__file__)"]
    assert subprocess.check_output(where, cwd=tmp_path, text=True).startswith(str(packages))
