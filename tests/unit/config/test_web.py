"""What a server.toml or client.toml says of the web process."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.config import load_client_config, load_server_config
from rustun.config.client import ClientOptions
from rustun.config.web import WebConfig, load_web_config
from rustun.errors import ConfigError

TOKEN = "0123456789abcdef0123456789ABCDEF"
SERVER = """
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "a-key-of-some-length-for-a-test"
[route_config]
routes_file = "routes.json"
"""
CLIENT = """
identity = "bj-dev"
servers = [{ address = "192.0.2.1:8080" }]
[crypto_config]
chacha20poly1305 = "a-key-of-some-length-for-a-test"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two tokens."""
    for name, text in (("read.token", TOKEN), ("manage.token", TOKEN[::-1]), ("short.token", "short")):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def server(folder: Path, text: str, *dashboard: Endpoint) -> WebConfig:
    """Return what a server.toml with this text says."""
    path = folder / "server.toml"
    path.write_text(SERVER + text)
    web = load_server_config(path, dashboard).web
    assert load_web_config(path, dashboard) == web, "the web process reads something else than the server"
    return web


def refused(folder: Path, text: str, *dashboard: Endpoint) -> str:
    """Return what is wrong with a server.toml with this text."""
    with pytest.raises(ConfigError) as raised:
        server(folder, text, *dashboard)
    return str(raised.value)


def test_nothing_written_is_nothing_served(folder: Path) -> None:
    """Every server opens a port that its operator does not know of."""
    assert server(folder, "") == WebConfig()
    assert not WebConfig().wanted


def test_a_dashboard(folder: Path) -> None:
    """What is written is not what is served."""
    web = server(
        folder,
        '[dashboard_config]\nlisten = "127.0.0.1:8081"\ntoken_file = "read.token"\n'
        'management_token_file = "manage.token"\nhosts = ["VPN.example.com.", "2001:db8::1"]\nmember_labels = false\n',
    )
    assert web.wanted
    assert web.listen == (Endpoint("127.0.0.1", 8081),)
    assert web.token is not None and web.token.reveal() == TOKEN
    assert web.management_token is not None
    assert web.hosts == ("vpn.example.com", "2001:db8::1")
    assert not web.member_labels
    assert TOKEN not in repr(web)


def test_what_is_typed_wins(folder: Path) -> None:
    """--dashboard is passed over where the file names an address."""
    text = '[dashboard_config]\nlisten = "127.0.0.1:1"\ntoken_file = "read.token"\n'
    assert server(folder, text, Endpoint("127.0.0.1", 2)).listen == (Endpoint("127.0.0.1", 2),)


def test_one_port_is_listened_on_once(folder: Path) -> None:
    """A server is found wrong by its web process alone, which ends and is started again for ever."""
    text = SERVER.replace("127.0.0.1:0", "0.0.0.0:8080")
    pages = '[dashboard_config]\nlisten = "127.0.0.1:8081"\ntoken_file = "read.token"\n'
    path = folder / "server.toml"
    path.write_text(text + pages)
    for listen, words in (
        ((), None),
        ((Endpoint("127.0.0.1", 8080),), "--dashboard: 127.0.0.1:8080 is taken: server_config.listen_addr has 0.0.0.0"),
        ((Endpoint("::1", 8080),), None),
    ):
        for read in (load_server_config, load_web_config):
            if words is None:
                read(path, listen)
                continue
            with pytest.raises(ConfigError, match=words):
                read(path, listen)


def test_a_clients_pages_have_a_port_each(folder: Path) -> None:
    """The figures and the seed's pages are asked for at one port, and neither is there."""
    path = folder / "client.toml"
    path.write_text(CLIENT + '[admin_config]\nhttp_port = 8082\nmetrics_listen = "127.0.0.1:9101"\n')
    assert load_client_config(path).web.http_port == 8082
    with pytest.raises(ConfigError, match="--http-port: 127.0.0.1:9101 is taken: admin_config.metrics_listen"):
        load_client_config(path, ClientOptions(http_port=9101))


def test_a_dashboard_without_a_token_is_refused(folder: Path) -> None:
    """A dashboard runs into which nobody can get, or everybody."""
    words = refused(folder, '[dashboard_config]\nlisten = "127.0.0.1:1"\n')
    assert "token_file: is missing" in words
    assert "rustun keygen --token" in words
    assert "token_file: is missing" in refused(folder, "", Endpoint("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [("127.0.0.1:9", False), ("[::1]:9", False), ("0.0.0.0:9", True), ("192.0.2.1:9", True), ("[::]:9", True)],
)
def test_figures_for_other_hosts_need_a_token(folder: Path, address: str, is_refused: bool) -> None:
    """Whoever reaches the port reads who the members are."""
    text = f'[admin_config]\nmetrics_listen = "{address}"\n'
    if is_refused:
        assert "there is no token" in refused(folder, text)
        text += '[dashboard_config]\ntoken_file = "read.token"\n'
    assert len(server(folder, text).metrics_listen) == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("token_file", '""', "is empty"),
        ("token_file", '"none.token"', "there is no key file"),
        ("token_file", '"short.token"', "at least 16 characters"),
        ("token_file", "1", "not a text"),
        ("management_token_file", '"read.token"', "the same token"),
        ("hosts", '["https://vpn.example.com"]', "no host's name"),
        ("hosts", '["vpn.example.com:8081"]', "no host's name"),
        ("hosts", '[""]', "no host's name"),
        ("listen", '"localhost:1"', "is a name"),
        ("member_labels", '"no"', "not true or false"),
        ("colour", '"red"', "is not a known key"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, key: str, value: str, words: str) -> None:
    """A slip is passed over, or ends in a traceback."""
    lines = {"token_file": '"read.token"', key: value}
    text = "".join(f"{name} = {written}\n" for name, written in lines.items())
    assert words in refused(folder, f"[dashboard_config]\n{text}")


def test_a_token_that_others_can_read_is_refused(folder: Path) -> None:
    """Every user of the host can read the token, and nobody says so."""
    (folder / "read.token").chmod(0o644)
    words = refused(folder, '[dashboard_config]\ntoken_file = "read.token"\n')
    assert "chmod 600" in words
    assert TOKEN not in words


def test_a_client_has_figures_and_the_seeds_pages(folder: Path) -> None:
    """The seed's --http-port is not taken, or a client opens a dashboard that it does not have."""
    path = folder / "client.toml"
    path.write_text(CLIENT + '[admin_config]\nhttp_port = 8082\nmetrics_listen = "127.0.0.1:9"\n')
    web = load_client_config(path).web
    assert (web.http_port, web.metrics_listen) == (8082, (Endpoint("127.0.0.1", 9),))
    assert load_web_config(path, client=True) == web
    for text in ('[dashboard_config]\nlisten = "127.0.0.1:1"\n', "[admin_config]\nhttp_port = 70000\n"):
        path.write_text(CLIENT + text)
        with pytest.raises(ConfigError, match="is not a known key|out of its range"):
            load_client_config(path)
    assert "http_port: is not a known key" in refused(folder, "[admin_config]\nhttp_port = 1\n")
