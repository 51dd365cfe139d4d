"""server.toml, routes.json and client.toml -> frozen records; every problem of a file at once (see findings.py)."""

from rustun.config.advice import advise
from rustun.config.check import check_files
from rustun.config.client import (
    ClientConfig,
    ClientOptions,
    ServerAddress,
    client_config_from_options,
    load_client_config,
)
from rustun.config.consent import HostConsent
from rustun.config.keys import Secret
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.config.member import Member
from rustun.config.routes import RoutesFile, parse_routes, read_routes
from rustun.config.server import SecurityConfig, ServerConfig, load_server_config

__all__ = [
    "ClientConfig",
    "ClientOptions",
    "HostConsent",
    "LimitConfig",
    "Member",
    "QueueConfig",
    "RoutesFile",
    "Secret",
    "SecurityConfig",
    "ServerAddress",
    "ServerConfig",
    "advise",
    "check_files",
    "client_config_from_options",
    "load_client_config",
    "load_server_config",
    "parse_routes",
    "read_routes",
]
