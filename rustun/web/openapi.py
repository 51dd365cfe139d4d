"""The OpenAPI document of the API, made from the definitions of its operations: what is served is what is described.

Rules of this module
  1. An operation stands once, as an Operation; the route, its right, its parameters and its description come from it.
  2. The form of a member is described once (MEMBER), with the keys that management knows.

OpenAPI 3.1.0: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import rustun
from rustun.web.changes import SHOWN
from rustun.web.guard import Right, Route

Schema = Mapping[str, Any]
_PATH_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_MEANING: Final[Mapping[str, Schema]] = {
    "cluster": {**_TEXT, "description": "the tenant"},
    "identity": {**_TEXT, "description": "the member; unique in the whole file"},
    "name": {"type": ["string", "null"], "description": "for people"},
    "private_ip": {**_TEXT, "format": "ipv4", "description": "the member's address in the tunnel"},
    "mask": {**_TEXT, "description": "of the cluster's network, as in 255.255.255.0"},
    "gateway": {"type": ["string", "null"], "description": "shown by the seed's clients"},
    "ciders": {"type": ["array", "null"], "items": _TEXT, "description": "networks behind the member"},
    "cider_mapping": {
        "type": ["object", "null"],
        "additionalProperties": _TEXT,
        "description": "a prefix of ciders and the real one behind it",
    },
    "private_ip6": {"type": ["string", "null"], "description": "IPv6 address/length"},
    "public_key": {"oneOf": [_TEXT, _TEXTS], "description": "Base64; set where there is none, never replaced here"},
    "tier": {"enum": ["key", "shared", "legacy"], "description": "the lowest way in; only raised here"},
    "enabled": {"type": "boolean", "description": "false: out, within a second"},
    "expires_at": {"type": ["string", "null"], "description": "RFC 3339, or a day"},
}
MEMBER: Final[Schema] = {
    "type": "object",
    "properties": {key: _MEANING[key] for key in SHOWN},
    "additionalProperties": False,
}
SEED_MEMBER: Final[Schema] = {
    "type": "object",
    "required": ["name", "cluster", "identity", "private_ip", "mask", "gateway", "ciders"],
    "properties": {key: _MEANING[key] for key in SHOWN[:8]},
}
CLUSTER: Final[Schema] = {
    "type": "object",
    "required": ["name", "client_count"],
    "properties": {"name": _TEXT, "client_count": {"type": "integer", "minimum": 0}},
}
CONNECTION: Final[Schema] = {
    "type": "object",
    "required": ["cluster_id", "identity"],
    "properties": {
        "cluster_id": {"oneOf": [{"type": "integer", "minimum": 0}, _TEXT]},
        "identity": _TEXT,
        "last_active": {"type": ["integer", "null"], "minimum": 0, "description": "unix seconds"},
    },
}
REFUSAL: Final[Schema] = {
    "type": "object",
    "required": ["code", "message", "error"],
    "properties": {
        "code": {"type": "integer", "description": "the HTTP status"},
        "message": {**_TEXT, "description": "what is wrong"},
        "error": {**_TEXT, "description": "what to do about it"},
        "details": {"type": "object", "description": "problems of the file, or what was changed meanwhile"},
    },
}
REASONS: Final[Mapping[int, str]] = {
    400: "the request makes no sense",
    404: "there is no such member or cluster",
    409: "taken, or the file was changed meanwhile (then `details` says by what)",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "the server would refuse the file: `details` has the problems",
}
_QUERY: Final[Mapping[str, Schema]] = {
    "cluster": {**_TEXT, "description": "only its members"},
    "preview": {"type": "boolean", "description": "only say what would change"},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, and what it takes and gives.

    Attributes:
        summary: a sentence.
        query: parameters in the query, of those that _QUERY knows.
        body: schema of the JSON that it takes; None for no body.
        answer: schema of `data`, or of the whole answer where it is `bare`.
        bare: whether the answer comes without the envelope.
        status: of success.
        reasons: statuses of its refusals, besides those that every route has.
    """

    route: Route
    summary: str
    answer: Schema
    query: tuple[str, ...] = ()
    body: Schema | None = None
    bare: bool = False
    status: int = 200
    reasons: tuple[int, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it changes the members' file, and so knows its states."""
        return self.route.right is Right.MANAGE


def document(operations: Iterable[Operation]) -> dict[str, object]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        paths.setdefault(operation.route.path, {})[operation.route.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rustun",
            "version": rustun.__version__,
            "description": "Members of a rustun server: the dashboard's API and the control plane's.",
        },
        "security": [{"token": []}, {"password": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "any name, and the token as password"},
            },
            "schemas": {"Refusal": REFUSAL},
        },
    }


def _described(operation: Operation) -> dict[str, object]:
    route = operation.route
    names = _PATH_PARAMETER.findall(route.path)
    parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
    parameters += [{"name": name, "in": "query", "schema": _QUERY[name]} for name in operation.query]
    if operation.changes:
        digest = {**_TEXT, "description": "the ETag of the state that the change was thought of for"}
        parameters.append({"name": "If-Match", "in": "header", "schema": digest})
    reasons = sorted({401, 403, 429, 503, *operation.reasons})
    responses: dict[str, object] = {str(code): _refused(REASONS.get(code, "refused")) for code in reasons}
    responses[str(operation.status)] = {"description": "success", "content": _json(_answer(operation))}
    if operation.changes and operation.status != 200:
        responses["200"] = {"description": "with preview: what would change", "content": _json(_enveloped({}))}
    described: dict[str, object] = {
        "operationId": route.handler.__name__,
        "summary": operation.summary,
        "description": f"Takes the {'management' if route.right is Right.MANAGE else 'read'} token.",
        "parameters": parameters,
        "responses": responses,
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _answer(operation: Operation) -> Schema:
    if operation.bare:
        return operation.answer
    return _enveloped({} if operation.changes else operation.answer)  # a preview has another form


def _enveloped(data: Schema) -> Schema:
    return {
        "type": "object",
        "required": ["code", "message", "data"],
        "properties": {"code": {"const": 200}, "message": {"const": "success"}, "data": data},
    }


def _refused(description: str) -> dict[str, object]:
    return {"description": description, "content": _json({"$ref": "#/components/schemas/Refusal"})}


def _json(schema: Schema) -> dict[str, object]:
    return {"application/json": {"schema": schema}}
