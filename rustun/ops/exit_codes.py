"""How a task ends, for all of the toolkit; tasks.py tells people (1 is invoke's own)."""

from __future__ import annotations

from typing import Final

OK: Final = 0
BAD_INPUT: Final = 2  # or nothing was run
DIFFERS: Final = 3  # what was looked at is not current, or nothing was done
ENVIRONMENT: Final = 4  # this machine lacks something
FAILED: Final = 5  # an expectation failed, or some hosts are not as wished
INTERRUPTED: Final = 130  # as a shell says of a program that SIGINT ended
UNREAD: Final = 141  # as a shell says of a program that SIGPIPE ended
