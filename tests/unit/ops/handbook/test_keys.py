"""Keys of the configuration files -> pages: what readers ask for, joined with what the documents say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rustun.config.limits import LimitConfig
from rustun.ops.handbook.keys import Ask, asked_for, explained, key_pages

DOCS = Path(__file__).resolve().parents[4] / "docs"
PAGES = {page.manual: page for page in key_pages(DOCS)}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A copy of the documents that keys are explained in."""
    for name in ("configuration.md", "protocol.md"):
        shutil.copyfile(DOCS / name, tmp_path / name)
    return tmp_path


def test_readers_tell_kinds_ranges_and_defaults() -> None:
    """The page of a file would be written by hand, and be wrong from the next change of its reader on."""
    client, server = asked_for("client.toml"), asked_for("server.toml")
    assert client["keepalive_interval"] == Ask("1 to 3600", "10")
    assert client["tunnel_config.offload"] == Ask("true, false", "true")
    assert client["host_config.names"] == Ask("`off`, `hosts`", "off")
    assert client["tunnel_config.mtu"].kind == "576 to 65000"
    assert client["servers"].kind == "list of tables"
    assert client["servers.public_key"] == Ask("")
    assert server["limit_config.pending_connections"] == Ask("1 to 65536", str(LimitConfig().pending_connections))
    assert "crypto_config" not in server, "a table is no key"


@pytest.mark.parametrize("file", ["server.toml", "client.toml"])
def test_what_the_documents_say_of_a_value_is_what_its_reader_takes(file: str) -> None:
    """An operator would write a value that the documents allow and the reader refuses, or count on another default."""
    words = explained(DOCS, file)
    for key, ask in asked_for(file).items():
        if key not in words:
            continue  # [crypto_config] of a client stands with the server's
        if ask.kind and ask.kind != "list of tables" and ask.kind != "table":
            assert words[key].kind == ask.kind, key
        assert ask.default in words[key].default, key


def test_a_page_joins_both() -> None:
    """The man page of a file would say what a key means and not what it takes, or the other way round."""
    text = PAGES["client.toml"].text
    wanted = "`keepalive_interval`\n: Seconds between proofs of life.\n\n"
    wanted += "  Type: 1 to 3600; without it: 10; a change takes a reload.\n"
    assert wanted in text
    assert "## The table host_config\n" in text
    assert "## Example\n\n```toml\nidentity = " in text
    assert "`chacha20poly1305_file`" in text, "keys that stand in another file's section belong to this one too"
    assert "## The table conf_agent\n" in PAGES["server.toml"].text
    assert "## Each entry\n" in PAGES["routes.json"].text and "tables" not in PAGES["routes.json"].text
    assert "`handshake_seconds`\n: From the beginning of a connection" in PAGES["server.toml"].text
    assert "`public_key`" in PAGES["routes.json"].text


@pytest.mark.parametrize("file", ["server.toml", "client.toml", "routes.json"])
def test_a_key_without_words_ends_the_making(docs: Path, file: str) -> None:
    """A new key would go out unexplained."""
    key = {"server.toml": "user", "client.toml": "kill_switch", "routes.json": "expires_at"}[file]
    document = docs / "configuration.md"
    document.write_text(document.read_text().replace(f"\n| `{key}` |", f"\n| `{key}_of_old` |"))
    with pytest.raises(ValueError, match=key):
        key_pages(docs)
