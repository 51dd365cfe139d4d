"""server.toml -> ServerConfig."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.config import LimitConfig, QueueConfig, Secret, load_server_config
from rustun.errors import ConfigError
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

PRIVATE_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
SEED = """\
[server_config]
listen_addr = "0.0.0.0:8080"

[crypto_config]
chacha20poly1305 = "my-secret-key-of-some-length"

[route_config]
routes_file = "./etc/routes.json"
"""
WARNED = "\n[conf_agent]\ncontrol_plane_url = 'http://control.example'\n"


def write(folder: Path, text: str, **key_files: str) -> Path:
    """Write a server.toml and key files beside it."""
    for name, key in key_files.items():
        (folder / f"{name}.key").write_text(key)
        (folder / f"{name}.key").chmod(0o600)
    path = folder / "server.toml"
    path.write_text(text)
    return path


def test_the_seeds_file_unchanged(tmp_path: Path) -> None:
    """A server.toml of the seed does not work here."""
    config = load_server_config(write(tmp_path, SEED))
    assert config.listen == (Endpoint("0.0.0.0", 8080),)
    assert (config.method, config.key) == (SeedMethod.CHACHA20POLY1305, Secret("my-secret-key-of-some-length"))
    assert config.security.minimum_tier is Tier.SHARED
    assert (config.security.cipher, config.user, str(config.socket)) == ("", "", "/run/rustun/server.sock")
    assert (config.limits, config.queues) == (LimitConfig(), QueueConfig())
    assert not [note for note in config.notes if note.level != "note"]


@pytest.mark.parametrize(
    ("crypto", "method", "key"),
    [
        ('[crypto_config]\naes256 = "k:with:colons"', SeedMethod.AES256, Secret("k:with:colons")),
        ('[crypto_config]\nxor = "rustun"', SeedMethod.XOR, Secret("rustun")),
        ('[crypto_config]\naes256_file = "shared.key"', SeedMethod.AES256, Secret("from the file")),
    ],
)
def test_methods(tmp_path: Path, crypto: str, method: SeedMethod, key: Secret) -> None:
    """A method of the seed, or a key file, is read as another method or key."""
    text = SEED.replace('[crypto_config]\nchacha20poly1305 = "my-secret-key-of-some-length"', crypto)
    config = load_server_config(write(tmp_path, text, shared="from the file\n"))
    assert (config.method, config.key) == (method, key)
    assert config.security.minimum_tier is (Tier.LEGACY if method is SeedMethod.XOR else Tier.SHARED)


def test_plain_stands_at_the_top(tmp_path: Path) -> None:
    """The seed's `crypto_config = "plain"` is refused, or taken without a warning."""
    text = 'crypto_config = "plain"\n' + SEED.replace("[crypto_config]", "").replace("chacha", "# chacha")
    config = load_server_config(write(tmp_path, text))
    assert (config.method, config.key, config.security.minimum_tier) == (SeedMethod.PLAIN, None, Tier.LEGACY)
    assert [note.key for note in config.notes if note.level == "warning"] == ["crypto_config"]


def test_a_private_key_raises_the_minimum_tier(tmp_path: Path) -> None:
    """A server with a key lets members in by the shared key without the operator's word."""
    text = SEED + '[security_config]\nprivate_key_file = ["new.key", "old.key"]\ncipher = "auto"\n'
    config = load_server_config(write(tmp_path, text, new=PRIVATE_KEY, old=PRIVATE_KEY + "\n"))
    assert config.security.minimum_tier is Tier.KEY
    assert [one.file for one in config.security.private_keys] == [tmp_path / "new.key", tmp_path / "old.key"]
    assert config.security.cipher == "auto"


def test_routes_file_in_the_working_directory_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes of another folder are served, or nobody is told which."""
    beside, here = tmp_path / "beside", tmp_path / "here"
    for folder in (beside, here):
        (folder / "etc").mkdir(parents=True)
    path = write(beside, SEED)
    monkeypatch.chdir(here)
    assert load_server_config(path).routes_file == beside / "etc/routes.json"
    (here / "etc/routes.json").write_text("[]")
    config = load_server_config(path)
    assert config.routes_file == Path("etc/routes.json")
    assert str(here) in config.notes[0].reason


def test_limits_and_queues_by_name(tmp_path: Path) -> None:
    """A limit that the operator wrote is not the one that holds."""
    text = (
        SEED + '[limit_config]\nhandshake_seconds = 3\npending_connections = 7\n[queue_config]\ncongestion = "cubic"\n'
    )
    config = load_server_config(write(tmp_path, text))
    assert (config.limits.handshake_seconds, config.limits.pending_connections) == (3.0, 7)
    assert config.limits.first_frame_bytes == LimitConfig().first_frame_bytes
    assert config.queues.congestion == "cubic"


def test_listening_on_several_addresses(tmp_path: Path) -> None:
    """A list of addresses, IPv6 among them, is read wrongly."""
    text = SEED.replace('"0.0.0.0:8080"', '["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0", "127.0.0.1:0"]')
    listen = load_server_config(write(tmp_path, text)).listen
    assert [str(endpoint) for endpoint in listen] == ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:0", "127.0.0.1:0"]


def test_a_secret_never_shows_itself(tmp_path: Path) -> None:
    """A key reaches a log or a traceback through repr, str or format of the configuration."""
    config = load_server_config(write(tmp_path, SEED))
    assert config.key is not None
    shown = f"{config} {config!r} {config.key} {config.key!r}"
    assert "my-secret-key" not in shown
    assert config.key.reveal() == "my-secret-key-of-some-length"


def test_warnings_stand_beside_errors(tmp_path: Path) -> None:
    """A file with an error hides its other problems, so that it takes several rounds to mend."""
    path = write(tmp_path, SEED.replace("0.0.0.0:8080", "nowhere") + WARNED)
    with pytest.raises(ConfigError) as caught:
        load_server_config(path)
    assert [problem.level for problem in caught.value.problems] == ["error", "note", "warning"]
    assert caught.value.exit_code == 78
