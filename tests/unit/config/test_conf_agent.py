"""[conf_agent] of a server.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.config import Secret, load_server_config
from rustun.config.conf_agent import ControlPlane
from rustun.errors import ConfigError, Problem

SERVER = """\
[server_config]
listen_addr = "0.0.0.0:8080"
[crypto_config]
chacha20poly1305 = "a-key-of-thirty-two-characters.."
[route_config]
routes_file = "/etc/rustun/routes.json"
[conf_agent]
"""


def told(folder: Path, *lines: str) -> tuple[ControlPlane | None, list[Problem]]:
    """Return what the server is told, and what is worth knowing about it."""
    path = folder / "server.toml"
    path.write_text(SERVER + "\n".join(lines) + "\n")
    config = load_server_config(path)
    return config.web.control_plane, [note for note in config.notes if note.key.startswith("conf_agent")]


def test_the_seeds_table_is_taken_as_it_is(tmp_path: Path) -> None:
    """If this fails, a server of the seed loses its control plane when it becomes ours."""
    found, notes = told(
        tmp_path,
        'control_plane_url = "https://control.example:8443/base/"',
        'api_token = "a.b-c=="',
        'routes_file = "/etc/rustun/routes.json"',
    )
    assert found == ControlPlane("https://control.example:8443/base", Secret("a.b-c=="), 60, 30, allow_empty=False)
    assert notes == []
    assert "a.b-c==" not in repr(found)


def test_a_token_may_stand_in_a_file(tmp_path: Path) -> None:
    """If this fails, the token has to stand in a file that many may read."""
    (tmp_path / "token").write_text("from-a-file\n")
    (tmp_path / "token").chmod(0o600)
    url = 'control_plane_url = "https://c.example"'
    found, _ = told(tmp_path, url, 'api_token_file = "token"', "poll_interval = 5")
    assert found is not None and (found.token, found.poll_seconds) == (Secret("from-a-file"), 5)


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ('control_plane_url = "http://control.example"', True),
        ('control_plane_url = "http://127.0.0.2:9000"', False),
        ('control_plane_url = "http://localhost:9000"', False),
        ('control_plane_url = "http://[::1]:9000"', False),
        ('control_plane_url = "https://c.example"\nroutes_file = "other.json"', True),
    ],
)
def test_what_is_dangerous_or_without_effect_is_said(tmp_path: Path, line: str, warned: bool) -> None:
    """If this fails, the token travels in the clear, or members are looked for in a file that nobody writes."""
    _, notes = told(tmp_path, line)
    assert [note.level for note in notes] == ["warning"] * warned


@pytest.mark.parametrize(
    "lines",
    [
        ["poll_interval = 5"],
        ['control_plane_url = ""'],
        ['control_plane_url = "control.example"'],
        ['control_plane_url = "ftp://control.example"'],
        ['control_plane_url = "https://"'],
        ['control_plane_url = "https://user:s3cret@control.example"'],
        ['control_plane_url = "https://control.example/?token=s3cret"'],
        ['control_plane_url = "https://control.example:99999"'],
        ['control_plane_url = "https://[::1"'],
        ['control_plane_url = "https://a b"'],
        ['control_plane_url = "https://c.example"', 'api_token = "s3cret token"'],
        ['control_plane_url = "https://c.example"', 'api_token = "s3cret\\n"'],
        ['control_plane_url = "https://c.example"', 'api_token_file = "missing"'],
        ['control_plane_url = "https://c.example"', 'api_token = "s3cret"', 'api_token_file = ""'],
        ['control_plane_url = "https://c.example"', "poll_interval = 0"],
        ['control_plane_url = "https://c.example"', "report_interval = 1e9"],
        ['control_plane_url = "https://c.example"', "allow_emtpy = true"],
    ],
)
def test_what_cannot_be_meant_is_refused_and_no_secret_shown(tmp_path: Path, lines: list[str]) -> None:
    """If this fails, a slip is found out when the members stop changing, or a token stands in a log."""
    with pytest.raises(ConfigError) as caught:
        told(tmp_path, *lines)
    assert all(problem.key.startswith("conf_agent") for problem in caught.value.errors)
    assert "s3cret@" not in str(caught.value) and "s3cret token" not in str(caught.value)
