"""How a task that cannot do its work ends: what is said on standard error, and with which exit code.

Rules of this module
  1. What is wrong comes first, then that nothing was done, then what to do; no traceback.
  2. The code tells who has to act: 2 who typed or wrote it, 5 who decides about a policy, 4 who keeps this machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from rustun.errors import ConfigError, RustunError
from rustun.ops.exit_codes import BAD_INPUT, ENVIRONMENT, FAILED
from rustun.printable import printable


class InputError(RustunError):
    """What was typed, or stands in the inventory, cannot be done; nothing was."""


class PolicyBroken(RustunError):
    """What would be generated breaks an assertion about who may reach whom; nothing was written."""


def guarded(task: str, work: Callable[[], int], left: str = "nothing was written") -> int:
    """Do a task's work and return its exit code; tell its errors in words.

    Args:
        left: what is said of files and hosts where there is an error.
    """
    try:
        return work()
    except ConfigError as error:
        count = f"{len(error.problems)} problems; " if len(error.problems) > 1 else ""
        _say(error.message, f"{task}: {count}{left}")
        return BAD_INPUT
    except PolicyBroken as error:
        _say(error.message, f"{task}: {left}", f"  {error.remedy}")
        return FAILED
    except RustunError as error:
        _say(f"{task}: {error.message}", *([f"  {error.remedy}"] if error.remedy else []))
        return BAD_INPUT if isinstance(error, InputError) else ENVIRONMENT
    except BrokenPipeError:  # nobody reads on, which is no fault (tasks/arguments.py)
        raise
    except OSError as error:
        _say(*words_for(task, error))
        return ENVIRONMENT


def words_for(task: str, error: OSError) -> list[str]:
    """Return two lines about what the system refused to a task: what, and what to do."""
    place = f"{printable(str(error.filename), 200)}: " if error.filename else ""
    return [f"{task}: {place}{error.strerror or error}", "  check the room on the disk and who owns the folder"]


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)
