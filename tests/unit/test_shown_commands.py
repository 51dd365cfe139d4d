"""Commands that the documents show: whoever types one gets no word about a slip."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from invoke import Exit

import tasks
from rustun.cli.commands import main
from rustun.ops.tasks.typed import Tasks
from tests.shown import DOCUMENTS, ROOT, commands

BEGINNING = re.compile(rf"(?:sudo )?(?:rustun (?:{'|'.join(main.commands)})|\./invoke [a-z])")
END = re.compile(r" (?:&&|\|\|?|;|[<>]|2>|&) | {2,}|;$| \\$")  # of a command, on a line that goes on


def shown(document: Path) -> Iterator[str]:
    """Yield every command of ours in the blocks of a document."""
    for one in commands(document):
        yield from (part for part in END.split(one.command) if BEGINNING.match(part))


def mentioned(document: Path) -> Iterator[str]:
    """Yield every command of ours in the lines of a document; its arguments may be left out there."""
    lines = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from (END.split(code)[0] for code in re.findall(r"`([^`\n]+)`", lines) if BEGINNING.match(code))


def examples() -> Iterator[str]:
    """Yield every command of ours in the help texts, of which the pages of the reference are made."""
    texts = {name: command.help for name, command in main.commands.items()}
    texts |= {name: task.__doc__ for name, task in tasks.namespace.tasks.items()}
    for text in texts.values():
        _, _, told = (text or "").partition("Example")
        yield from (END.split(line.strip())[0] for line in told.splitlines() if BEGINNING.match(line.strip()))


def all_of(command: click.Command) -> Iterator[str]:
    """Yield every name of the options of a command."""
    yield from ("-h", "--help")
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)


SHOWN = sorted({(command, path.name) for path in DOCUMENTS for command in shown(path)})
EXAMPLES = sorted(set(examples()))
MENTIONED = sorted({command for path in DOCUMENTS for command in mentioned(path)})
OPTIONS = {
    **{f"rustun {name}": set(all_of(command)) for name, command in main.commands.items()},
    **{f"./invoke {context.name}": set(context.flags) for context in tasks.namespace.to_contexts()},
}


RUN_BY = {  # what documents mention and show in no block of theirs: the test that types it, and by which words
    "./invoke bench-compare": ("tests/unit/netlab/bench/test_compare.py", "compare.run("),
    "./invoke bench-report": ("tests/unit/netlab/test_lab_tasks.py", '"bench-report": "none.json"'),
    "./invoke disable-member": ("tests/unit/ops/writing_tasks.py", "disable-member bob"),
    "./invoke docs": ("tests/docs/conftest.py", "building.run("),
    "./invoke enable-member": ("tests/unit/ops/test_broken_inventory.py", "enable-member bob"),
    "./invoke gen-config": ("tests/unit/ops/writing_tasks.py", "gen-config --inventory"),
    "./invoke lab-sweep": ("tests/unit/netlab/control/test_runfolder.py", "runfolder.sweep()"),
    "./invoke schema": ("tests/unit/ops/writing_tasks.py", '"schema": "schema"'),
    "rustun cleanup": ("tests/netlab/test_cleanup.py", '"cleanup"'),
    "rustun completion": ("tests/unit/cli/test_commands.py", '"completion"'),
    "rustun top": ("tests/unit/cli/test_top.py", '"top"'),
}


def type_rustun(words: list[str]) -> None:
    """Read a command line of `rustun` as far as its words go. Raises: click.ClickException for a slip."""
    name, *rest = words
    context = click.Context(main, info_name="rustun")
    main.commands[name].make_context(name, rest, parent=context)


def type_invoke(words: list[str]) -> None:
    """Read a command line of `./invoke` as far as its words go. Raises: Exit for a slip."""
    program = Tasks(name="invoke", binary="./invoke", binary_names=["invoke"], namespace=tasks.namespace)
    program.create_config()
    program.parse_core(["invoke", *words])
    program.parse_collection()
    program.parse_tasks()


def test_commands_are_found_where_documents_show_them() -> None:
    """Every document could show what it likes."""
    found = [command for command, _ in SHOWN]
    assert len(found) > 60
    assert "sudo rustun connect --config /etc/rustun/client.toml" in found
    assert "./invoke lab-exec bj-dev -- ping -c 3 10.0.1.1" in found
    with pytest.raises(click.ClickException):
        type_rustun(["connect", "--servers", "192.0.2.1:8080"])
    with pytest.raises(Exit):
        type_invoke(["deploy", "--limits", "bj-*"])


@pytest.mark.parametrize(("command", "document"), SHOWN, ids=[f"{document}:{command}" for command, document in SHOWN])
def test_a_command_that_is_shown_can_be_typed(command: str, document: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader would type what stands there, and be told that it is wrong."""
    it_can_be_typed(command)


def it_can_be_typed(command: str) -> None:
    """Fail where a command has a slip."""
    words = shlex.split(command, comments=True)
    words = words[1:] if words[0] == "sudo" else words
    try:
        (type_rustun if words[0] == "rustun" else type_invoke)(words[1:])
    except click.exceptions.Exit:
        pass  # --help, which ends there
    except click.ClickException as error:
        pytest.fail(f"{command}: {error.format_message()}")
    except Exit as error:
        pytest.fail(f"{command}: {error.message}")


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_of_a_help_text_can_be_typed(command: str) -> None:
    """Who looks a command up in the reference, or asks it for help, would be shown what it refuses."""
    it_can_be_typed(command)


def test_examples_are_found() -> None:
    """The reference could show what it likes."""
    assert len(EXAMPLES) > 100
    assert {"rustun top --server --sort drops", "./invoke lab-link bj-dev --set loss=100% --for 10s"} <= set(EXAMPLES)


def test_a_command_that_is_only_mentioned_is_typed_by_a_test() -> None:
    """A reader would find a command that nobody has ever typed in the middle of a sentence."""
    typed = {" ".join(command.removeprefix("sudo ").split()[:2]) for command, _ in SHOWN}
    named = {" ".join(command.removeprefix("sudo ").split()[:2]) for command in MENTIONED}
    assert named - typed == set(RUN_BY)
    for command, (file, words) in RUN_BY.items():
        assert words in (ROOT / file).read_text(), command


@pytest.mark.parametrize("command", MENTIONED)
def test_a_command_that_is_mentioned_has_the_options_that_it_is_mentioned_with(command: str) -> None:
    """A reader would look for an option that has another name by now."""
    words = shlex.split(command.removeprefix("sudo ").split(" -- ")[0])
    known = OPTIONS[" ".join(words[:2])]
    assert [word for word in words[2:] if word.startswith("-") and word.partition("=")[0] not in known] == []
