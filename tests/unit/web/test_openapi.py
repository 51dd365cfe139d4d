"""The OpenAPI document, and whether the API is what it says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from rustun.config.routes import at_once, parse_routes
from rustun.web.app import DASHBOARD
from rustun.web.described import OPERATIONS
from rustun.web.openapi import document
from tests.unit.web.api_world import MANAGE, READ, ROUTES, KeptLog, ToldSource, application, ask, served, status
from tests.unit.web.json_schema import fitting, problems

DOCUMENT: Final[Any] = document(OPERATIONS)
REFS: Final = DOCUMENT["components"]["schemas"]
WORDS: Final = st.sampled_from(
    ["1", "shanghai", "gw", "db", "new", "10.0.1.1", "10.0.1.9", "255.255.255.0", "10.8.0.0/16", "fd00::1/64", "",
     "[b]x", "2030-01-01", "<script>", "a\nb", "北京", "../..", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="]
)  # fmt: skip
NONSENSE: Final[st.SearchStrategy[Any]] = st.sampled_from(
    [None, 5, [], [None], {}, {"enabeld": True}, {"cluster": {"a": [[]]}}, "x"]
)
CALLS: Final = [(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]


@st.composite
def requests(draws: st.DrawFn) -> tuple[str, str, str, Any]:
    """Return method, described path, path and body of a request that the document allows, or nearly so."""
    method, described = draws(st.sampled_from(CALLS))
    operation = DOCUMENT["paths"][described][method]
    path, query = described, []
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace("{" + name + "}", quote(draws(WORDS) or "x", safe=""))
        elif parameter["in"] == "query" and draws(st.booleans()):
            value = draws(st.sampled_from(["true", "false"])) if name == "preview" else draws(WORDS)
            query.append(f"{name}={quote(value)}")
    body = None
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = draws(st.one_of(fitting(schema, WORDS), fitting(schema, WORDS), fitting(schema, WORDS), NONSENSE))
    return method, described, path + ("?" + "&".join(query) if query else ""), body


def test_what_is_served_is_described() -> None:
    """If this fails, a route of the API is unknown to who reads its document, or the other way round."""
    of_members = ("/api/clusters", "/api/clients", "/api/sync", "/api/openapi")
    served_here = {(one.method.lower(), one.path) for one in DASHBOARD if one.path.startswith(of_members)}
    assert served_here == set(CALLS)
    names = [DOCUMENT["paths"][path][method]["operationId"] for method, path in CALLS]
    assert len(set(names)) == len(names)


def test_the_document_is_served(tmp_path: Path) -> None:
    """If this fails, a tool that asks for the document gets none."""
    (tmp_path / "routes.json").write_text(ROUTES)

    async def work(client: Any) -> None:
        answer, found = await ask(client, "GET", "/api/openapi.json", token=READ)
        assert answer.status == 200 and found == json.loads(json.dumps(DOCUMENT))

    served(tmp_path / "routes.json", work)


@settings(max_examples=60)
@given(st.lists(requests(), min_size=1, max_size=8))
def test_whatever_is_asked_the_answer_is_one_that_is_described(
    tmp_path_factory: Any, asked: list[tuple[str, str, str, Any]]
) -> None:
    """If this fails, a program that was written after the document meets an answer that it does not know."""
    path = tmp_path_factory.mktemp("api") / "routes.json"
    path.write_text(ROUTES)

    async def run() -> None:
        app = application(ToldSource(status(path)), KeptLog())
        async with TestClient(TestServer(app)) as client:
            for method, described, target, body in asked:
                answer, found = await ask(client, method.upper(), target, body, token=MANAGE)
                responses = DOCUMENT["paths"][described][method]["responses"]
                assert str(answer.status) in responses, (method, target, body, answer.status, found)
                schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
                assert not list(problems(found, schema, REFS)), (method, target, body, found)
                at_once(parse_routes(path.read_bytes(), str(path)))

    asyncio.run(run())
