"""`rustun connect --dry-run`: what a client would do to this host, as commands for a shell.

Rules of this module
  1. It asks a server as a real client does, since a server tells the addresses and prefixes; nothing is made on the
     host, and nothing is delivered.
  2. Standard output can be typed into a shell: the commands, and as comments what is not to be had.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from rustun.admin.control import SCHEMA
from rustun.backends.base import HostNetwork, HostPlan
from rustun.cli.running import Command
from rustun.client.client import TunnelClient
from rustun.client.report import Steps
from rustun.errors import HostError, RustunError
from rustun.printable import printable

HEAR_SECONDS: Final = 30.0  # two tries and their wait; who has more patience tries again
LOOK_SECONDS: Final = 0.05


class DryRun:
    """Connects, hears what a client hears, and notes the plan; a service of `Command`.

    Args:
        client: on a host that is never touched.
        host: what plans are asked of.
    Attributes:
        plan: None until it is known.
    """

    def __init__(self, client: TunnelClient, host: HostNetwork, command: Command) -> None:
        self.plan: HostPlan | None = None
        self._client = client
        self._host = host
        self._command = command
        self._deadline = command.reactor.now() + HEAR_SECONDS

    def start(self) -> None:
        """Connect, and look from time to time whether all is known."""
        self._client.start()
        self._look()

    def stop(self, reason: str, done: Callable[[], None]) -> None:
        """Say goodbye."""
        self._client.stop(reason, done)

    def reload(self) -> None:
        """Do nothing: what is read once is enough."""

    def status(self, cluster: str = "", member: str = "", since: str = "") -> Steps:
        """Make the client's part of the status document."""
        return self._client.status(cluster, member, since)

    def print(self, as_json: bool) -> None:
        """Print the commands, a line or a here-document each, then what is not to be had, or all that as JSON.

        Raises: HostError: stopped before it was known.
        """
        if self.plan is None:
            why = f": {self._client.last_error}" if self._client.last_error else ""
            raise HostError(f"stopped before a server told its part{why}", "let it run for a few seconds")
        refused = {str(prefix): reason for prefix, reason in self.plan.report.refused.items()}
        warnings = list(dict.fromkeys((*self._client.host_warnings, *self.plan.report.warnings)))
        if as_json:
            facts = {"commands": self.plan.commands, "refused_routes": refused, "warnings": warnings}
            print(json.dumps({"schema": SCHEMA, **facts}, indent=2))
        else:
            comments = [f"{prefix} is not routed into the tunnel: {reason}" for prefix, reason in refused.items()]
            comments += [f"warning: {warning}" for warning in warnings]
            print("\n".join((*self.plan.commands, *(f"# {printable(line, len(line))}" for line in comments))))

    def _look(self) -> None:
        client, reactor = self._client, self._command.reactor
        if client.session is not None and client.first.peers.heard:
            reactor.call_soon(self._finish)  # after the client has made a wish of what it has just heard
        elif reactor.now() > self._deadline:
            reason = client.last_error or "no answer yet"
            remedy = "is the server up, and does it know this member?"
            self._command.fail(HostError(f"no server told its part within {HEAR_SECONDS:.0f} s: {reason}", remedy))
        else:
            reactor.call_at(reactor.now() + LOOK_SECONDS, self._look)

    def _finish(self) -> None:
        assert self._client.host_state is not None  # since its start
        try:
            self.plan = self._host.plan(self._client.host_state)
        except RustunError as error:
            self._command.fail(error)
        else:
            self._command.stop("the dry run is over")
