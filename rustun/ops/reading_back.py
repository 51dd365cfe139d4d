"""Generated files, read by the project's own parsers before they are put in place; many of them by two processes.

`python -m rustun.ops.reading_back FOLDER` takes names and kinds as JSON from standard input, and prints the problems.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

from rustun.config.client import load_client_config
from rustun.config.routes import read_routes
from rustun.config.server import load_server_config
from rustun.errors import ConfigError, HostError, Problem

Kind = Literal["routes", "server", "client"]
PARSERS: Final[Mapping[Kind, Callable[[Path], object]]] = {
    "routes": read_routes,
    "server": load_server_config,
    "client": load_client_config,
}
MANY: Final = 1000  # files that take longer to read than another interpreter to start: about 0.3 ms each


def read_back(folder: Path, files: Sequence[tuple[str, Kind]]) -> list[Problem]:
    """Return the errors of files, each by its name in `folder`, in the order of the files.

    Raises: HostError: the second process did not do its part.
    """
    if len(files) < MANY or (os.cpu_count() or 1) < 2:
        return _read(folder, files)
    half = len(files) // 2
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder.absolute())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2],
    ) as other:  # fmt: skip
        assert other.stdin is not None and other.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it is dead already; its exit code says so below
                other.stdin.write(json.dumps(files[half:]).encode())
            with contextlib.suppress(BrokenPipeError):  # what is left in its buffer
                other.stdin.close()
            first = _read(folder, files[:half])
            told = other.stdout.read()
        except BaseException:
            other.kill()
            raise
    if other.returncode:
        raise HostError("generated files could not be read back", "run it again; memory may be short")
    return [*first, *(Problem(**problem) for problem in json.loads(told))]


def _read(folder: Path, files: Sequence[tuple[str, Kind]]) -> list[Problem]:
    problems: list[Problem] = []
    for name, kind in files:
        try:
            PARSERS[kind](folder / name)
        except ConfigError as error:
            found = (problem for problem in error.problems if problem.level == "error")
            problems += [Problem(name, *list(asdict(problem).values())[1:]) for problem in found]
    return problems


if __name__ == "__main__":
    print(json.dumps([asdict(problem) for problem in _read(Path(sys.argv[1]), json.load(sys.stdin))]))
