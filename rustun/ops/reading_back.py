"""Generated files, read by the project's own parsers before they are put in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from rustun.config.client import load_client_config
from rustun.config.routes import read_routes
from rustun.config.server import load_server_config
from rustun.errors import ConfigError, Problem
from rustun.ops.halves import in_halves

Kind = Literal["routes", "server", "client"]
PARSERS: Final[Mapping[Kind, Callable[[Path], object]]] = {
    "routes": read_routes,
    "server": load_server_config,
    "client": load_client_config,
}
US_PER_BYTE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Staged:
    """A file to be read: its name in the folder, what reads it, how long it is."""

    name: str
    kind: Kind
    size_bytes: int


def read_back(folder: Path, files: Sequence[Staged]) -> list[Problem]:
    """Return the errors of files, each by its name in `folder`, in the order of the files. Raises: HostError."""

    def read(some: Sequence[Staged]) -> list[Problem]:
        return [problem for file in some for problem in _problems(folder, file)]

    return in_halves(read, files, lambda file: US_PER_BYTE * file.size_bytes)


def _problems(folder: Path, file: Staged) -> list[Problem]:
    try:
        PARSERS[file.kind](folder / file.name)
    except ConfigError as error:
        return [replace(problem, file=file.name) for problem in error.problems if problem.level == "error"]
    return []
