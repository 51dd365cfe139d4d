"""The keys of [admin_config] that are about the audit log."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.config import load_server_config
from rustun.config.audit import AuditConfig
from rustun.errors import ConfigError

SERVER = """\
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "marked-secret-of-32-bytes-length"
[route_config]
routes_file = "routes.json"
[admin_config]
"""


def read(folder: Path, text: str) -> AuditConfig:
    (folder / "server.toml").write_text(SERVER + text)
    return load_server_config(folder / "server.toml").audit


def test_none_is_written_unless_it_is_named(tmp_path: Path) -> None:
    """A server writes who talks to whom into a file that nobody asked for."""
    assert read(tmp_path, "") == AuditConfig(None, 10 << 20, 10)


def test_all_of_it(tmp_path: Path) -> None:
    """The audit log is somewhere else, or larger, than the operator wrote."""
    found = read(tmp_path, 'audit_file = "log/audit.jsonl"\naudit_bytes = 65536\naudit_files = 1\n')
    assert found == AuditConfig(tmp_path / "log/audit.jsonl", 65536, 1)
    assert read(tmp_path, 'audit_file = "/var/log/a"\n').file == Path("/var/log/a")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('audit_file = ""', "is empty"),
        ('audit_file = "a\\u001b[2J"', "control or invisible character"),
        ("audit_file = true", "not a text"),
        ("audit_bytes = 1000", "out of its range"),
        ("audit_files = 0", "out of its range"),
        ('audit_fil = "a"', "is not a known key"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    """A slip leaves a server without its audit log, and nobody knows."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text + "\n")
    assert any(reason in problem.reason for problem in caught.value.errors)
