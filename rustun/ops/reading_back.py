"""Generated files, read by the project's own parsers before they are put in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from rustun.config.client import load_client_config
from rustun.config.routes import read_routes
from rustun.config.server import load_server_config
from rustun.errors import ConfigError, Problem

Kind = Literal["routes", "server", "client"]
PARSERS: Final[Mapping[Kind, Callable[[Path], object]]] = {
    "routes": read_routes,
    "server": load_server_config,
    "client": load_client_config,
}


def read_back(folder: Path, name: str, kind: Kind) -> list[Problem]:
    """Return the errors of a file, by its name in `folder`."""
    try:
        PARSERS[kind](folder / name)
    except ConfigError as error:
        return [replace(problem, file=name) for problem in error.problems if problem.level == "error"]
    return []
