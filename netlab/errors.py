"""What ends a laboratory command, by exit code.

  0  as expected
  2  bad input, or nothing was run            BadInput
  4  the environment lacks something          EnvironmentLacks
  5  an expectation failed                    ExpectationFailed
(1 belongs to invoke)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ClassVar, Final, ParamSpec

P = ParamSpec("P")

EXIT_OK: Final = 0
EXIT_BAD_INPUT: Final = 2
EXIT_ENVIRONMENT: Final = 4
EXIT_UNEXPECTED: Final = 5


class LabError(Exception):
    """Base of all errors of the laboratory: one line that says what and where, one that says what to do."""

    exit_code: ClassVar[int] = EXIT_UNEXPECTED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message


class BadInput(LabError):
    """A file, a name or an option is wrong, so nothing was run."""

    exit_code: ClassVar[int] = EXIT_BAD_INPUT


class EnvironmentLacks(LabError):
    """This machine or this user lacks something that the laboratory needs."""

    exit_code: ClassVar[int] = EXIT_ENVIRONMENT


class ExpectationFailed(LabError):
    """Something came out differently from what the inventory says; the laboratory is still usable."""

    exit_code: ClassVar[int] = EXIT_UNEXPECTED


def of_exit_code(code: object) -> type[LabError]:
    """Return the kind of error that ends a command with an exit code, for one that another process had."""
    kinds: dict[object, type[LabError]] = {kind.exit_code: kind for kind in (BadInput, EnvironmentLacks)}
    return kinds.get(code, ExpectationFailed)


def in_words(task: str) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Let a task's function return its exit code also where a LabError ends it, which is told on standard error."""

    def decorated(run: Callable[P, int]) -> Callable[P, int]:
        @wraps(run)
        def told(*arguments: P.args, **options: P.kwargs) -> int:
            try:
                return run(*arguments, **options)
            except LabError as error:
                print(f"{task}: {error}", file=sys.stderr)
                return error.exit_code

        return told

    return decorated
