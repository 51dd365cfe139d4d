"""Which addresses that sockets of one host listen on keep each other from it, and what to write instead.

Rules of this module
  1. `[::]` takes IPv6 alone (backends/sockets.py, web/door.py), so only addresses of one version meet.
  2. Who comes later is reported, and told who is there before; the remedy names a port that is free of all of them.
  3. Only what a file says is compared: who else holds a port of this host the start tells.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rustun.backends.base import Endpoint
from rustun.config.addresses import MAX_PORT
from rustun.config.toml import Table

MEMBERS: Final = "members"
DASHBOARD: Final = "the dashboard"
FIGURES: Final = "/metrics"
SEED_PAGES: Final = "the seed's pages"
NEAR: Final = 100  # ports behind the one that is taken, among which a free one is looked for
_WHOLE_HOST: Final = ("0.0.0.0", "::")
_Port = tuple[bool, int]  # whether of IPv6


@dataclass(frozen=True, slots=True)
class Listening:
    """What is listened on for one purpose.

    Attributes:
        table, key: where it is written.
        option: over that, on the command line; empty where it was not typed.
    """

    purpose: str
    table: Table
    key: str
    endpoints: tuple[Endpoint, ...]
    option: str = ""

    @property
    def place(self) -> str:
        """The option or the key."""
        return self.option or self.table.dotted(self.key)


def report_clashes(listening: Sequence[Listening]) -> None:
    """Report each address that cannot be listened on because of an earlier one."""
    taken: dict[_Port, dict[str, tuple[Listening, Endpoint]]] = {}
    used = {_port(endpoint) for one in listening for endpoint in one.endpoints}
    for one in listening:
        for endpoint in one.endpoints:
            there = taken.setdefault(_port(endpoint), {})
            if endpoint.port and (first := _in_the_way(endpoint, there)) is not None:
                _report(one, endpoint, *first, used)
            else:
                there[endpoint.host] = (one, endpoint)


def _port(endpoint: Endpoint) -> _Port:
    return ":" in endpoint.host, endpoint.port


def _in_the_way(
    endpoint: Endpoint, there: Mapping[str, tuple[Listening, Endpoint]]
) -> tuple[Listening, Endpoint] | None:
    """Return who of those on the same port of the same version keeps `endpoint` from it."""
    if endpoint.host in _WHOLE_HOST:
        return next(iter(there.values()), None)
    return next((there[host] for host in (endpoint.host, *_WHOLE_HOST) if host in there), None)


def _report(one: Listening, endpoint: Endpoint, who: Listening, other: Endpoint, used: Collection[_Port]) -> None:
    if who is one:
        both = f"names {endpoint} twice"
        if endpoint != other:
            both = f"names {other} and {endpoint}: only one of them can be listened on"
        _tell(one, endpoint, both, "keep one of them")
        return
    free = (Endpoint(endpoint.host, port) for port in range(endpoint.port + 1, min(endpoint.port + NEAR, MAX_PORT) + 1))
    example = next((f", as in {near}" for near in free if _port(near) not in used), "")
    remedy = f"write another port{example}"
    if (one.purpose, who.purpose) == (FIGURES, DASHBOARD):
        remedy = f"leave it out, since the dashboard has /metrics too, or {remedy}"
    _tell(one, endpoint, f"{endpoint} is taken: {who.place} has {other} for {who.purpose}", remedy)


def _tell(one: Listening, endpoint: Endpoint, reason: str, remedy: str) -> None:
    if one.option:
        one.table.findings.add(0, one.option, reason, remedy)
    else:
        one.table.report(one.key, reason, remedy, value=str(endpoint))
