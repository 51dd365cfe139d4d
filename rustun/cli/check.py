"""`rustun check`: everything that is wrong with configuration files, at once."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from rustun.backends.process import forbid_core_dumps
from rustun.backends.rights import acting_as, find_account
from rustun.cli.failures import summary
from rustun.config import check_files
from rustun.errors import ConfigError


def check(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Print every problem, warning and note of the files and return 0, or 78 when one cannot be used."""
    forbid_core_dumps()  # key files are read
    problems = check_files(files, as_user=lambda user: acting_as(find_account(user)))
    if as_json:
        print(json.dumps({"schema": 1, "problems": [asdict(problem) for problem in problems]}, indent=2))
    else:
        for problem in problems:
            print(*problem.lines(), sep="\n")
        print(summary(problems), file=sys.stderr)
    failed = any(problem.level == "error" for problem in problems)
    return ConfigError.exit_code if failed else 0
