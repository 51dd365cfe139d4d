"""Commands -> pages."""

from __future__ import annotations

import re

import click
import pytest

from rustun.cli.commands import main
from rustun.ops.handbook.commands import command_pages
from rustun.ops.handbook.pages import Page

PAGES = {page.name: page for page in command_pages(main, "rustun")}


@click.group()
def program() -> None:
    """Do things.

    \b
    An example:
      program make --all
    \b
    Exit codes: 0 done,
    1 not done.
    """


@program.command(short_help="Make [bold]it[/bold].")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("-a", "--all", "everything", is_flag=True, help="All <of> them, *now*.")
@click.option("--secret", hidden=True)
def make(files: tuple[str, ...], everything: bool, secret: str) -> None:
    """Make it.\fNot for readers."""


def made(name: str) -> Page:
    """Return a page of the program above."""
    [found] = [page for page in command_pages(program, "program") if page.name == name]
    return found


def test_a_page_says_what_help_says_and_no_more() -> None:
    """A reader of the site would learn of an option by chance, or of one that is not for him."""
    assert made("program-make").text == (
        "# program make\n\n## Synopsis\n\n```\nprogram make [OPTIONS] FILE...\n```\n\n## Description\n\nMake it.\n\n"
        "## Options\n\n`-a, --all`\n: All \\<of\\> them, \\*now\\*.\n\n`--help`\n: Show this message and exit.\n\n"
        "## See also\n\n[program(1)](program.md)\n"
    )


def test_examples_stay_as_they_are_written() -> None:
    """The lines of an example would run into each other."""
    text = made("program").text
    assert "An example:\n\n```\nprogram make --all\n```\n\nExit codes: 0 done, 1 not done.\n" in text
    assert "- [program make](program-make.md): Make \\[bold\\]it\\[/bold\\].\n" in text


def test_every_command_has_a_page_that_a_list_leads_to() -> None:
    """A command would be in the program and in no list."""
    names = {"rustun", *(f"rustun-{name}" for name in main.commands)}
    assert PAGES.keys() == names | {"commands"}
    listed = re.findall(r"^(rustun\S*)$", PAGES["commands"].text.split("{toctree}")[1], re.MULTILINE)
    assert set(listed) == names
    assert {name for name, page in PAGES.items() if page.section} == names, "the list is no man page, the others are"
    assert all(page.summary and len(page.summary) < 70 and "\n" not in page.summary for page in PAGES.values())
    assert "\n`-h, --help`\n" in PAGES["rustun-serve"].text


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_option_of_a_command_is_on_its_page(name: str) -> None:
    """Somebody would look an option up that a unit of his uses, and find nothing."""
    text = PAGES[f"rustun-{name}"].text
    options = [one for parameter in main.commands[name].params for one in parameter.opts if one.startswith("-")]
    assert [option for option in options if not re.search(rf"^`.*{re.escape(option)}\b.*`$", text, re.MULTILINE)] == []
