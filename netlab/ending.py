"""How a process of the laboratory ends: by an exit code, with words on standard error and no traceback.

Codes are those of errors.py; what the system refuses (room on the disk, descriptors, memory, a folder) is something
that the environment lacks, and 141 says that nobody reads on, as behind `head`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from netlab.errors import EXIT_ENVIRONMENT, LabError
from rustun.ops.ending import words_for
from rustun.ops.exit_codes import INTERRUPTED, UNREAD


def code_of(task: str, run: Callable[[], int]) -> int:
    """Return what `run` returns, or the code of what ended it, which is told; everything printed has left by then.

    Args:
        task: whose words they are, the first of the line.
    """
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except LabError as error:
        _say(f"{task}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        _say(f"{task}: interrupted; all is taken down")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return UNREAD
    except OSError as error:
        _give_up_output()
        _say(*words_for(task, error))
        return EXIT_ENVIRONMENT
    except MemoryError:
        _say(f"{task}: memory is short", "  end what else runs here, or take a part of the fleet: --limit")
        return EXIT_ENVIRONMENT


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def _give_up_output() -> None:
    """Let what is left to flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
