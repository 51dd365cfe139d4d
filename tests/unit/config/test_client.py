"""client.toml and the options of `rustun connect` -> ClientConfig."""

from __future__ import annotations

import gc
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from rustun.backends.base import Endpoint
from rustun.config import (
    ClientOptions,
    HostConsent,
    Secret,
    ServerAddress,
    client_config_from_options,
    load_client_config,
)
from rustun.errors import ConfigError
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

PRIVATE_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC_KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
TYPED = ClientOptions(server="192.0.2.100:8080", identity="bj-office-gw")
FILE = f"""\
identity = "bj-office-gw"
servers = [{{ address = "vpn.acme.example:8080", public_key = "{PUBLIC_KEY}" }}, {{ address = "[2001:db8::1]:8080" }}]
keepalive_interval = 7
[crypto_config]
aes256 = "a long and random key string"
[security_config]
cipher = "chacha20"
psk_file = ""
[tunnel_config]
name = "tun%d"
mtu = 1400
[host_config]
gateway = ["192.168.1.0/24", "192.168.10.0/24"]
cider_mapping = {{ "192.168.11.0/24" = "192.168.10.0/24" }}
names = "hosts"
"""


def options_error(options: ClientOptions) -> str:
    """Return what is said about options that cannot be used."""
    with pytest.raises(ConfigError) as caught:
        client_config_from_options(options)
    return str(caught.value)


def test_the_seeds_command_line() -> None:
    """`rustun connect -s HOST:PORT -i ID` does not do what the seed's client does."""
    config = client_config_from_options(TYPED)
    assert config.servers == (ServerAddress(Endpoint("192.0.2.100", 8080)),)
    assert (config.method, config.key) == (SeedMethod.CHACHA20POLY1305, Secret("rustun"))
    assert (config.keepalive_interval, config.keepalive_threshold) == (10, 5)
    assert (config.tier, config.tun_mtu, config.tun_name, config.offload) == (Tier.SHARED, 1500, "rustun0", True)
    assert [note.key for note in config.notes] == ["--crypto"]
    assert config.host == HostConsent(as_told=True)  # a LAN behind the host is a matter of routes.json alone


@pytest.mark.parametrize(
    ("typed", "method", "key", "tier"),
    [
        ("chacha20:my-secret-key", SeedMethod.CHACHA20POLY1305, Secret("my-secret-key"), Tier.SHARED),
        ("aes256:a:key:with:colons", SeedMethod.AES256, Secret("a:key:with:colons"), Tier.SHARED),
        ("xor:test-key", SeedMethod.XOR, Secret("test-key"), Tier.LEGACY),
        ("plain", SeedMethod.PLAIN, None, Tier.LEGACY),
    ],
)
def test_the_four_methods(typed: str, method: SeedMethod, key: Secret | None, tier: Tier) -> None:
    """A method is read as another, or a testing mode tries to speak Noise."""
    config = client_config_from_options(ClientOptions(server="a:1", identity="b", crypto=typed))
    assert (config.method, config.key, config.tier) == (method, key, tier)
    assert config.tun_mtu == (1430 if tier is Tier.LEGACY else 1500)


def test_a_whole_file(tmp_path: Path) -> None:
    """A setting of client.toml is ignored or read as another."""
    path = tmp_path / "client.toml"
    path.write_text(FILE)
    config = load_client_config(path)
    assert [str(server.endpoint) for server in config.servers] == ["vpn.acme.example:8080", "[2001:db8::1]:8080"]
    assert [len(server.public_keys) for server in config.servers] == [1, 0]
    assert (config.identity, config.keepalive_interval, config.cipher) == ("bj-office-gw", 7, "chacha20")
    assert (config.tun_name, config.mtu, config.psk) == ("tun%d", 1400, None)
    assert config.host.gateway == (ip_network("192.168.1.0/24"), ip_network("192.168.10.0/24"))
    assert config.host.cider_mapping == ((ip_network("192.168.11.0/24"), ip_network("192.168.10.0/24")),)
    assert (config.host.accept_routes, config.host.names) == (None, "hosts")


