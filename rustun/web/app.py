"""The applications of the web process, and the one table of all their routes.

Three doors, each with its own routes and nobody else's: the dashboard with its API ([dashboard_config] listen), the
figures alone ([admin_config] metrics_listen), and the seed client's pages (http_port, 127.0.0.1 only).

Connections are bounded for all three together (door.py).

Handlers find what they work with in their application: `request.app[SOURCE]`, `request.app[CONFIG]`,
`request.app[GUARD]`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from rustun.config.web import WebConfig
from rustun.logs import EventLog
from rustun.web import dashboard, described, login, metrics, seed_status
from rustun.web.api import EDITOR
from rustun.web.door import Connections
from rustun.web.editor import Editor
from rustun.web.guard import Guard, Route, guarded
from rustun.web.keys import CONFIG, GUARD, SOURCE
from rustun.web.source import Source
from rustun.web.sync_api import REPORTS, Reports

DASHBOARD: Final[tuple[Route, ...]] = (*login.ROUTES, *metrics.ROUTES, *described.ROUTES, *dashboard.ROUTES)
METRICS: Final[tuple[Route, ...]] = metrics.ROUTES
SEED: Final[tuple[Route, ...]] = seed_status.ROUTES


def dashboard_app(
    config: WebConfig, source: Source, log: EventLog, connections: Connections | None = None
) -> web.Application:
    """Return the dashboard with its API: every route takes a token, but those that let one log in."""
    app = _application(DASHBOARD, config, source, Guard(config, log), log, connections)
    app.cleanup_ctx.append(dashboard.keep_live)
    return app


def metrics_app(
    config: WebConfig, source: Source, log: EventLog, connections: Connections | None = None
) -> web.Application:
    """Return /metrics alone; without a configured token whoever reaches its address may read."""
    guard = Guard(config, log, needs_token=config.token is not None)
    return _application(METRICS, config, source, guard, log, connections)


def seed_app(
    config: WebConfig, source: Source, log: EventLog, connections: Connections | None = None
) -> web.Application:
    """Return the seed client's pages: for every user of this host, as there."""
    return _application(SEED, config, source, Guard(config, log, needs_token=False), log, connections)


def _application(
    routes: Sequence[Route],
    config: WebConfig,
    source: Source,
    guard: Guard,
    log: EventLog,
    connections: Connections | None,
) -> web.Application:
    if connections is None:
        connections = Connections(time.monotonic)
    app = guarded(routes, guard, log, connections)
    app[CONFIG], app[SOURCE], app[GUARD], app[metrics.LATEST] = config, source, guard, metrics.Latest()
    app[EDITOR], app[REPORTS] = Editor(source, log), Reports()
    return app
