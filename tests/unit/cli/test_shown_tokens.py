"""docs/dashboard.md and docs/metrics.md: what they have one type makes what the files below it name."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from rustun.cli import main
from rustun.config import load_server_config
from tests.shown import ROOT, blocks, played

SERVER = """\
[server_config]
listen_addr = "0.0.0.0:8080"
[route_config]
routes_file = "routes.json"
[security_config]
private_key_file = "server.key"
"""


def typed(folder: Path, command: str) -> None:
    """Type a command of rustun on a host whose /etc/rustun is a folder of the test."""
    words = shlex.split(command.removeprefix("sudo ").replace("/etc/rustun", str(folder)))
    done = CliRunner().invoke(main, words[1:], prog_name="rustun")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("document", ["dashboard.md", "metrics.md"])
def test_tokens_are_made_and_taken(document: str, tmp_path: Path) -> None:
    """Whoever switches on what the document is about gets a server that does not start."""
    typed(tmp_path, "rustun keygen --out /etc/rustun/server.key")
    (tmp_path / "routes.json").write_text("[]")
    for shown in played(document):
        typed(tmp_path, shown.command)
    tables = [text for language, text in blocks(ROOT / "docs" / document) if language == "toml"]
    assert tables
    for table in tables:
        (tmp_path / "server.toml").write_text(SERVER + table)
        typed(tmp_path, "rustun check /etc/rustun/server.toml")
        web = load_server_config(tmp_path / "server.toml").web
        assert ("token_file" in table) == (web.token is not None)
        assert ("management_token_file" in table) == (web.management_token is not None)