def test_who_wants_errors_alone_gets_the_same_file_without_notes(tmp_path: Path) -> None:
    """Who reads many files for their errors would wait for notes, or miss an error."""
    path = tmp_path / "client.toml"
    path.write_text(FILE.replace("mtu = 1400", "mtu = 1000"))
    config = load_client_config(path)
    assert any("too small for IPv6" in note.reason for note in config.notes)
    assert load_client_config(path, errors_only=True) == replace(config, notes=())
    path.write_text(FILE.replace("mtu = 1400", "mtu = 1000\nwrong = 1"))
    with pytest.raises(ConfigError) as found:
        load_client_config(path, errors_only=True)
    assert [problem.key for problem in found.value.problems] == ["tunnel_config.wrong"]


def test_what_a_file_was_read_with_leaves_nothing_to_collect(tmp_path: Path) -> None:
    """Ten thousand files would pile up in memory until the collector looks for rings, which takes a quarter longer."""
    path = tmp_path / "client.toml"
    path.write_text(FILE)
    load_client_config(path)
    gc.collect()
    gc.disable()
    try:
        load_client_config(path)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_options_go_over_the_file(tmp_path: Path) -> None:
    """An option that was typed loses against the file, or throws away what the file says besides."""
    path = tmp_path / "client.toml"
    path.write_text(FILE)
    typed = ClientOptions(server="vpn.acme.example:8080", crypto="plain", mtu=1300, offload=False, tun="t0")
    config = load_client_config(path, typed)
    assert [len(server.public_keys) for server in config.servers] == [1]  # the file's pinned key stays
    assert (config.method, config.legacy, config.mtu, config.offload) == (SeedMethod.PLAIN, True, 1300, False)
    assert (config.tun_name, config.identity, config.keepalive_interval) == ("t0", "bj-office-gw", 7)
    assert load_client_config(path, ClientOptions(server="other:1")).servers == (ServerAddress(Endpoint("other", 1)),)


def test_a_gateway_by_options(tmp_path: Path) -> None:
    """`--gateway` and `--masq` set up nothing, or take back what the file allows besides."""
    path = tmp_path / "client.toml"
    path.write_text(FILE)
    config = load_client_config(path, ClientOptions(masq=True))
    assert (len(config.host.gateway), config.host.masquerade, config.host.names) == (2, True, "hosts")
    lan = ip_network("192.168.5.0/24")
    typed = ClientOptions(server="a:1", identity="b", crypto="plain", gateway=("192.168.5.0/24",), masq=True)
    assert client_config_from_options(typed).host == HostConsent(gateway=(lan,), masquerade=True)
    assert "--gateway" in options_error(ClientOptions(server="a:1", identity="b", gateway=("192.168.5.1/24",)))


def test_key_tier(tmp_path: Path) -> None:
    """A client with a key speaks another tier, or trusts a server without a key."""
    path, key = tmp_path / "client.toml", tmp_path / "client.key"
    key.write_text(PRIVATE_KEY)
    key.chmod(0o600)
    keyed = FILE.replace("cipher =", 'private_key_file = "client.key"\ncipher =')
    path.write_text(keyed)
    with pytest.raises(ConfigError, match=r"\[2001:db8::1\]:8080 has no public_key"):
        load_client_config(path)
    path.write_text(keyed.replace(', { address = "[2001:db8::1]:8080" }', ""))
    config = load_client_config(path)
    assert (config.tier, [one.file for one in config.private_keys]) == (Tier.KEY, [key])


def test_a_server_without_a_name_is_not_told_to_listen() -> None:
    """Who forgets the host in -s is told to connect to 0.0.0.0."""
    said = options_error(ClientOptions(server=":8080", identity="bj-dev", crypto="plain"))
    assert said.splitlines()[:2] == [
        'rustun connect: --server: ":8080" has no address',
        '  as in "vpn.example.com:8080"',
    ]


