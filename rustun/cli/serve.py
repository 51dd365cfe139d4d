"""`rustun serve`: a relay on this host's sockets."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Final

from rustun.admin.asking import Handler
from rustun.admin.asks.ping import ping_handler
from rustun.admin.asks.trace import trace_handler
from rustun.admin.control import FOLDER, SERVER_SOCKET
from rustun.backends.base import Endpoint
from rustun.backends.cpu import aes_is_fast
from rustun.backends.process import allow_descriptors, harden
from rustun.backends.rights import Account, become, find_account, give_up, share_folder
from rustun.backends.sockets import LinuxNetwork
from rustun.cli.failures import OptionError
from rustun.cli.running import Command, Control
from rustun.cli.supervision import Vitals
from rustun.cli.web_process import WebProcess, log_options, require_packages
from rustun.config import load_server_config
from rustun.config.addresses import parse_listen
from rustun.config.findings import Complaint
from rustun.config.server import ServerConfig, read_first_steps
from rustun.config.web import load_web_config
from rustun.errors import ConfigError, Problem
from rustun.logs import LogFormat
from rustun.relay.ping import ping_target
from rustun.relay.report import server_headline
from rustun.relay.server import RelayServer
from rustun.relay.trace import trace

USUAL_PLACES: Final = (Path("server.toml"), Path("etc/server.toml"), Path("/etc/rustun/server.toml"))

STAYS_ROOT: Final = 'runs as root; write [server_config] user = "rustun", and it keeps no right beyond its start'


def serve(
    config_file: Path | None, dashboard: str | None, control: Path | None, verbosity: int, log_format: LogFormat
) -> int:
    """Run a relay until it is stopped, and return the exit code 0.

    Args:
        dashboard: ADDRESS:PORT where it listens; over what the file says.

    Raises: RustunError when it cannot start.
    """
    listen = _read_dashboard(dashboard)
    harden()
    allow_descriptors()
    file = config_file or find_config()
    account = change_user(file, control)  # before the first key is read
    config = load_server_config(file, listen)
    if config.web.wanted:
        require_packages()
    command = Command("server", verbosity, log_format)
    command.keep_audit(config.audit)
    command.note(config.notes)

    def give_up_rights() -> None:
        command.log.event("info", "rights", give_up(account) if account else STAYS_ROOT)

    network = LinuxNetwork(
        notsent_lowat_bytes=config.queues.tcp_notsent_lowat_bytes, congestion=config.queues.congestion
    )
    server = RelayServer(config, command.reactor, network, os.urandom, command.log, aes_is_fast=aes_is_fast())
    server.other_alarms = lambda: command.audit.alarms if command.audit is not None else []
    path = control or config.socket
    socket = Control(lambda: path, required=path != SERVER_SOCKET, group=config.socket_group, handlers=handlers(server))
    when_bound = give_up_rights if account or os.geteuid() == 0 else None
    vitals = Vitals(lambda: server_headline(server), lambda: server.settings.is_reloading or server.roster.is_reading)
    web = _web_process(command, config, listen, log_options(verbosity, log_format))
    command.run(server, socket, when_bound=when_bound, vitals=vitals, web=web)
    return 0


def handlers(server: RelayServer) -> dict[str, Handler]:
    """Return who answers what on the control socket, beside the status."""
    return {
        "ping": ping_handler("server", server.core.reactor, partial(ping_target, server.core)),
        "trace": trace_handler("server", partial(trace, server)),
    }


def _web_process(
    command: Command, config: ServerConfig, listen: tuple[Endpoint, ...], options: list[str]
) -> WebProcess:
    file = config.path.absolute()
    arguments = ["--config", str(file), *(f"--listen={endpoint}" for endpoint in listen), *options]
    return WebProcess(command.reactor, command.log, config.web, lambda: load_web_config(file, listen), arguments)


def _read_dashboard(text: str | None) -> tuple[Endpoint, ...]:
    """Return where a dashboard was asked for on the command line. Raises: OptionError."""
    if text is None:
        return ()
    try:
        return (parse_listen(text),)
    except Complaint as complaint:
        raise OptionError((Problem("rustun serve", 0, "--dashboard", complaint.reason, complaint.remedy),)) from None


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
