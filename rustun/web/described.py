"""All operations of the API in one table, and the document that describes them: GET /api/openapi.json."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from rustun.web import api, sync_api
from rustun.web.bodies import query_of
from rustun.web.envelope import bare
from rustun.web.guard import DESCRIPTION, Route
from rustun.web.openapi import Operation, document


async def show_document(request: web.Request) -> web.StreamResponse:
    """Give the OpenAPI document of this API."""
    query_of(request, ())
    return bare(document(OPERATIONS))


OPERATIONS: Final[tuple[Operation, ...]] = (
    *api.OPERATIONS,
    *sync_api.OPERATIONS,
    Operation(
        Route("GET", DESCRIPTION, show_document),
        "This document.",
        {"type": "object"},
        bare=True,
        reasons=(400,),
    ),
)
ROUTES: Final = tuple(operation.route for operation in OPERATIONS)