def test_wrong_options_are_all_named() -> None:
    """Of several slips on the command line only the first is shown, or without its option."""
    wrong = ClientOptions(
        server="vpn", identity="", crypto="rot13:x", keepalive_interval=0, keepalive_threshold=101, tun="a/b", mtu=1
    )
    assert options_error(wrong).split("\n") == [
        'rustun connect: --server: "vpn" has no port',
        '  write "vpn:8080"',
        "rustun connect: --identity: is empty",
        "  give it a name",
        "rustun connect: --crypto: does not begin with a method",
        "  known here: aes256, chacha20, plain, xor",
        "rustun connect: --keepalive-interval: is 0, out of its range",
        "  1 to 3600",
        "rustun connect: --keepalive-threshold: is 101, out of its range",
        "  1 to 100",
        'rustun connect: --tun: "a/b" is not an interface name',
        "  1 to 15 letters and digits, as rustun0",
        "rustun connect: --mtu: is 1, out of its range",
        "  576 to 65000",
    ]


def test_missing_options() -> None:
    """A command without server or identity does not say what to type."""
    assert options_error(ClientOptions(crypto="aes256:0123456789abcdef")).split("\n") == [
        "rustun connect: identity: is missing",
        "  type -i ID",
        "rustun connect: servers: is missing",
        "  type -s HOST:PORT",
    ]


def test_what_does_not_go_together_is_blamed_on_who_said_it(tmp_path: Path) -> None:
    """A file is searched for what was typed, or a line is named that says something else."""
    typed = ClientOptions(server="192.0.2.1:8080", identity="bj-dev", masq=True, mtu=1000)
    assert "rustun connect: --masq: hides nothing" in options_error(typed)
    path = tmp_path / "client.toml"
    path.write_text("crypto_config = 'plain'\n[host_config]\nmasquerade = false\n[tunnel_config]\nmtu = 1400\n")
    with pytest.raises(ConfigError) as found:
        load_client_config(path, typed)
    places = {(problem.line, problem.key) for problem in found.value.problems if "hides" in str(problem)}
    assert places == {(0, "--masq")}
    path.write_text(path.read_text().replace("false", "true"))
    with pytest.raises(ConfigError) as found:
        load_client_config(path, typed)
    places = {(problem.line, problem.key) for problem in found.value.problems if problem.reason.startswith(("h", "1"))}
    assert places == {(3, "host_config.masquerade"), (0, "--mtu")}


@pytest.mark.parametrize("typed", ["hunter2", "aes256", "aes256:", "aes:hunter2", "plain:hunter2", "aes256:\udcff"])
def test_a_wrong_method_never_shows_the_key(typed: str) -> None:
    """A key typed in the wrong form appears on the terminal or in a log."""
    said = options_error(ClientOptions(server="a:1", identity="b", crypto=typed))
    assert "--crypto" in said
    assert "hunter2" not in said


def test_crypto_file(tmp_path: Path) -> None:
    """A key in a file is not taken, or taken although others can read it."""
    path = tmp_path / "crypto"
    path.write_text("aes256:0123456789abcdef:x\n")
    path.chmod(0o640)
    options = ClientOptions(server="a:1", identity="b", crypto_file=str(path))
    assert f"run: chmod 600 {path}" in options_error(options)
    path.chmod(0o400)
    config = client_config_from_options(options)
    assert (config.method, config.key, config.notes) == (SeedMethod.AES256, Secret("0123456789abcdef:x"), ())
    both = ClientOptions(server="a:1", identity="b", crypto_file=str(path), crypto="plain")
    assert "--crypto: stands beside --crypto-file" in options_error(both)


def test_legacy_by_option() -> None:
    """`--legacy` does not speak the seed's wire with its MTU."""
    config = client_config_from_options(ClientOptions(server="a:1", identity="b", crypto="aes256:k", legacy=True))
    assert (config.tier, config.tun_mtu) == (Tier.LEGACY, 1430)
