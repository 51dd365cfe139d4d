"""`rustun connect`: this host as a member, with a TUN device of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from rustun.admin.asking import Handler
from rustun.admin.asks.ping import ping_handler
from rustun.admin.asks.trace import trace_handler
from rustun.admin.control import client_socket
from rustun.backends.base import HostNetwork
from rustun.backends.cpu import aes_is_fast
from rustun.backends.host_journal import STATE_DIR
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.network_monitor import LinuxNetworkMonitor
from rustun.backends.process import harden
from rustun.backends.sockets import LinuxNetwork
from rustun.backends.untouched import UntouchedHost
from rustun.cli.beside import refuse_beside_another
from rustun.cli.dry_run import DryRun
from rustun.cli.failures import OptionError
from rustun.cli.running import Command, Control
from rustun.cli.supervision import Vitals
from rustun.cli.web_process import WebProcess, log_options, require_packages
from rustun.client.client import TunnelClient
from rustun.client.ping import ping_target
from rustun.client.report import client_headline
from rustun.client.trace import trace
from rustun.config import ClientConfig, ClientOptions, client_config_from_options, load_client_config
from rustun.config.client import DEFAULT_CRYPTO, OPTIONS_PLACE
from rustun.errors import ConfigError
from rustun.logs import LogFormat

KEY_FILE_OPTION: Final = "--crypto-file"  # typed well, but what it names is a file that is wrong


def connect(
    config_file: Path | None,
    typed: Mapping[str, Any],
    control: Path | None,
    state_dir: Path | None,
    verbosity: int,
    log_format: LogFormat,
    *,
    retry_refused: bool,
) -> int:
    """Keep this host connected until it is stopped, and return the exit code 0.

    Args:
        config_file: a client.toml, if there is one.
        typed: the fields of ClientOptions, None where an option was not given.
        state_dir: folder of the journal, or None for the usual one.
        retry_refused: a sealed refusal is no end: try again every 60 s.

    Raises: RustunError when it cannot start, or must not go on.
    """
    config, command, reread = _prepare(config_file, ClientOptions(**typed), control, verbosity, log_format)
    if config.web.wanted:
        require_packages()
    client = _client(config, command, LinuxHostNetwork(state_dir or STATE_DIR))
    client.settings.read = reread
    client.retry_refused = retry_refused
    arguments = ["--client", *log_options(verbosity, log_format)]
    if config_file is not None:
        arguments += ["--config", str(config_file.absolute())]
    if typed["http_port"] is not None:
        arguments += ["--http-port", str(typed["http_port"])]
    web = WebProcess(command.reactor, command.log, config.web, lambda: reread().web, arguments)
    command.run(
        client,
        Control(
            lambda: control or client_socket(client.tun_name),
            required=control is not None,
            handlers=handlers(client, command),
        ),
        vitals=Vitals(lambda: client_headline(client), lambda: client.settings.is_reloading),
        web=web,
    )
    return 0


def dry_run(
    config_file: Path | None,
    typed: Mapping[str, Any],
    control: Path | None,
    state_dir: Path | None,
    verbosity: int,
    log_format: LogFormat,
    *,
    as_json: bool,
) -> int:
    """Print what `connect` would do to this host, without doing it, and return the exit code 0.

    Raises: RustunError when no server tells its part, or a client runs here whose place this would take.
    """
    config, command, _ = _prepare(config_file, ClientOptions(**typed), control, verbosity, log_format)
    host = UntouchedHost(LinuxHostNetwork(state_dir or STATE_DIR))
    rehearsal = DryRun(_client(config, command, host), host, command)
    command.run(rehearsal, None)
    rehearsal.print(as_json)
    return 0


def _prepare(
    config_file: Path | None, options: ClientOptions, control: Path | None, verbosity: int, log_format: LogFormat
) -> tuple[ClientConfig, Command, Callable[[], ClientConfig]]:
    """Return the settings, what runs them, and what reads them again.

    Raises: RustunError: the settings cannot be used, or a client runs here whose place this would take.
    """
    harden()  # before the first key is read
    config = read_settings(config_file, options)
    command = Command("client", verbosity, log_format)
    command.note(config.notes)
    refuse_beside_another(config, control)
    if options.crypto not in (None, "plain", DEFAULT_CRYPTO):
        message = "every user of this host can read the key that stands in the command line: --crypto-file hides it"
        command.log.event("warning", "key-in-argv", message)
    return config, command, lambda: read_settings(config_file, options)


def _client(config: ClientConfig, command: Command, host: HostNetwork) -> TunnelClient:
    reactor, log = command.reactor, command.log
    monitor = LinuxNetworkMonitor(reactor)
    client = TunnelClient(
        config, reactor, LinuxNetwork(), host, monitor, os.urandom, log, aes_is_fast=aes_is_fast()
    )  # fmt: skip
    client.on_failure = command.fail
    return client


def handlers(client: TunnelClient, command: Command) -> dict[str, Handler]:
    """Return who answers what on the control socket, beside the status."""
    return {
        "ping": ping_handler("client", command.reactor, partial(ping_target, client)),
        "trace": trace_handler("client", partial(trace, client)),
    }


def read_settings(config_file: Path | None, options: ClientOptions) -> ClientConfig:
    """Return what the file and the options say together.

    Raises: ConfigError; OptionError when nothing but options is wrong.
    """
    try:
        return load_client_config(config_file, options) if config_file else client_config_from_options(options)
    except ConfigError as error:
        errors = [problem for problem in error.problems if problem.level == "error"]
        if all(problem.file == OPTIONS_PLACE and problem.key != KEY_FILE_OPTION for problem in errors):
            raise OptionError(error.problems) from error
        raise
