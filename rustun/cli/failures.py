"""How a command ends when it cannot do its work: what, where and what to do on standard error, and an exit code.

Exit codes, as in sysexits.h where it has a word for it:
    0   done                           69  the server refused this client (EX_UNAVAILABLE)
    1   anything else                  77  a right is missing             (EX_NOPERM)
    2   usage: see --help              78  a configuration is wrong       (EX_CONFIG)
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rustun.errors import ConfigError, Level, Problem, RustunError
from rustun.printable import printable

LINE_CHARACTERS: Final = 1000
TRACEBACK_VERBOSITY: Final = 2  # -vv
LEVEL_NOUNS: Final[dict[Level, str]] = {"error": "problem", "warning": "warning", "note": "note"}


class OptionError(ConfigError):
    """Options that cannot be used: a matter of what was typed, not of a file."""

    exit_code: ClassVar[int] = 2


def run_command(name: str, verbosity: int, work: Callable[[], int]) -> int:
    """Run `work` and return its exit code, or that of the error that left it, which is shown on standard error.

    Args:
        name: of the command, as in "rustun serve: ...".
        verbosity: how often -v was given; from TRACEBACK_VERBOSITY on a traceback comes with the message.
    """
    try:
        code = work()
        sys.stdout.flush()
        return code
    except RustunError as error:
        _show(failure_lines(name, error), error, verbosity)
        return error.exit_code
    except BrokenPipeError:  # the reader of our output went away (`rustun status | head`): click ends quietly
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback reaches a user unasked
        from rustun.logs import describe_bug  # here, because only defects need its 10 ms

        remedy = "this is a defect of rustun: please report it" + ("" if verbosity > 1 else " with the output of -vv")
        _show([f"{name}: internal error: {describe_bug(error)}", f"  {remedy}"], error, verbosity)
        return 1


def failure_lines(name: str, error: RustunError) -> list[str]:
    """Return the lines that tell a user about `error`: what and where, then indented what to do."""
    if isinstance(error, ConfigError):
        problems = [line for problem in error.problems for line in problem.lines()]
        return [*problems, f"{name}: {summary(error.problems)}; nothing was started"]
    lines = [f"{name}: {error.message}"]
    if error.remedy:
        lines.append(f"  {error.remedy}")
    return lines


def summary(problems: Sequence[Problem]) -> str:
    """Return how many there are of each level: "2 problems, 1 warning, 3 notes", or "no problems"."""
    counts = Counter(problem.level for problem in problems)
    words = [_counted(counts[level], noun) for level, noun in LEVEL_NOUNS.items() if counts[level]]
    return ", ".join(words) if counts["error"] else ", ".join(["no problems", *words])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _show(lines: list[str], error: BaseException, verbosity: int) -> None:
    for line in lines:
        print(printable(line, LINE_CHARACTERS), file=sys.stderr)
    if verbosity >= TRACEBACK_VERBOSITY:
        print_traceback(error)


def print_traceback(error: BaseException) -> None:
    """Print a traceback without variables' values, each line made safe for a terminal."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(printable(line, LINE_CHARACTERS), file=sys.stderr)
