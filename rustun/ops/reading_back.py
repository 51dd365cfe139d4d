"""Generated files, read by the project's own parsers before they are put in place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from rustun.config.client import load_client_config
from rustun.config.routes import read_routes
from rustun.config.server import load_server_config
from rustun.errors import ConfigError, Problem

Kind = Literal["routes", "server", "client"]


def read_back(folder: Path, name: str, kind: Kind, judged: set[str] | None = None) -> list[Problem]:
    """Return the errors of a file, by its name in `folder`.

    Args:
        judged: folders of keys, as of `rustun.config.keys.read_key_file`.
    """
    path = folder / name
    try:
        match kind:
            case "routes":
                read_routes(path)
            case "server":
                load_server_config(path)
            case "client":
                load_client_config(path, errors_only=True, judged=judged)
    except ConfigError as error:
        return [replace(problem, file=name) for problem in error.problems if problem.level == "error"]
    return []
