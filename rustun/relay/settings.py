"""server.toml at run time: read again when the operator asks, taken whole or not at all.

Rules of this module
  1. Keys and tiers take effect at once: [security_config] and [crypto_config]. That is what a rotation of the server's
     key needs, and it must not cost anybody a session.
  2. Everything else needs a restart, and the log says so. Nothing is half in force.
  3. A file that cannot be used changes nothing; `problems` says so until a better one was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Final

from rustun.backends.base import Reactor
from rustun.config import load_server_config
from rustun.config.rereading import Rereading
from rustun.config.server import ServerConfig
from rustun.errors import ConfigError
from rustun.logs import EventLog, describe_bug
from rustun.relay.policy import Policy

TAKEN: Final = ("security", "method", "key", "web", "notes")  # of `web` the web process takes care
_KEYS: Final = {"private_keys": "private_key_file"}  # attributes that server.toml calls otherwise


class Settings:
    """The configuration in force.

    Args:
        config: as it was read for the start.
        aes_is_fast: whether this host has AES instructions.
        on_change: called with every new policy, after `config` has changed.
    Attributes:
        config: what is in force.
        problems: why the file as it was last read was refused, one line each; empty when it is in force.
    """

    def __init__(
        self,
        config: ServerConfig,
        reactor: Reactor,
        log: EventLog,
        on_change: Callable[[Policy], None],
        *,
        aes_is_fast: bool,
    ) -> None:
        self.config = config
        self.problems: tuple[str, ...] = ()
        self._log = log
        self._on_change = on_change
        self._aes_is_fast = aes_is_fast
        self._rereading = Rereading(reactor, self._read, self._on_read)

    def policy(self) -> Policy:
        """Return the policy of the configuration in force; a shared key takes 0.1 s."""
        return Policy(self.config, aes_is_fast=self._aes_is_fast)

    @property
    def is_reloading(self) -> bool:
        """Whether the configuration is being read again."""
        return self._rereading.under_way

    def reload(self) -> None:
        """Read the file again."""
        self._rereading.begin()

    def _read(self) -> tuple[ServerConfig, Policy]:
        config = load_server_config(self.config.path)
        return config, Policy(config, aes_is_fast=self._aes_is_fast)

    def _on_read(self, found: tuple[ServerConfig, Policy] | Exception) -> None:
        if isinstance(found, ConfigError):
            self.problems = tuple(str(problem) for problem in found.errors)
            for problem in self.problems:
                self._log.event("error", "config-problem", problem)
            message = f"{self.config.path} is not in force: the server goes on as it was"
            self._log.event("error", "config-refused", message, problems=len(self.problems))
        elif isinstance(found, Exception):
            self._log.event("error", "internal-error", describe_bug(found))
        else:
            self._take(*found)

    def _take(self, config: ServerConfig, policy: Policy) -> None:
        self.problems = ()
        waiting = [name for name in _names(config) if getattr(config, name) != getattr(self.config, name)]
        if waiting:
            message = f"changes of {', '.join(waiting)} take effect when the server is started again"
            self._log.event("warning", "config-waits", message, keys=waiting)
        changed = _changed_keys(self.config, config)
        self.config = replace(self.config, **{name: getattr(config, name) for name in TAKEN})
        text = f"keys and tiers of {config.path} are in force"
        self._log.event("info", "config-loaded", text, changed=changed)
        self._on_change(policy)


def _names(config: ServerConfig) -> list[str]:
    """Return the names of what a running server does not change."""
    return [field.name for field in fields(config) if field.name not in TAKEN]


def _changed_keys(before: ServerConfig, after: ServerConfig) -> list[str]:
    """Return the keys of what is taken in which two configurations differ; never what they say."""
    old, new = before.security, after.security
    keys = [_KEYS.get(one.name, one.name) for one in fields(old) if getattr(old, one.name) != getattr(new, one.name)]
    return keys if (before.method, before.key) == (after.method, after.key) else [*keys, "crypto_config"]
