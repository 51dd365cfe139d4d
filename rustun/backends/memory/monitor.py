"""News of a made-up host's network (base.NetworkMonitor): a test says when something has changed."""

from __future__ import annotations

from rustun.backends.base import Callback
from rustun.backends.memory.reactor import VirtualReactor


class MemoryNetworkMonitor:
    """Calls back a moment after `change`.

    Args:
        reactor: whose time it lives in.
    """

    def __init__(self, reactor: VirtualReactor) -> None:
        self._reactor = reactor
        self._on_change: Callback | None = None
        self._called = False

    def start(self, on_change: Callback) -> None:
        """Call back from now on."""
        self._on_change = on_change

    def change(self) -> None:
        """Let something change that may matter; what comes at the same moment is told once."""
        if not self._called:
            self._called = True
            self._reactor.call_soon(self._tell)

    def close(self) -> None:
        """Stop; a second call is harmless."""
        self._on_change = None

    def _tell(self) -> None:
        self._called = False
        if self._on_change is not None:
            self._on_change()
