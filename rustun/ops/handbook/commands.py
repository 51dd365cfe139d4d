"""The `rustun` commands as click knows them -> pages, one for each, of which man pages are made too.

Rules of this module
  1. Nothing is told twice: every word is one that `--help` prints.
  2. What click leaves alone in a help text (a paragraph after a backspace) is code, below its first line where that
     ends with a colon.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

import click

from rustun.ops.handbook.pages import Page, block, definitions, document, prose, see_also

SECTION: Final = 1  # of the manual: commands
UNTOUCHED: Final = "\b"  # a line that tells click so
FILES: Final = {  # commands that read a file of which there is a page
    "rustun serve": ("server-toml", "routes-json"),
    "rustun connect": ("client-toml",),
    "rustun check": ("server-toml", "client-toml", "routes-json"),
}


def command_pages(program: click.Group, name: str) -> list[Page]:
    """Return a page for a program and one for each of its commands, in the order of its help."""
    context = click.Context(program, info_name=name, **program.context_settings)
    below = [(command, program.get_command(context, command)) for command in program.list_commands(context)]
    contexts = [click.Context(command, parent=context, info_name=word) for word, command in below if command]
    pages = [_page(context, contexts), *(_page(one, []) for one in contexts)]
    return [_list_page(name, pages), *pages]


def _list_page(name: str, pages: list[Page]) -> Page:
    """Return the page that leads to all commands; a list of pages in one of them would become part of its man page."""
    lines = "\n".join(f"- [{page.name.replace('-', ' ')}]({page.name}.md): {prose(page.summary)}." for page in pages)
    names = "\n".join(page.name for page in pages)
    listed = block(f":hidden:\n\n{names}", "{toctree}")
    return Page("commands", document(f"# Every command of `{name}`", lines, listed), f"every command of {name}")


def _page(context: click.Context, below: list[click.Context]) -> Page:
    words = context.command_path
    usage = " ".join([words, *context.command.collect_usage_pieces(context)])
    return Page(
        _name(context),
        document(
            f"# {words}",
            f"## Synopsis\n\n{block(usage)}",
            "## Description",
            *_described(context.command.help or ""),
            _options(context),
            _commands(below),
            see_also(_related(context, below)),
        ),
        _summary(context),
        SECTION,
    )


def _name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _summary(context: click.Context) -> str:
    command = context.command
    text = command.short_help or (command.help or "").split("\n\n")[0]
    return " ".join(text.split()).rstrip(".")


def _described(text: str) -> Iterator[str]:
    for untouched, lines in _paragraphs(text):
        if not untouched:
            yield prose(" ".join(lines))
        elif len(lines) > 1 and lines[0].endswith(":") and lines[1].startswith(" "):
            yield prose(lines[0])
            yield block(textwrap.dedent("\n".join(lines[1:])))
        else:
            yield prose(" ".join(lines))


def _paragraphs(text: str) -> Iterator[tuple[bool, list[str]]]:
    """Yield the lines of each paragraph, and whether click leaves them alone."""
    untouched, lines = False, list[str]()
    for line in [*text.partition("\f")[0].splitlines(), ""]:
        if line.strip() not in ("", UNTOUCHED):
            lines.append(line)
            continue
        if lines:
            yield untouched, lines
        untouched, lines = line.strip() == UNTOUCHED, []


def _options(context: click.Context) -> str:
    told = [parameter.get_help_record(context) for parameter in context.command.get_params(context)]
    records = [record for record in told if record and (record[1] or record[0].startswith("-"))]
    return "## Options\n\n" + definitions((term, prose(words)) for term, words in records)


def _commands(below: list[click.Context]) -> str:
    if not below:
        return ""
    lines = (f"- [{one.command_path}]({_name(one)}.md): {prose(_summary(one))}." for one in below)
    return "## Commands\n\n" + "\n".join(lines)


def _related(context: click.Context, below: list[click.Context]) -> Iterator[tuple[str, str, int]]:
    for other in below or [context.find_root()]:
        yield _name(other), _name(other), SECTION
    for page in FILES.get(context.command_path, ()):
        yield page, page.replace("-", "."), 5
