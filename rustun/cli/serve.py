"""`rustun serve`: a relay on this host's sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rustun.admin.control import SERVER_SOCKET
from rustun.backends.cpu import aes_is_fast
from rustun.backends.process import forbid_core_dumps
from rustun.backends.sockets import LinuxNetwork
from rustun.cli.running import Command
from rustun.config import load_server_config
from rustun.errors import ConfigError, Problem
from rustun.logs import LogFormat
from rustun.relay.server import RelayServer

USUAL_PLACES: Final = (Path("server.toml"), Path("etc/server.toml"), Path("/etc/rustun/server.toml"))


def serve(config_file: Path | None, control: Path | None, verbosity: int, log_format: LogFormat) -> int:
    """Run a relay until it is stopped, and return the exit code 0.

    Raises: RustunError when it cannot start.
    """
    forbid_core_dumps()  # before the first key is read
    config = load_server_config(config_file or find_config())
    command = Command("server", verbosity, log_format)
    command.note(config.notes)
    network = LinuxNetwork(
        notsent_lowat_bytes=config.queues.tcp_notsent_lowat_bytes, congestion=config.queues.congestion
    )
    server = RelayServer(config, command.reactor, network, os.urandom, command.log, aes_is_fast=aes_is_fast())
    path = control or config.socket
    command.run(server, lambda: path, control_required=path != SERVER_SOCKET)
    return 0


def find_config() -> Path:
    """Return the first server.toml in the usual places. Raises: ConfigError when there is none."""
    for place in USUAL_PLACES:
        if place.exists():
            return place
    places = ", ".join(str(place) for place in USUAL_PLACES)
    reason = f"not found; looked for {places}"
    raise ConfigError((Problem("server.toml", 0, "", reason, "name it: rustun serve FILE; see rustun serve --help"),))
