"""rustun.ops.checks and soaking: one verdict over all parts, long runs that are not done twice."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from threading import Thread

import pytest

from rustun.ops import checks, soaking
from rustun.ops.checks import Part
from rustun.ops.soaking import LongRun

GOOD = Part("good", "passes", ("-c", "print('fine')"))
BAD = Part("bad", "fails", ("-c", "raise SystemExit(1)"))


def test_every_part_runs_and_one_failure_fails_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """CI would be green with a part red, or a first failure would hide the others."""
    monkeypatch.setattr(checks, "PARTS", (BAD, GOOD))
    assert checks.run_parts(tmp_path, "", 1) == 5
    out = capfd.readouterr().out
    assert "fine" in out
    assert "1 of 2 parts failed: bad" in out
    assert checks.run_parts(tmp_path, "good", 1) == 0
    assert "all parts passed" in capfd.readouterr().out


def test_a_run_leaves_a_report_of_its_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CI would have nothing to show but a log of ten thousand lines."""
    (tmp_path / "test_a.py").write_text("def test_good(): pass\ndef test_bad(): assert 1 == 2\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    tests = Part("tests", "two", ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_a.py"))
    monkeypatch.setattr(checks, "PARTS", (BAD, tests, GOOD))
    assert checks.run_parts(tmp_path, "", 1, checks.REPORT) == 5
    document = json.loads((tmp_path / "build" / "test-report" / "report.json").read_text())
    found = [[(test["name"], test["outcome"]) for test in part["tests"]] for part in document["parts"]]
    assert found == [[("fails", "failed")], [("test_good", "passed"), ("test_bad", "failed")], [("passes", "passed")]]
    assert "assert 1 == 2" in (tmp_path / "build" / "test-report" / "summary.md").read_text()
    assert checks.run_parts(tmp_path, "good", 1, checks.REPORT) == 0
    document = json.loads((tmp_path / "build" / "test-report" / "report.json").read_text())
    assert (document["passed"], len(document["parts"])) == (True, 1)


def test_parts_that_wait_get_half_as_many_processes_more() -> None:
    """CI would leave cores idle for a minute, or run tests at once that need the machine to themselves."""
    found = {part.name: (part.processes(1), part.processes(2), part.processes(4)) for part in checks.PARTS}
    assert (found["unit"], found["netlab"], found["machines"]) == ((1, 2, 4), (1, 3, 6), (1, 1, 1))


def test_parts_run_in_development_mode_and_keep_what_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI would miss what is left open, or compile everything at each of a thousand starts."""
    told = tmp_path / "told"
    words = "import os, sys; open(sys.argv[1], 'w').write(f'{sys.flags.dev_mode} {sys.dont_write_bytecode}')"
    part = checks.Part("p", "a program in the place of pytest", ("-c", words, str(told), "pytest"))
    monkeypatch.setattr(checks, "PARTS", (part,))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    checks.run_parts(tmp_path, "", 1)
    assert told.read_text() == "True False"


def test_unknown_parts_and_runs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip in --only would run nothing and look like success."""
    assert checks.run_parts(tmp_path, "lint,fuz", 1) == 2
    assert capsys.readouterr().err == 'test: there is no part "fuz"\n  did you mean fuzz?\n'
    assert soaking.run(tmp_path, "fuz", 1, again=False) == 2
    assert capsys.readouterr().err == 'soak: there is no run "fuz"\n  did you mean fuzz?\n'


def test_every_test_folder_belongs_to_a_part() -> None:
    """A new folder of tests would never be run."""
    tests = Path(__file__).parents[2]
    folders = {path.parent.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")}
    assert folders <= {word.removeprefix("tests/") for part in checks.PARTS for word in part.command}


def test_every_long_run_names_tests_that_are_there() -> None:
    """A test that was renamed would end a night's run at once."""
    root = Path(__file__).parents[3]
    words = [word for long_run in soaking.RUNS for word in long_run.command if word.startswith("tests/")]
    for file, _, test in (word.partition("::") for word in words):
        assert (root / file).exists()
        assert f"def {test.partition('[')[0]}" in ((root / file).read_text() if test else "def ")
    for option, module, *_ in (long_run.command for long_run in soaking.RUNS):
        assert option == "-m"
        place = root / module.replace(".", "/")
        assert module == "pytest" or place.with_suffix(".py").exists() or (place / "__main__.py").exists()


COUNTING = ("-c", "with open('count', 'a') as file: file.write('x')")


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one long run that counts how often it is done."""
    monkeypatch.setattr(soaking, "RUNS", (LongRun("long", "counts", COUNTING, "house", 1),))
    (tmp_path / "tests").mkdir()
    return tmp_path


def test_a_long_run_is_done_once_per_code(soaked: Path) -> None:
    """An interrupted night would begin from the start, or a change would pass on an old result."""
    assert soaking.run(soaked, "", 1, again=False) == 0
    assert soaking.run(soaked, "", 1, again=False) == 0
    assert (soaked / "count").read_text() == "x"
    (soaked / "tests" / "more.py").write_text("")
    assert soaking.run(soaked, "", 1, again=False) == 0
    assert soaking.run(soaked, "", 1, again=True) == 0
    assert (soaked / "count").read_text() == "xxx"


def test_a_test_may_take_as_long_as_its_long_run(soaked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of laboratories in one test would be ended after the time that one of them may take."""
    test = "def test_it(pytestconfig):\n    assert pytestconfig.getini('lab_timeout') == '180'\n"
    (soaked / "test_it.py").write_text(test)
    plugins = ("-p", "netlab.pytest_plugin", "-p", "no:cacheprovider")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    command = ("-m", "pytest", "-q", *plugins, "test_it.py")
    monkeypatch.setattr(soaking, "RUNS", (LongRun("long", "looks", command, "soak", 3),))
    assert soaking.run(soaked, "", 1, again=False) == 0


def test_a_run_that_is_interrupted_ends_with_all_that_it_started(
    soaked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a run had started would go on beside the next one, for an hour, and nobody know of it."""
    os.mkfifo(soaked / "alive")
    grandchild = "import signal; file = open('alive', 'w'); print('up', file=file, flush=True); signal.pause()"
    child = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', {grandchild!r}])"
    monkeypatch.setattr(soaking, "RUNS", (LongRun("long", "has a child", ("-c", child), "house", 1),))

    def interrupt() -> None:
        with (soaked / "alive").open() as alive:
            alive.readline()
            os.kill(os.getpid(), signal.SIGINT)
            alive.read()  # until it has ended

    watching = Thread(target=interrupt, daemon=True)
    watching.start()
    with pytest.raises(KeyboardInterrupt):
        soaking.run(soaked, "", 1, again=False)
    watching.join(20)
    assert not watching.is_alive()


def test_what_failed_or_had_no_time_is_no_success(soaked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night without results would look green."""
    assert soaking.run(soaked, "", 0, again=False) == 5
    assert not (soaked / "count").exists()
    monkeypatch.setattr(soaking, "RUNS", (LongRun("long", "fails", BAD.command, "house", 1),))
    assert soaking.run(soaked, "", 1, again=False) == 5
    [result] = json.loads((soaked / "build" / "soak.json").read_text())["runs"]
    assert (result["name"], result["passed"]) == ("long", False)
