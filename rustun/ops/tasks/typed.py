"""What was typed: which task, with which words; what is said where that cannot be.

Rules of this module
  1. A slip ends with 2, as bad input does everywhere in the toolkit, before anything is run.
  2. What is said names the nearest task or option, or else where all of them stand.
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Callable
from itertools import dropwhile
from typing import Final

from invoke import Exit, Program
from invoke.exceptions import ParseError

from rustun.ops.ending import words_for
from rustun.ops.exit_codes import BAD_INPUT, ENVIRONMENT, UNREAD
from rustun.ops.tasks.arguments import give_up_output

_BARE: Final = re.compile(r"Flag <Argument: (\S+).*> needed value.*")
_UNKNOWN: Final = re.compile(r"No idea what '(.*)' is!", re.DOTALL)


class Tasks(Program):
    """The program behind `./invoke`."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read what stands before the task; invoke would have Python compile every module anew at each start."""
        unwritten = sys.dont_write_bytecode
        super().parse_core(argv)
        sys.dont_write_bytecode = unwritten

    def parse_tasks(self) -> None:
        """Read the tasks and their options."""
        self.core.unparsed = self._gathered(self.core.unparsed)
        self._reading(super().parse_tasks)

    def parse_cleanup(self) -> None:
        """Do what is done before a task: help, the list."""
        self._reading(super().parse_cleanup)

    def print_task_help(self, name: str) -> None:
        """Print what a task does and takes."""
        options = self.parser.contexts[name].help_tuples()
        print(f"Usage: {self._usage(name)}\n")
        print(f"{inspect.getdoc(self.collection[name])}\n")
        if options:
            print("Options:")
            self.print_columns(options)

    def _reading(self, read: Callable[[], None]) -> None:
        try:
            read()
        except ParseError as error:
            raise Exit(self._words_for(error), code=BAD_INPUT) from None
        except BrokenPipeError:  # the reader of a list or of help has seen enough
            give_up_output()
            raise Exit(code=UNREAD) from None
        except OSError as error:
            give_up_output()
            raise Exit("\n".join(words_for("invoke", error)), code=ENVIRONMENT) from None

    def _gathered(self, typed: list[str]) -> list[str]:
        """Return what was typed; the words of a task that takes any number of them have become one."""
        name, words = typed[:1], typed[1:]
        if not name or not getattr(self.collection.tasks.get(*name), "gathers", False):
            return typed
        rest = list(dropwhile(lambda word: not word.startswith("-"), words))
        return [*name, ",".join(words[: len(words) - len(rest)]), *rest]

    def _words_for(self, error: ParseError) -> str:
        """Return what is wrong, and what to type instead."""
        name = error.context.name if error.context else None
        told = f"./invoke {name} --help shows what it takes" if name else "./invoke --list shows all tasks"
        if unknown := _UNKNOWN.fullmatch(str(error)):
            word = unknown[1]
            known = [*self.parser.contexts, *(error.context.flags if name else ())]
            near = difflib.get_close_matches(word, known, n=1)
            said = f'there is no task "{word}"' if name is None else f'{name}: "{word}" is not expected here'
            return f"{said}\n  {f'did you mean {near[0]}? ' if near else ''}{told}"
        if name and error.context.missing_positional_args:
            missing = " and ".join(argument.name.upper() for argument in error.context.missing_positional_args)
            return f"{name}: without {missing} there is nothing to do\n  {self._usage(name)}; {told}"
        if bare := _BARE.fullmatch(str(error)):
            return f"{name}: --{bare[1]} needs a value\n  {told}"
        return f"{error}\n  {told}"

    def _usage(self, name: str) -> str:
        context = self.parser.contexts[name]
        places = [argument.name.upper() for argument in context.positional_args]
        behind = getattr(self.collection[name], "after_dashes", "")
        options = ["[options]"] if len(context.flags) else []
        return " ".join(["./invoke", name, *places, *options, *(["--", behind] if behind else [])])
