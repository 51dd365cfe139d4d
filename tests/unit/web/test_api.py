"""The open API of the seed's dashboard, over HTTP."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.unit.web.api_world import MANAGE, READ, ROUTES, Client, KeptLog, ToldSource, ask, served, status

GW = {
    "cluster": "1", "identity": "gw", "private_ip": "10.0.1.1", "mask": "255.255.255.0", "gateway": "10.0.1.254",
    "ciders": ["192.168.1.0/24"],
}  # fmt: skip
DEV = f"/api/clients/1/{quote('dev/北京', safe='')}"


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    """Return a members' file."""
    path = tmp_path / "routes.json"
    path.write_text(ROUTES)
    return path


def test_reading_answers_in_the_seeds_form(routes: Path) -> None:
    """If this fails, the tools of the seed's dashboard do not work here."""

    async def work(client: Client) -> None:
        _, found = await ask(client, "GET", "/api/clusters", token=READ)
        clusters = [{"name": "1", "client_count": 2}, {"name": "shanghai", "client_count": 1}]
        assert found == {"code": 200, "message": "success", "data": clusters}
        _, found = await ask(client, "GET", "/api/clusters/1", token=READ)
        assert found["data"]["cluster"] == clusters[0]
        assert [one["identity"] for one in found["data"]["clients"]] == ["gw", "dev/北京"]
        _, found = await ask(client, "GET", "/api/clients?cluster=1", token=READ)
        assert found["data"][0] == GW
        _, found = await ask(client, "GET", "/api/clients", token=READ)
        assert len(found["data"]) == 3
        _, found = await ask(client, "GET", "/api/clients?cluster=none", token=READ)
        assert found["data"] == []
        _, found = await ask(client, "GET", DEV, token=READ)
        assert found["data"] == {
            "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "", "cluster": "1", "identity": "dev/北京",
            "name": "Zoë", "ciders": [],
        }  # fmt: skip
        for path in ("/api/clusters/none", "/api/clients/1/none", "/api/clients/shanghai/gw"):
            answer, found = await ask(client, "GET", path, token=READ)
            assert (answer.status, found["code"]) == (404, 404) and found["message"]

    served(routes, work)


def test_a_member_is_added_edited_and_removed(routes: Path) -> None:
    """If this fails, the seed's tools can look and not change anything."""
    source = ToldSource(status(routes))

    async def work(client: Client) -> None:
        answer, found = await ask(client, "POST", "/api/clients", {"cluster": "1", "name": "New", "ciders": []})
        made = found["data"]
        assert (answer.status, found["code"], made["private_ip"]) == (201, 200, "10.0.1.3")
        path = f"/api/clients/1/{made['identity']}"
        answer, found = await ask(client, "PUT", path, {**made, "ciders": ["10.8.0.0/16"]})
        assert (answer.status, found["data"]) == (200, {**made, "ciders": ["10.8.0.0/16"]})
        assert json.loads(routes.read_text())[3]["ciders"] == ["10.8.0.0/16"]
        answer, found = await ask(client, "DELETE", path)
        assert (answer.status, found["code"]) == (200, 200)
        assert routes.read_text() == ROUTES
        answer, _ = await ask(client, "DELETE", "/api/clusters/1")
        assert answer.status == 200
        assert [one["identity"] for one in json.loads(routes.read_text())] == ["db"]

    served(routes, work, source)
    said = [(fact["action"], fact["cluster"], fact["changed"]) for fact in source.told]
    assert said == [("add", "1", ""), ("change", "1", "ciders"), *[("remove", "1", "")] * 3]
    assert source.told[-1]["identity"] == "dev/北京"
    assert {fact["by"] for fact in source.told} == {"127.0.0.1"}


def test_a_change_of_a_member_with_long_names_is_audited(routes: Path) -> None:
    """If this fails, whoever gives a member a long name in Chinese changes the members without a line of the audit."""
    source, name = ToldSource(status(routes)), "é" * 127  # 254 bytes, and 762 as JSON writes them
    entry = {"cluster": name, "identity": name, "private_ip": "10.9.0.1", "mask": "255.255.255.0"}

    async def work(client: Client) -> None:
        answer, _ = await ask(client, "POST", "/api/clients", entry)
        assert answer.status == 201

    served(routes, work, source)
    assert [fact["identity"] for fact in source.told] == [name]


def test_a_change_that_the_server_does_not_hear_of_is_said_here(routes: Path) -> None:
    """If this fails, nobody can tell months later who took a member out."""
    source, log = ToldSource(status(routes)), KeptLog()
    source.deaf = True

    async def work(client: Client) -> None:
        answer, _ = await ask(client, "DELETE", "/api/clusters/1")
        assert answer.status == 200

    served(routes, work, source, log)
    assert log.messages("management") == ["gw: remove", "dev/北京: remove"]
    assert log.events[-1][3]["by"] == "127.0.0.1"


