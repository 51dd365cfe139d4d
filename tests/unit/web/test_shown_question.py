"""docs/api.md: what it has one ask is answered."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.shown import played
from tests.unit.web.api_world import READ, ROUTES, Client, served


def test_the_question_of_the_document_is_answered(tmp_path: Path) -> None:
    """The first thing that somebody tries of the API is refused, or asks for something else."""
    [shown] = played("api.md")
    curl, option, header, url = shlex.split(shown.command)
    assert (curl, option) == ("curl", "-H")
    name, _, value = header.replace("$TOKEN", READ).partition(": ")
    routes = tmp_path / "routes.json"
    routes.write_text(ROUTES.replace('"cluster": "1"', '"cluster": "beijing"'))

    async def ask(client: Client) -> Any:
        asked = urlsplit(url)
        answer = await client.get(f"{asked.path}?{asked.query}", headers={name: value})
        return await answer.json()

    found = served(routes, ask)
    assert found["code"] == 200
    assert [member["identity"] for member in found["data"]] == ["gw", "dev/北京"]
