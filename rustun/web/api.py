"""The open API of the seed's dashboard, over the members' file of this server (docs/api.md).

    GET    /api/clusters                       [{"name", "client_count"}]
    GET    /api/clusters/{name}                {"cluster": {...}, "clients": [...]}
    DELETE /api/clusters/{name}
    GET    /api/clients[?cluster=]             [client]
    POST   /api/clients                        a client
    GET    /api/clients/{cluster}/{identity}   a client
    PUT    /api/clients/{cluster}/{identity}   what is named changes, the rest stays
    DELETE /api/clients/{cluster}/{identity}

Rules of this module
  1. Paths, fields and answers are the seed's; what is ours comes besides: more fields, `preview`, states of the file.
  2. An answer about the file has its digest as ETag. A change with If-Match is made only where the file still is that
     one; without it, whatever the file is now.
  3. A change with `preview=true` is judged and told, and not made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from rustun.errors import ConfigError
from rustun.printable import quoted
from rustun.web.bodies import entry_of, flag_of, query_of
from rustun.web.changes import MAX_TOLD, SHOWN, Values
from rustun.web.editor import Editor
from rustun.web.envelope import Refusal, success
from rustun.web.guard import Right, Route
from rustun.web.management import Kind, Proposal, Refused, add, edit, remove, remove_cluster
from rustun.web.openapi import CLUSTER, MEMBER, Operation
from rustun.web.routes_on_disk import Make
from rustun.web.routes_text import RoutesText

EDITOR: Final = web.AppKey("EDITOR", Editor)
STATUS: Final[Mapping[Kind, int]] = {
    "wrong": 400,
    "missing": 404,
    "taken": 409,
    "changed": 409,
    "unfit": 422,
    "broken": 409,
    "unwritable": 503,
}
_DIGEST: Final = re.compile(r'(?:W/)?"([0-9a-f]{64})"')  # a proxy that packs answers calls it weak


async def list_clusters(request: web.Request) -> web.StreamResponse:
    """Give every cluster, and how many members it has."""
    query_of(request, ())
    routes = await _read(request)
    counts: dict[str, int] = {}
    for entry in routes:
        name = str(entry.get("cluster", ""))
        counts[name] = counts.get(name, 0) + 1
    return _told([{"name": name, "client_count": count} for name, count in counts.items()], routes)


async def show_cluster(request: web.Request) -> web.StreamResponse:
    """Give one cluster with its members."""
    query_of(request, ())
    routes, name = await _read(request), request.match_info["name"]
    clients = [_client(entry) for entry in routes if entry.get("cluster") == name]
    if not clients:
        raise Refusal(404, f"there is no cluster {quoted(name)}", "GET /api/clusters has all of them")
    return _told({"cluster": {"name": name, "client_count": len(clients)}, "clients": clients}, routes)


async def delete_cluster(request: web.Request) -> web.StreamResponse:
    """Take a cluster out, with all its members."""
    name = request.match_info["name"]
    return await _change(request, lambda before: remove_cluster(before, name))


async def list_clients(request: web.Request) -> web.StreamResponse:
    """Give every member, or those of one cluster."""
    cluster = query_of(request, ("cluster",)).get("cluster", "")
    routes = await _read(request)
    return _told([_client(entry) for entry in routes if not cluster or entry.get("cluster") == cluster], routes)


async def show_client(request: web.Request) -> web.StreamResponse:
    """Give one member."""
    query_of(request, ())
    routes, (cluster, identity) = await _read(request), _named(request)
    for entry in routes:
        if (entry.get("cluster"), entry.get("identity")) == (cluster, identity):
            return _told(_client(entry), routes)
    where = f"{quoted(identity)} in cluster {quoted(cluster)}"
    raise Refusal(404, f"there is no member {where}", "GET /api/clients has all of them")


async def create_client(request: web.Request) -> web.StreamResponse:
    """Add a member; what it does not say of its identity and its address is chosen."""
    values = await entry_of(request)
    return await _change(request, lambda before: add(before, values), status=201)


async def update_client(request: web.Request) -> web.StreamResponse:
    """Change what is named of a member; null takes it out, what is not named stays."""
    values, (cluster, identity) = await entry_of(request), _named(request)
    return await _change(request, lambda before: edit(before, cluster, identity, values))


async def delete_client(request: web.Request) -> web.StreamResponse:
    """Take a member out."""
    cluster, identity = _named(request)
    return await _change(request, lambda before: remove(before, cluster, identity))


async def _read(request: web.Request) -> RoutesText:
    try:
        return await request.app[EDITOR].read()
    except (Refused, ConfigError) as error:
        raise refusal_of(error) from None


async def _change(request: web.Request, make: Make, status: int = 200) -> web.StreamResponse:
    """Make a change, or only tell what it would be."""
    preview = flag_of(query_of(request, ("preview",)), "preview")
    editor, shown = request.app[EDITOR], _shown(request)
    try:
        if preview:
            return success(_previewed(await editor.propose(make, shown)))
        done = await editor.change(make, shown, by=request.remote or "")
    except (Refused, ConfigError) as error:
        raise refusal_of(error) from None
    member = done.member
    return _told(_client(member) if member else {"message": "deleted successfully"}, done.after, status)


def _previewed(proposal: Proposal) -> dict[str, object]:
    told, member = proposal.changes, proposal.member
    return {
        "digest": proposal.before.digest,
        "client": _client(member) if member else None,
        "changes": [change.told() for change in told[:MAX_TOLD]],
        "more_changes": max(0, len(told) - MAX_TOLD),
        "difference": proposal.difference,
        "notes": list(proposal.notes),
    }


def refusal_of(error: Refused | ConfigError) -> Refusal:
    """Return what HTTP says for a change that was not made, or a file that cannot be read."""
    if isinstance(error, Refused):
        return Refusal(STATUS[error.kind], error.message, error.remedy, details=error.told)
    first = error.errors[0]
    return Refusal(503, f"the members' file cannot be used: {first.reason}", first.remedy)


def _shown(request: web.Request) -> str:
    """Return the digest that a change has in If-Match, empty for none. Raises: Refusal: something else stands there."""
    given = request.headers.getall("If-Match", [])
    if not given or given == ["*"]:
        return ""
    digest = _DIGEST.fullmatch(given[0].strip()) if len(given) == 1 else None
    if digest is None:
        raise Refusal(400, "If-Match is no state of the file", "send the ETag of an answer as it was")
    return digest[1]


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["cluster"], request.match_info["identity"]


def _client(entry: Values) -> dict[str, object]:
    """Return a member as the seed's tools know it, and what we have besides."""
    told = {key: entry[key] for key in SHOWN if key in entry}
    return {"private_ip": "", "mask": "", "gateway": "", **told, "ciders": entry.get("ciders") or []}


