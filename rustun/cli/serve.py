"""`rustun serve`: a relay on this host's sockets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from rustun.admin.control import FOLDER, SERVER_SOCKET
from rustun.backends.cpu import aes_is_fast
from rustun.backends.process import allow_descriptors, harden
from rustun.backends.rights import Account, become, find_account, give_up, share_folder
from rustun.backends.sockets import LinuxNetwork
from rustun.cli.running import Command
from rustun.cli.supervision import Vitals
from rustun.config import load_server_config
from rustun.config.server import read_first_steps
from rustun.errors import ConfigError, Problem
from rustun.logs import LogFormat
from rustun.relay.report import server_headline
from rustun.relay.server import RelayServer

USUAL_PLACES: Final = (Path("server.toml"), Path("etc/server.toml"), Path("/etc/rustun/server.toml"))

STAYS_ROOT: Final = 'runs as root; write [server_config] user = "rustun", and it keeps no right beyond its start'


def serve(config_file: Path | None, control: Path | None, verbosity: int, log_format: LogFormat) -> int:
    """Run a relay until it is stopped, and return the exit code 0.

    Raises: RustunError when it cannot start.
    """
    harden()
    allow_descriptors()
    file = config_file or find_config()
    account = change_user(file, control)  # before the first key is read
    config = load_server_config(file)
    command = Command("server", verbosity, log_format)
    command.note(config.notes)

    def give_up_rights() -> None:
        command.log.event("info", "rights", give_up(account) if account else STAYS_ROOT)

    network = LinuxNetwork(
        notsent_lowat_bytes=config.queues.tcp_notsent_lowat_bytes, congestion=config.queues.congestion
    )
    server = RelayServer(config, command.reactor, network, os.urandom, command.log, aes_is_fast=aes_is_fast())
    path = control or config.socket
    when_bound = give_up_rights if account or os.geteuid() == 0 else None
    vitals = Vitals(lambda: server_headline(server), lambda: server.settings.is_reloading or server.roster.is_reading)
    command.run(server, lambda: path, control_required=path != SERVER_SOCKET, when_bound=when_bound, vitals=vitals)
    return 0


def change_user(file: Path, control: Path | None) -> Account | None:
    """Become the user that server.toml names, if any, and return it.

    Raises: ConfigError: the file is not readable; RightsError: this process cannot become that user.
    """
    steps = read_first_steps(file)
    if not steps.user:
        return None
    account = find_account(steps.user)
    if (control or steps.socket).parent == FOLDER:
        share_folder(FOLDER, account)
    become(account)
    return account


def find_config() -> Path:
    """Return the first server.toml in the usual places. Raises: ConfigError when there is none."""
    for place in USUAL_PLACES:
        try:
            place.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:  # it may well be there: reading it tells what is wrong
            pass
        return place
    places = ", ".join(str(place) for place in USUAL_PLACES)
    reason = f"not found; looked for {places}"
    raise ConfigError((Problem("server.toml", 0, "", reason, "name it: rustun serve FILE; see rustun serve --help"),))