def test_a_preview_changes_nothing_and_shows_everything(routes: Path) -> None:
    """If this fails, somebody confirms a change that he was not shown, or makes it by looking."""

    async def work(client: Client) -> None:
        answer, found = await ask(client, "PUT", "/api/clients/1/gw?preview=true", {"enabled": False})
        assert answer.status == 200
        assert found["data"]["changes"][0]["fields"] == {"enabled": {"before": None, "after": False}}
        assert '+    "gateway"' in found["data"]["difference"] and '"enabled": false' in found["data"]["difference"]
        assert found["data"]["client"]["enabled"] is False
        assert routes.read_text() == ROUTES
        answer, _ = await ask(client, "PUT", "/api/clients/1/gw?previw=true", {"enabled": False})
        assert answer.status == 400 and routes.read_text() == ROUTES, "a misspelt preview is none"
        answer, _ = await ask(client, "PUT", "/api/clients/1/gw?preview=maybe", {"enabled": False})
        assert answer.status == 400 and routes.read_text() == ROUTES

    served(routes, work)


def test_a_change_is_made_to_what_was_shown_or_not_at_all(routes: Path) -> None:
    """If this fails, two people at the dashboard undo each other's work."""

    async def work(client: Client) -> None:
        answer, _ = await ask(client, "GET", "/api/clients/1/gw", token=READ)
        shown = answer.headers["ETag"]
        routes.write_text(ROUTES.replace("10.0.2.1", "10.0.2.9"))
        answer, found = await ask(client, "PUT", "/api/clients/1/gw", {"enabled": False}, If_Match=shown)
        assert answer.status == 409
        assert found["details"]["changes"][0]["identity"] == "db"
        assert "enabled" in routes.read_text() and routes.read_text().count("enabled") == 1
        now = f'W/"{found["details"]["digest"]}"'  # as a proxy that packs answers passes it on
        answer, _ = await ask(client, "PUT", "/api/clients/1/gw", {"enabled": False}, If_Match=now)
        assert answer.status == 200 and answer.headers["ETag"] not in (shown, now.removeprefix("W/"))
        answer, _ = await ask(client, "DELETE", "/api/clients/1/gw", If_Match="nonsense")
        assert answer.status == 400

    served(routes, work)


def test_only_the_management_token_changes_anything(routes: Path) -> None:
    """If this fails, whoever may look may take members out."""

    async def work(client: Client) -> None:
        for token, code in ((READ, 403), ("another-token-altogether", 401)):
            for method, path in (
                ("POST", "/api/clients"), ("PUT", "/api/clients/1/gw"), ("DELETE", "/api/clients/1/gw"),
                ("DELETE", "/api/clusters/1"), ("PUT", "/api/clients/1/gw?preview=true"),
            ):  # fmt: skip
                answer, _ = await ask(client, method, path, {"enabled": False}, token=token)
                assert answer.status == code, (method, path)
        assert routes.read_text() == ROUTES
        basic = base64.b64encode(f"admin:{MANAGE}".encode()).decode()
        answer, _ = await ask(client, "DELETE", "/api/clients/1/gw", Authorization=f"Basic {basic}")
        assert answer.status == 200, "as the seed's tools say it"
        for wrong in ("", "!", base64.b64encode(MANAGE.encode()).decode()):
            answer, _ = await ask(client, "GET", "/api/clients", Authorization=f"Basic {wrong}")
            assert answer.status == 401

    served(routes, work)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b"null", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"cluster": "1", "cluster": "2"}', "application/json", 400),
        (b'{"cluster": NaN}', "application/json", 400),
        (b'{"cluster": "\\ud800"}', "application/json", 400),
        (b'{"a":' * 5000, "application/json", 400),
        (b'{"cluster": "' + b"x" * 70_000 + b'"}', "application/json", 413),
        (b'{"cluster": "1"}', "text/plain", 415),
        (b"cluster=1", "application/x-www-form-urlencoded", 415),
        (b'{"cluster": "1", "private_ip": "10.0.1.1"}', "application/json", 422),
        (b'{"cluster": "1", "identity": "a\\u001b[31m"}', "application/json", 422),
        (b'{"cluster": "1", "identity": "gw"}', "application/json", 409),
        (b'{"cluster": "1", "psk_file": "/etc/shadow"}', "application/json", 400),
    ],
)
def test_bodies_that_are_none_are_refused(routes: Path, body: bytes, kind: str, status: int) -> None:
    """If this fails, nonsense is written, or ends in a traceback."""

    async def work(client: Client) -> None:
        headers = {"Authorization": f"Bearer {MANAGE}", "Content-Type": kind}
        answer = await client.post("/api/clients", data=body, headers=headers)
        found = await answer.json()
        assert (answer.status, found["code"]) == (status, status), found
        assert found["message"].isprintable()
        assert routes.read_text() == ROUTES

    served(routes, work)


def test_a_packed_body_is_not_unpacked(routes: Path) -> None:
    """If this fails, a few kilobytes from whoever has the token become gigabytes here."""

    async def work(client: Client) -> None:
        headers = {"Authorization": f"Bearer {MANAGE}", "Content-Type": "application/json", "Content-Encoding": "gzip"}
        answer = await client.post("/api/clients", data=gzip.compress(b'{"cluster": "1"}'), headers=headers)
        assert answer.status == 415 and routes.read_text() == ROUTES

    served(routes, work)


def test_a_file_that_is_broken_is_told_and_left_alone(routes: Path) -> None:
    """If this fails, an edit makes a broken file worse, or the page shows no members as if there were none."""
    routes.write_text(ROUTES[:200])

    async def work(client: Client) -> None:
        for method, body in (("GET", None), ("POST", {"cluster": "1"})):
            answer, found = await ask(client, method, "/api/clients", body)
            assert (answer.status, "cannot be used" in found["message"]) == (503, True)

    served(routes, work)
    assert routes.read_text() == ROUTES[:200]
