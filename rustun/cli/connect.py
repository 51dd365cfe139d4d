"""`rustun connect`: this host as a member, with a TUN device of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from rustun.admin.control import client_socket
from rustun.backends.cpu import aes_is_fast
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.process import harden
from rustun.backends.sockets import LinuxNetwork
from rustun.cli.running import Command
from rustun.client.client import TunnelClient
from rustun.config import ClientConfig, ClientOptions, client_config_from_options, load_client_config
from rustun.config.client import DEFAULT_CRYPTO, OPTIONS_PLACE
from rustun.errors import ConfigError
from rustun.logs import LogFormat

KEY_FILE_OPTION: Final = "--crypto-file"  # typed well, but what it names is a file that is wrong


class OptionError(ConfigError):
    """Options that cannot be used: a matter of what was typed, not of a file."""

    exit_code: ClassVar[int] = 2


def connect(
    config_file: Path | None,
    typed: Mapping[str, Any],
    control: Path | None,
    verbosity: int,
    log_format: LogFormat,
    *,
    retry_refused: bool,
) -> int:
    """Keep this host connected until it is stopped, and return the exit code 0.

    Args:
        config_file: a client.toml, if there is one.
        typed: the fields of ClientOptions, None where an option was not given.
        retry_refused: a sealed refusal is no end: try again every 60 s.

    Raises: RustunError when it cannot start, or must not go on.
    """
    harden()  # before the first key is read
    options = ClientOptions(**typed)
    config = read_settings(config_file, options)
    command = Command("client", verbosity, log_format)
    command.note(config.notes)
    if options.crypto not in (None, "plain", DEFAULT_CRYPTO):
        message = "every user of this host can read the key that stands in the command line: --crypto-file hides it"
        command.log.event("warning", "key-in-argv", message)
    network, host = LinuxNetwork(), LinuxHostNetwork()
    client = TunnelClient(config, command.reactor, network, host, os.urandom, command.log, aes_is_fast=aes_is_fast())
    client.settings.read = lambda: read_settings(config_file, options)
    client.on_failure = command.fail
    client.retry_refused = retry_refused
    command.run(client, lambda: control or client_socket(client.tun_name), control_required=control is not None)
    return 0


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
