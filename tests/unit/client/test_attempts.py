"""What a client may try, and in which order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.client.attempts import Attempts, attempts_of
from rustun.config.client import (
    ClientConfig,
    ClientOptions,
    ServerAddress,
    client_config_from_options,
    load_client_config,
)
from rustun.config.keys import PrivateKey, new_private_key, public_key_of
from rustun.protocol.suites import KEY, NO_PSK, SHARED, Credentials, public_key
from tests.simulation.world import private_key, public_text, write_key

TWO_SERVERS = ("192.0.2.1:8080", "192.0.2.2:8080")


def tried(attempts: Attempts) -> list[tuple[str, bytes, bytes]]:
    """Return one whole round: server, own public key, the server's."""
    found = []
    while True:
        secret = attempts.present.secret
        assert isinstance(secret, Credentials)
        own, remote = secret.static, secret.remote_static
        assert own is not None and remote is not None
        found.append((str(attempts.present.address), public_key(own), remote))
        if not attempts.next():
            return found


def test_every_pair_of_keys_is_tried_at_every_server(tmp_path: Path) -> None:
    """If this fails, a client in the middle of a rotation never tries the pair that would serve."""
    keys = [write_key(tmp_path, "m0", age).name for age in ("old", "new")]
    pinned = [public_text("server", age) for age in ("a", "b")]
    servers = ", ".join(f'{{ address = "{one}", public_key = {json.dumps(pinned)} }}' for one in TWO_SERVERS)
    path = tmp_path / "client.toml"
    path.write_text(f'identity = "m0"\nservers = [{servers}]\n[security_config]\nprivate_key_file = {json.dumps(keys)}')
    (attempts,) = attempts_of(load_client_config(path))
    expected = [
        (server, public_key(private_key("m0", own)), public_key(private_key("server", remote)))
        for server in TWO_SERVERS
        for own in ("old", "new")
        for remote in ("a", "b")
    ]
    assert tried(attempts) == expected
    assert tried(attempts) == expected, "after the last one it begins again"
    secret = attempts.present.secret
    assert isinstance(secret, Credentials)
    assert (secret.suite, secret.psk) == (KEY, NO_PSK)


@pytest.mark.parametrize("crypto", ["aes256:a long enough key string", "chacha20:a long enough key string"])
def test_the_shared_tier_has_one_secret(crypto: str) -> None:
    """If this fails, a client of the shared tier proves something else than its key."""
    config = client_config_from_options(ClientOptions(server="192.0.2.1:8080", identity="m0", crypto=crypto))
    (attempts,) = attempts_of(config)
    secret = attempts.present.secret
    assert isinstance(secret, Credentials)
    assert secret.suite is SHARED
    assert not attempts.next()


def test_nothing_secret_shows(tmp_path: Path) -> None:
    """If this fails, a traceback or a log line that holds an attempt holds a private key."""
    key = write_key(tmp_path, "m0")
    path = tmp_path / "client.toml"
    path.write_text(
        f'identity = "m0"\nservers = [{{ address = "192.0.2.1:1", public_key = "{public_text("server")}" }}]\n'
        f'[security_config]\nprivate_key_file = "{key.name}"'
    )
    config = load_client_config(path)
    shown = repr(config) + repr(attempts_of(config)[0].present)
    raw = private_key("m0").private_bytes_raw()
    assert key.read_text().strip() not in shown
    assert raw.hex() not in shown
    assert repr(raw) not in shown


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("1a 2b", ["1", "2"]),
        ("1a 2a", ["1 2"]),
        ("1a 1b", ["1"]),
        ("1a 2bc 3c 4d", ["1", "2 3", "4"]),
        ("1a 2b 3ab", ["1 2 3"]),
        ("1a 2b 3a 4b", ["1 3", "2 4"]),
    ],
)
def test_a_server_is_who_has_its_key(listed: str, expected: list[str]) -> None:
    """If this fails, a client has two sessions with one server, which throw each other out for ever."""
    servers = tuple(
        ServerAddress(Endpoint(word[0], 8080), tuple(letter.encode() * 32 for letter in word[1:]))
        for word in listed.split()
    )
    secret = new_private_key()
    config = ClientConfig(servers=servers, private_keys=(PrivateKey(Path("m0.key"), secret, public_key_of(secret)),))
    found = [list(dict.fromkeys(address for address, _, _ in tried(attempts))) for attempts in attempts_of(config)]
    assert found == [[f"{host}:8080" for host in hosts.split()] for hosts in expected]


@pytest.mark.parametrize(("tier", "servers"), [("shared", 2), ("legacy", 1)])
def test_without_keys_addresses_are_servers_where_that_does_no_harm(tier: str, servers: int) -> None:
    """If this fails, a client on the seed's wire throws itself out, or one of the shared tier has one server only."""
    crypto, legacy = "aes256:a long enough key string", tier == "legacy"
    options = ClientOptions(identity="m0", server="192.0.2.1:1", crypto=crypto, legacy=legacy)
    config = client_config_from_options(options)
    listed = (*config.servers, ServerAddress(Endpoint("192.0.2.2", 1)))
    assert len(attempts_of(replace(config, servers=listed))) == servers
