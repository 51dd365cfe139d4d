"""The tasks of `./invoke`, as they explain themselves -> one page, by subject.

Rules of this module
  1. Every word is one that `./invoke TASK --help` prints; subjects are the modules of the tasks, in their order.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby

from invoke import Collection
from invoke.parser import ParserContext

from rustun.ops.handbook.pages import Page, block, definitions, document, prose

EXAMPLES = "Examples:\n"


def tasks_page(namespace: Collection) -> Page:
    """Return the page of all tasks of a namespace."""
    parts = ["# Every task of `./invoke`", "`./invoke --list` lists them, `./invoke TASK --help` shows one."]
    contexts = {context.name: context for context in namespace.to_contexts()}
    for module, names in groupby(namespace.tasks, lambda name: str(namespace.tasks[name].body.__module__)):
        subject = (sys.modules[module].__doc__ or module).splitlines()[0]
        parts.append(f"## {prose(subject.rstrip('.'))}")
        for name in names:
            parts += _described(name, inspect.getdoc(namespace.tasks[name]) or "", contexts[name])
    return Page("tasks", document(*parts), "every task of ./invoke")


def _described(name: str, text: str, context: ParserContext) -> Iterator[str]:
    places = [argument.name.upper() for argument in context.positional_args]
    yield f"### {name}"
    yield block(" ".join(["./invoke", name, *places, *(["[options]"] if len(context.flags) else [])]))
    about, _, examples = text.partition(EXAMPLES)
    for paragraph in about.strip().split("\n\n"):
        yield prose(paragraph)
    if len(context.flags):
        yield definitions((option, prose(words)) for option, words in context.help_tuples())
    if examples:
        yield block(textwrap.dedent(examples))
