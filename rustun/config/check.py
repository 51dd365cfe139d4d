"""`rustun check`: judge files of any kind, alone and together."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rustun.config.advice import absences, advise
from rustun.config.client import load_client_config
from rustun.config.files import MAX_ROUTES_BYTES, decode, read_bytes
from rustun.config.findings import config_error
from rustun.config.kinds import INVENTORY_KEYS, toml_kind
from rustun.config.known_keys import judge_known_keys
from rustun.config.routes import RoutesFile, read_routes
from rustun.config.server import load_server_config, read_first_steps
from rustun.config.toml import parse_toml
from rustun.errors import ConfigError, Problem

AsUser = Callable[[str], AbstractContextManager[None]]
_JSON: Final = re.compile(r"\s*(\{|\[[ \t]*([{\]\r\n]|$))")  # TOML closes a bracket on its line


def check_files(
    paths: Iterable[Path],
    now: datetime | None = None,
    as_user: AsUser = lambda user: nullcontext(),
) -> tuple[Problem, ...]:
    """Return everything that is wrong with, or worth knowing about, server.toml, routes.json and client.toml files.

    Args:
        paths: what kind a file is, its content tells. A server.toml brings the routes file that it names.
        now: with a time zone, for `expires_at`; None: the present.
        as_user: makes this process a server's `user` for a while, so that what is read is what the server can read.

    Returns: problems in the order of the files and their lines, each once.
    """
    now = now or datetime.now(UTC)
    found: dict[Problem, None] = {}
    for path in paths:
        try:
            found.update(dict.fromkeys(_check(path, now, as_user)))
        except ConfigError as error:
            found.update(dict.fromkeys(error.problems))
    return tuple(found)


def _check(path: Path, now: datetime, as_user: AsUser) -> Iterable[Problem]:
    file, kind = str(path), _kind(path)
    if kind == "routes":
        return _judged(read_routes(path), path, now)
    if kind == "client":
        return load_client_config(path).notes
    user = read_first_steps(path).user
    if not user:
        return _check_server(path, now)
    if os.geteuid() not in (0, pwd.getpwnam(user).pw_uid):
        reason = f"only root and {user} can tell whether the server may read its keys and members"
        remedy = f"run: sudo rustun check {shlex.quote(file)}"
        raise config_error(file, reason, remedy, key="server_config.user")
    with as_user(user):
        return tuple(_check_server(path, now))


def _check_server(path: Path, now: datetime) -> Iterator[Problem]:
    config = load_server_config(path)
    yield from config.notes
    try:
        routes = read_routes(config.routes_file)
    except ConfigError as error:
        yield from error.problems
        return
    yield from _judged(routes, config.routes_file, now)
    kept = judge_known_keys(routes, config, now.timestamp())
    yield from kept.notes
    yield from advise(config, kept.routes)


def _judged(routes: RoutesFile, path: Path, now: datetime) -> Iterator[Problem]:
    yield from routes.notes
    yield from absences(routes, str(path), now)


def _kind(path: Path) -> str:
    """Return "routes", "client" or "server". Raises: ConfigError: unreadable, or none of them."""
    file = str(path)
    text = decode(file, read_bytes(path, MAX_ROUTES_BYTES))
    if path.suffix == ".json" or _JSON.match(text):
        return "routes"
    keys = parse_toml(file, text).values.keys()
    if keys & INVENTORY_KEYS:
        raise config_error(file, "is an inventory", "this command reads what is generated from it")
    if kind := toml_kind(keys):
        return kind
    for kind in ("client", "server"):
        if path.name.startswith(kind):
            return kind
    raise config_error(
        file,
        "is neither a server.toml nor a client.toml",
        "a server's file has [server_config] and [route_config], a client's has identity and servers",
    )
