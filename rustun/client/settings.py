"""client.toml at run time: read again when the operator asks, taken whole or not at all.

Rules of this module
  1. Servers, keys, ciphers and intervals are taken; what the device is made of stays until the next start, and the log
     says so.
  2. A file that cannot be used changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from rustun import __version__
from rustun.backends.base import Reactor
from rustun.client.attempts import Attempts, attempts_of
from rustun.config.client import ClientConfig
from rustun.config.rereading import Rereading
from rustun.errors import ConfigError
from rustun.logs import EventLog, describe_bug
from rustun.protocol.handshake import Hello
from rustun.protocol.record_choice import record_ciphers

WAITING: Final = ("tun_name", "tun_mtu", "offload")  # what takes effect at the next start


class Settings:
    """The configuration in force.

    Args:
        config: as it was read for the start; a shared key takes 0.1 s to stretch.
        on_change: called after a reload, when `config` and `attempts` are the new ones.
        aes_is_fast: whether this host has AES instructions; decides what cipher "auto" likes best.
    Attributes:
        config: what is in force.
        attempts: what may be tried, for each server in the order of the list.
        read: reads the configuration anew; raises ConfigError. Until somebody sets it, what was read stays.
    """

    def __init__(
        self,
        config: ClientConfig,
        reactor: Reactor,
        log: EventLog,
        on_change: Callable[[], None],
        *,
        aes_is_fast: bool,
    ) -> None:
        self.config = config
        self.attempts = attempts_of(config)
        self.read: Callable[[], ClientConfig] = lambda: config
        self._log = log
        self._on_change = on_change
        self._aes_is_fast = aes_is_fast
        self._rereading = Rereading(reactor, self._read, self._on_read)

    def hello(self, offloads: frozenset[str]) -> Hello:
        """Return what this client says of itself; `offloads` are those of its device."""
        config = self.config
        ciphers = record_ciphers(config.cipher, config.method, aes_is_fast=self._aes_is_fast)
        return Hello(config.identity, __version__, ciphers, offloads, config.keepalive_interval, config.tun_mtu)

    @property
    def is_reloading(self) -> bool:
        """Whether the configuration is being read again."""
        return self._rereading.under_way

    def reload(self) -> None:
        """Read the configuration again."""
        self._rereading.begin()

    def _read(self) -> tuple[ClientConfig, tuple[Attempts, ...]]:
        config = self.read()
        return config, attempts_of(config)

    def _on_read(self, found: tuple[ClientConfig, tuple[Attempts, ...]] | Exception) -> None:
        if isinstance(found, ConfigError):
            for problem in found.errors:
                self._log.event("error", "config-problem", str(problem))
            self._log.event("error", "config-refused", "the client goes on as it was", problems=len(found.errors))
        elif isinstance(found, Exception):
            self._log.event("error", "internal-error", describe_bug(found))
        else:
            self._take(*found)

    def _take(self, config: ClientConfig, attempts: tuple[Attempts, ...]) -> None:
        old = self.config
        waiting = [name for name in WAITING if getattr(config, name) != getattr(old, name)]
        if config.identity != old.identity:  # its keys are another member's
            message = "identity was changed: nothing of the file is in force before the client is started again"
            self._log.event("error", "config-refused", message, problems=1)
            return
        if waiting:
            message = f"changes of {', '.join(waiting)} take effect when the client is started again"
            self._log.event("warning", "config-waits", message, keys=waiting)
        self.config = replace(config, tun_name=old.tun_name, mtu=old.tun_mtu, offload=old.offload)
        self.attempts = attempts
        self._on_change()