def _told(data: object, routes: RoutesText, status: int = 200) -> web.Response:
    return success(data, status, {"ETag": f'"{routes.digest}"'})


_CHANGING: Final = (400, 409, 422)
OPERATIONS: Final = (
    Operation(Route("GET", "/api/clusters", list_clusters), "Clusters.", {"type": "array", "items": CLUSTER}),
    Operation(
        Route("GET", "/api/clusters/{name}", show_cluster),
        "A cluster with its members.",
        {"type": "object", "properties": {"cluster": CLUSTER, "clients": {"type": "array", "items": MEMBER}}},
        reasons=(404,),
    ),
    Operation(
        Route("DELETE", "/api/clusters/{name}", delete_cluster, Right.MANAGE),
        "Take a cluster out, with all its members.",
        {},
        query=("preview",),
        reasons=(*_CHANGING, 404),
    ),
    Operation(
        Route("GET", "/api/clients", list_clients),
        "Members.",
        {"type": "array", "items": MEMBER},
        query=("cluster",),
        reasons=(400,),
    ),
    Operation(
        Route("POST", "/api/clients", create_client, Right.MANAGE),
        "Add a member. Without identity, private_ip, mask or gateway they are chosen.",
        MEMBER,
        query=("preview",),
        body={**MEMBER, "required": ["cluster"]},
        status=201,
        reasons=(*_CHANGING, 413, 415),
    ),
    Operation(Route("GET", "/api/clients/{cluster}/{identity}", show_client), "A member.", MEMBER, reasons=(404,)),
    Operation(
        Route("PUT", "/api/clients/{cluster}/{identity}", update_client, Right.MANAGE),
        "Change what is named of a member; null takes it out, what is not named stays.",
        MEMBER,
        query=("preview",),
        body=MEMBER,
        reasons=(*_CHANGING, 404, 413, 415),
    ),
    Operation(
        Route("DELETE", "/api/clients/{cluster}/{identity}", delete_client, Right.MANAGE),
        "Take a member out.",
        {},
        query=("preview",),
        reasons=(*_CHANGING, 404),
    ),
)
