"""This server as a control plane: what the seed's servers, and ours, ask of one and report to it.

    GET  /api/sync/clients       a bare list of members
    POST /api/sync/connections   takes a bare list of who is connected
    GET  /api/sync/connections   that list, of all who reported (ours)

Rules of this module
  1. All three take the read token: who steers itself by this server need not be able to change it.
  2. Reports are kept in memory, of members of this file only, the latest of each.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from rustun.errors import ConfigError, ProtocolError
from rustun.web.api import EDITOR, refusal_of
from rustun.web.bodies import list_of, query_of
from rustun.web.envelope import Refusal, bare, success
from rustun.web.guard import Route
from rustun.web.management import Refused
from rustun.web.openapi import CONNECTION, SEED_MEMBER, Operation
from rustun.web.routes_text import RoutesText
from rustun.web.sync_members import cluster_id, members_told, parse_connections


class Reports:
    """When members were last active at the servers that report here."""

    def __init__(self) -> None:
        self._active: dict[tuple[str, str], int] = {}

    def note(self, reported: dict[tuple[str, str], int], known: set[tuple[str, str]], now: datetime) -> int:
        """Take a report; return how many of its members are known here. Who is not known any more is forgotten.

        Args:
            now: what was noted as later, by a clock that was wrong, is taken for this.
        """
        unix = int(now.timestamp())
        taken = {who: active for who, active in reported.items() if who in known}
        kept = {who: min(active, unix) for who, active in self._active.items() if who in known}
        self._active = kept | {who: max(active, kept.get(who, 0)) for who, active in taken.items()}
        return len(taken)

    def told(self) -> list[dict[str, object]]:
        """Return them as they were reported."""
        return [
            {"cluster_id": cluster_id(cluster), "identity": identity, "last_active": active}
            for (cluster, identity), active in self._active.items()
        ]


REPORTS: Final = web.AppKey("REPORTS", Reports)


async def sync_clients(request: web.Request) -> web.StreamResponse:
    """Give the members of this server to another one."""
    query_of(request, ())
    return bare(members_told(await _read(request), datetime.now(UTC)))


async def report_connections(request: web.Request) -> web.StreamResponse:
    """Take from another server who is connected there."""
    query_of(request, ())
    entries = await list_of(request)
    now = datetime.now(UTC)
    try:
        reported = parse_connections(entries, now)
    except ProtocolError as error:
        raise Refusal(400, error.message, 'send [{"cluster_id": 1, "identity": "...", "last_active": 1}]') from None
    routes = await _read(request)
    known = {(str(entry.get("cluster")), str(entry.get("identity"))) for entry in routes}
    return success({"taken": request.app[REPORTS].note(reported, known, now)})


async def list_connections(request: web.Request) -> web.StreamResponse:
    """Give what other servers reported."""
    query_of(request, ())
    return bare(request.app[REPORTS].told())


async def _read(request: web.Request) -> RoutesText:
    try:
        return await request.app[EDITOR].read()
    except (Refused, ConfigError) as error:
        raise refusal_of(error) from None


_CONNECTIONS: Final = {"type": "array", "items": CONNECTION}
OPERATIONS: Final = (
    Operation(
        Route("GET", "/api/sync/clients", sync_clients),
        "Members, for a server that this one steers; without those that are disabled or expired.",
        {"type": "array", "items": SEED_MEMBER},
        bare=True,
        reasons=(400,),
    ),
    Operation(
        Route("POST", "/api/sync/connections", report_connections),
        "Report who is connected at a server that this one steers.",
        {"type": "object", "properties": {"taken": {"type": "integer"}}},
        body=_CONNECTIONS,
        reasons=(400, 413, 415),
    ),
    Operation(
        Route("GET", "/api/sync/connections", list_connections),
        "What steered servers reported.",
        _CONNECTIONS,
        bare=True,
        reasons=(400,),
    ),
)
