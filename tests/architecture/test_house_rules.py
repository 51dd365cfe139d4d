"""The habits of the house that a machine can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT, module_name, python_files, text_files

MAX_FILE_LINES = 400  # a longer file wants to be two
MAX_FUNCTION_LINES = 50
MACHINE_PLACES = re.compile(r"/(?:work|root|home/[a-z]+)/(?!\.)|/tmp/brief|/opt/wheels")
INDEX_HOSTS = re.compile("|".join(("py" + "pi[.]org", "python" + "hosted", "simple/?[ ]index")), re.IGNORECASE)
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
ALL_PYTHON = python_files("rustun", "netlab", "tests")
TESTS = [path for path in python_files("tests") if path.name.startswith("test_")]


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Yield every function of a file."""
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every call, and of every attribute that a test decorator names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
        elif isinstance(node, ast.FunctionDef):
            yield from ((node.lineno, ast.unparse(decorator)) for decorator in node.decorator_list)


@pytest.mark.parametrize("path", ALL_PYTHON, ids=module_name)
def test_files_and_functions_stay_short(path: Path) -> None:
    """Files and functions that grow without a bound are where the next bug hides."""
    lines = path.read_text().count("\n")
    assert lines <= MAX_FILE_LINES, f"{path.relative_to(ROOT)}: {lines} lines; what does it want to be two of?"
    for function in functions(path):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        place = f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
        assert length <= MAX_FUNCTION_LINES, f"{place}: {length} lines"


@pytest.mark.parametrize("path", ALL_PYTHON, ids=module_name)
def test_names_say_what_is_inside(path: Path) -> None:
    """A file called utils collects whatever has no place, until nobody finds anything."""
    assert path.stem not in VAGUE_NAMES, f"{path.relative_to(ROOT)}: name it by what is inside"


@pytest.mark.parametrize("path", python_files("rustun", "netlab"), ids=module_name)
def test_modules_open_with_their_rules(path: Path) -> None:
    """Without its rules on top a reviewer has no line to point at."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)}: no module docstring"


@pytest.mark.parametrize("path", python_files("rustun", "netlab"), ids=module_name)
def test_public_names_are_described(path: Path) -> None:
    """A public function or class without a docstring has to be read to be used."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has no docstring"


@pytest.mark.parametrize("path", TESTS, ids=module_name)
def test_tests_say_what_breaks(path: Path) -> None:
    """A failing test without its reason sends the reader into the code to find out why it exists."""
    for function in functions(path):
        if function.name.startswith("test_"):
            place = f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
            assert ast.get_docstring(function), f"{place} does not say what breaks"


@pytest.mark.parametrize("path", python_files("netlab", "tests"), ids=module_name)
def test_nobody_sleeps(path: Path) -> None:
    """A fixed wait is too long on a fast machine and too short on a busy one; wait for the event."""
    for line, name in calls(path):
        assert name not in ("time.sleep", "sleep", "asyncio.sleep"), f"{path.relative_to(ROOT)}:{line}: {name}"


@pytest.mark.parametrize("path", TESTS, ids=module_name)
def test_nothing_is_skipped(path: Path) -> None:
    """A skipped test is a promise that nobody checks."""
    for line, name in calls(path):
        skips = name.rpartition(".")[2] in ("skip", "skipif", "importorskip", "xfail", "skipTest")
        assert not skips, f"{path.relative_to(ROOT)}:{line}: {name}"


def test_no_file_names_one_machine() -> None:
    """A path of the author's machine or an index host makes the project work in one place only."""
    own = Path(__file__).name
    for path in text_files():
        if path.name == own:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
            found = MACHINE_PLACES.search(line) or INDEX_HOSTS.search(line)
            assert found is None, f"{path.relative_to(ROOT)}:{number}: {found[0] if found else ''}"


def test_no_unfinished_business() -> None:
    """A TODO is a plan that nobody owns; do it or leave it out."""
    for path in [*ALL_PYTHON, ROOT / "tasks.py", *sorted((ROOT / "templates").iterdir())]:
        if path.name == Path(__file__).name:
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found = re.search(r"#\s*(TODO|FIXME|XXX)", line)
            assert found is None, f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
