"""tasks.py: thin, quick to start, and every task explains itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from invoke import Exit, Task

import tasks
from rustun.ops.tasks.arguments import after_dashes, stoppable
from rustun.ops.tasks.typed import Tasks

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "rustun" / "ops" / "tasks" / "__main__.py"
ALL: dict[str, Task] = tasks.namespace.tasks
ARGUMENTS = {name: task.get_arguments() for name, task in ALL.items()}


def invoke(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a task as ./invoke does once the environment is there."""
    command = [sys.executable, str(PROGRAM), "--search-root", str(ROOT), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_task_has_examples_and_explains_its_options(name: str) -> None:
    """A user would have to read tasks.py to use a task."""
    task = ALL[name]
    assert "Examples:\n" in (task.__doc__ or "")
    assert f"./invoke {name}" in (task.__doc__ or "")
    unexplained = [argument.name for argument in ARGUMENTS[name] if not argument.help]
    assert unexplained == []


def test_every_task_that_changes_a_fleet_can_be_tried() -> None:
    """An operator would find out what a task does by having it done."""
    toolkit = [name for name, task in ALL.items() if task.body.__module__.startswith("rustun.ops.tasks.")]
    options = {name: {argument.name for argument in ARGUMENTS[name]} for name in toolkit}
    without = {name for name, known in options.items() if not known & {"dry_run", "dry-run", "check"}}
    looking = {"plan", "status", "policy-test", "lint", "test", "style", "docs"}  # lint writes with --accept alone
    assert without - looking == {"deploy", "lock", "soak"}, "plan shows it; files of this project alone"


def test_starting_imports_nothing_heavy() -> None:
    """Every task, and shell completion, would wait for jinja2, cryptography or scapy."""
    code = "import sys, json, tasks; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True))
    heavy = {"jinja2", "cryptography", "scapy", "pyroute2", "rich", "click", "pydantic", "fabric", "tomlkit"}
    heavy |= {"netlab.api", "rustun.config", "rustun.ops.fleet"}
    assert heavy.isdisjoint(modules)


def test_a_start_loads_no_tools_for_tests_and_leaves_them_as_they_are() -> None:
    """Every task would wait for asyncio, or whoever wants unittest.mock later would get what stands in for it."""
    typed = f"sys.argv = [{str(PROGRAM)!r}, '--search-root', {str(ROOT)!r}, '--list']"
    code = f"""
import contextlib, io, runpy, sys
{typed}
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    runpy.run_path(sys.argv[0], run_name="__main__")
print("asyncio" in sys.modules)
from unittest.mock import Mock
print(Mock(return_value=7)())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n7\n", "")


def test_what_python_compiled_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start of a task would compile all of its modules anew, which takes as long as most tasks do."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    Tasks(name="invoke", binary="./invoke", binary_names=["invoke"]).parse_core(["invoke", "--list"])
    assert not sys.dont_write_bytecode


def test_tasks_work_from_any_folder(tmp_path: Path) -> None:
    """A task would only work in the checkout's own folder, or look for the user's files there."""
    done = invoke("gen-config", "--out", "here", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["members"] == 4
    assert (tmp_path / "here" / "routes.json").exists()


def test_exit_codes_of_the_logic_reach_the_shell(tmp_path: Path) -> None:
    """CI would be green although something was not as expected."""
    assert invoke("gen-config", "--out", "here", "--check", cwd=tmp_path).returncode == 3
    done = invoke("gen-config", "--inventory", "none.toml", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "none.toml: there is no such file")
    done = invoke("test", "--only", "units", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, 'test: there is no part "units"\n  did you mean unit?\n')


ODD = """
[fleet]
name = "odd"
servers = [{ address = "192.0.2.1:8080" }]
[cluster."b\u00fcro"]
network = "10.0.1.0/24"
[cluster."b\u00fcro".member.one]
ciders = ["8.8.8.0/24"]
"""


@pytest.mark.parametrize("task", ["lint", "gen-config --diff", "rotate-keys --show", "plan --offline", "policy-test"])
def test_names_that_a_terminal_cannot_show_are_escaped(tmp_path: Path, task: str) -> None:
    """Where the locale is not UTF-8 one name from elsewhere would end every task with a traceback."""
    (tmp_path / "odd.toml").write_text(ODD, encoding="utf-8")
    (tmp_path / "odd.policy").write_text("one cannot reach b\u00fcro\n", encoding="utf-8")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = invoke(*task.split(), "--inventory", str(tmp_path / "odd.toml"), cwd=tmp_path, environment=ascii_only)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    "task", ["lint", "gen-config --diff --check", "rotate-keys --show", "policy-test", "--list", "--help plan"]
)
def test_a_reader_that_has_seen_enough_ends_a_task_quietly(tmp_path: Path, task: str) -> None:
    """`./invoke lint | head` would end in a traceback."""
    (tmp_path / "odd.toml").write_text(ODD, encoding="utf-8")
    (tmp_path / "odd.policy").write_text("one cannot reach 10.9.9.9\n")
    reader, writer = os.pipe()
    os.close(reader)
    words = [*task.split(), *([] if task.startswith("--") else ["--inventory", str(tmp_path / "odd.toml")])]
    command = [sys.executable, str(PROGRAM), "--search-root", str(ROOT), *words]
    with os.fdopen(writer, "w") as unread:
        done = subprocess.run(command, cwd=tmp_path, stdout=unread, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("task", ["lint", "gen-config --out here", "policy-test", "--list"])
def test_output_that_finds_no_room_is_told(tmp_path: Path, task: str) -> None:
    """A report on a full disk would end in a traceback, or be cut off and count as whole."""
    command = [sys.executable, str(PROGRAM), "--search-root", str(ROOT), *task.split()]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    name = "invoke" if task == "--list" else task.split()[0]
    told = f"{name}: No space left on device\n  check the room on the disk and who owns the folder\n"
    assert (done.returncode, done.stderr) == (4, told)


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    """A name that no file can have would end in a traceback."""
    for task in ("lint", "policy-test"):
        done = invoke(task, "--inventory", f"{'a' * 300}.toml", cwd=tmp_path)
        assert done.returncode == 4 and done.stderr.startswith(f"{task}: aaa") and "Traceback" not in done.stderr


def test_memory_that_is_short_is_told() -> None:
    """A large fleet on a small machine would end in a traceback."""

    def gen_config() -> None:
        raise MemoryError

    with pytest.raises(Exit, match=r"^gen-config: memory is short; each file is as it was") as raised:
        stoppable(gen_config)()
    assert raised.value.code == 4


def test_lab_exec_without_a_command_says_how(tmp_path: Path) -> None:
    """The user would read the usage of a program that the documents do not name."""
    done = invoke("lab-exec", "bj-dev", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "invoke: lab-exec: no command\n  ./invoke lab-exec bj-dev -- COMMAND\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "--seconds", "x"), '--seconds: "x" is not a number from 0.2 to 3600'),
        (("demo", "--seconds", "-1"), '--seconds: "-1" is not a number from 0.2 to 3600'),
        (("bench", "--seconds", "nan"), '--seconds: "nan" is not a number from 0.2 to 3600'),
        (("bench", "--json", "none/x.json"), "--json: none/x.json cannot be written"),
        (("bench", "--markdown", "."), "--markdown: . cannot be written"),
        (("test", "--workers", "0"), '--workers: "0" is not a number from 1 to 64'),
        (("soak", "--minutes", "1h"), '--minutes: "1h" is not a number from 0 to 10000'),
    ],
)
def test_a_slip_in_an_option_is_told_before_anything_runs(tmp_path: Path, arguments: list[str], said: str) -> None:
    """The user would get a traceback, some of them after minutes of measuring."""
    done = invoke(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"invoke: {said}\n  ")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("deplyo", 'there is no task "deplyo"\n  did you mean deploy? ./invoke --list shows all tasks\n'),
        ("--help deplyo", 'there is no task "deplyo"\n  did you mean deploy? ./invoke --list shows all tasks\n'),
        ("plan --dif", 'plan: "--dif" is not expected here\n  did you mean --diff? ./invoke plan --help shows'),
        ("edit-member a --set ciders 10.0.0.0/8", 'edit-member: "10.0.0.0/8" is not expected here\n  ./invoke edit-'),
        ("plan --limit", "plan: --limit needs a value\n  ./invoke plan --help shows what it takes\n"),
        ("add-member beijing", "add-member: without IDENTITY there is nothing to do\n  ./invoke add-member CLUSTER ID"),
        ("inventory-import x.json", "invoke: inventory-import: no --address\n  --address HOST:PORT: "),
    ],
)
def test_a_slip_in_what_was_typed_names_what_was_meant(tmp_path: Path, typed: str, said: str) -> None:
    """The user would read that nobody has an idea, and a script would take it for another fault than bad input."""
    done = invoke(*typed.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(said)


def test_help_says_what_a_task_has_to_be_given(tmp_path: Path) -> None:
    """The user would find the order of the words by trial."""
    done = invoke("--help", "rename-member", cwd=tmp_path)
    assert done.stdout.startswith("Usage: ./invoke rename-member IDENTITY NAME [options]\n\nGive a member another")


def test_help_says_what_stands_behind_the_dashes(tmp_path: Path) -> None:
    """The user of lab-exec would find the dashes in the examples alone, or take the command's options for ours."""
    usage = "./invoke lab-exec NODES [options] -- COMMAND"
    done = invoke("--help", "lab-exec", cwd=tmp_path)
    assert done.stdout.startswith(f"Usage: {usage}\n\nRun a command")
    assert "COMMAND is all that stands behind --" in done.stdout
    assert f"  {usage}; ./invoke lab-exec --help" in invoke("lab-exec", cwd=tmp_path).stderr


def test_a_letter_means_the_same_in_all_tasks() -> None:
    """`-i inventory/acme.toml` would be taken for a member's name by one task, and for the inventory by the next."""
    meanings: dict[str, set[str]] = {}
    for arguments in ARGUMENTS.values():
        for argument in arguments:
            for letter in argument.nicknames:
                meanings.setdefault(letter, set()).add(argument.name)
    assert meanings["i"] == {"inventory"}
    assert {letter: names for letter, names in meanings.items() if len(names) > 1} == {}


def test_words_after_the_dashes_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """lab-exec would take a quoted argument apart."""
    monkeypatch.setattr(sys, "argv", ["invoke", "lab-exec", "bj-dev", "--", "sh", "-c", "echo 'a  b'", "--", os.sep])
    assert after_dashes() == ["sh", "-c", "echo 'a  b'", "--", os.sep]
