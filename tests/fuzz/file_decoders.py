"""Decoders of what people and tools write: configuration, key files, inventories, words on the command line."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rustun.config import check_files, load_client_config, load_server_config, parse_routes, read_routes
from rustun.config.addresses import parse_endpoint, parse_interface6, parse_ipv4, parse_listen, parse_mask, parse_prefix
from rustun.config.crypto import parse_crypto, read_crypto_file
from rustun.config.findings import Complaint
from rustun.config.keys import parse_private_key, parse_psk, parse_public_key, read_key_file
from rustun.config.known_keys import read_known_keys
from rustun.config.known_keys_text import Remembered, encode_known_keys
from rustun.config.mapping import parse_mapping
from rustun.config.member import parse_moment
from rustun.config.names import parse_device, parse_label, parse_name
from rustun.config.server import parse_group, parse_socket, parse_user, read_first_steps
from rustun.config.web import load_web_config
from rustun.errors import ConfigError
from rustun.ops.inventory import load_inventory
from tests.fuzz.decoders import Decoder

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = ROOT / "tests" / "golden"
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="rustun-fuzz-")  # goes with the process
FOLDER: Final = Path(_FOLDER.name)
MAX_LINES: Final = 2001  # of findings: 1000 of each level and how many more there are
PRIVATE_KEY: Final = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
PUBLIC_KEYS: Final = ("hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=", "CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
SHARED_KEY: Final = "0123456789abcdef0123456789ABCDEF"

SERVER_TOML: Final = (
    f"""
[server_config]
listen_addr = ["0.0.0.0:8080", "[::]:8080"]
[crypto_config]
chacha20poly1305 = "{SHARED_KEY}"
[route_config]
routes_file = "routes.json"
[security_config]
private_key_file = ["private.key"]
minimum_tier = "shared"
cipher = "auto"
[limit_config]
pending_connections = 100
handshake_seconds = 2.5
[queue_config]
turn_ms = 2
congestion = "cubic"
[admin_config]
socket = "/run/rustun/server.sock"
metrics_listen = ["127.0.0.1:9101", "192.0.2.1:9101"]
[dashboard_config]
listen = "127.0.0.1:8081"
token_file = "read.token"
management_token_file = "manage.token"
hosts = ["vpn.example.com", "2001:db8::1"]
member_labels = false
[conf_agent]
control_plane_url = "https://control.example"
api_token = "a.token"
routes_file = "routes.json"
poll_interval = 5
allow_empty = true
""".encode(),
    b'crypto_config = "plain"\nserver_config = { listen_addr = "0.0.0.0:80" }\nroute_config.routes_file = "r.json"\n',
)
CLIENT_TOML: Final = (
    f"""
identity = "m1"
keepalive_interval = 10
servers = [{{ address = "vpn.example.com:8080", public_key = ["{PUBLIC_KEYS[0]}"] }}]
[security_config]
private_key_file = "private.key"
psk_file = "psk.key"
[tunnel_config]
name = "rustun0"
mtu = 1400
offload = false
[host_config]
gateway = ["192.168.1.0/24", "192.168.10.0/24"]
masquerade = true
accept_routes = ["10.0.0.0/8"]
names = "hosts"
[host_config.cider_mapping]
"192.168.11.0/24" = "192.168.10.0/24"
[admin_config]
http_port = 8081
metrics_listen = "127.0.0.1:9101"
""".encode(),
    b'identity = "m1"\nservers = [{ address = "[2001:db8::1]:8080" }]\n[crypto_config]\naes256_file = "shared.key"\n',
)
ROUTES_JSON: Final = (
    f"""[
 {{"cluster": "beijing", "identity": "m1", "name": "One", "private_ip": "10.0.1.1", "mask": "255.255.255.0",
  "gateway": "10.0.1.254", "ciders": ["192.168.11.0/24", "fd00:a::/64"],
  "cider_mapping": {{"192.168.11.0/24": "192.168.1.0/24"}}, "private_ip6": "fd00:1::1/64",
  "public_key": ["{PUBLIC_KEYS[0]}", "{PUBLIC_KEYS[1]}"], "psk_file": "psk.key", "enabled": true,
  "expires_at": "2027-06-30T18:00:00Z"}},
 {{"cluster": "beijing", "identity": "m2", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "",
  "ciders": ["0.0.0.0/0"], "tier": "legacy", "expires_at": "2027-06-30"}}
]""".encode(),
    b"[]",
)
KNOWN_KEYS: Final = (
    b"".join(
        encode_known_keys(
            {"m1": Remembered((parse_public_key(PUBLIC_KEYS[0]),)), "北京": Remembered((), "a.psk", enabled=False)}
        )
    ),
    b'{"schema":1,"keys":{}}',
)
INVENTORY: Final = ((ROOT / "inventory" / "demo.toml").read_bytes(),)
for _name, _text in {
    "private.key": PRIVATE_KEY,
    "psk.key": PRIVATE_KEY,
    "shared.key": SHARED_KEY,
    "read.token": SHARED_KEY,
    "manage.token": SHARED_KEY[::-1],
    "routes.json": "[]",
}.items():
    (FOLDER / _name).write_text(_text)
    (FOLDER / _name).chmod(0o600)


def golden(pattern: str, *folder: str) -> tuple[bytes, ...]:
    """Return the small golden files of that name; most of them are wrong in one place."""
    found = sorted(GOLDEN.joinpath(*folder).glob(pattern))
    return tuple(path.read_bytes() for path in found if path.stat().st_size < 10_000)


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], None]:
    """Return what reads bytes as the file of that name, beside the key files."""

    def read_bytes(data: bytes) -> None:
        path = FOLDER / name
        path.write_bytes(data)
        path.chmod(0o600)
        read(path)

    return read_bytes


def as_text(read: Callable[[str], object]) -> Callable[[bytes], None]:
    """Return what reads bytes as a word of a file or of the command line, where lone surrogates stand for bad UTF-8."""

    def read_text(data: bytes) -> None:
        found = read(data.decode("utf-8", "surrogateescape"))
        assert str(found).isprintable(), "what was taken is shown in logs and on terminals"

    return read_text


def routes(data: bytes) -> None:
    """Read a routes.json in steps."""
    for _ in parse_routes(data, str(FOLDER / "routes.json")):
        pass


def checked(path: Path) -> None:
    """Let `rustun check` look at a file; it says everything in words and raises nothing."""
    for problem in check_files([path], NOW):
        assert problem.file and problem.reason
        assert all(line.isprintable() for line in problem.lines())


def file_decoder(name: str, file: str, examples: tuple[bytes, ...], read: Callable[[Path], object]) -> Decoder:
    """Return a decoder of a file of text."""
    return Decoder(name, examples, in_file(file, read), ConfigError, is_text=True, max_bytes=1 << 20)


def word_decoder(read: Callable[[str], object], *examples: str) -> Decoder:
    """Return a decoder of one word."""
    name = f"{read.__module__.rpartition('.')[2]}.{read.__qualname__}"
    texts = tuple(example.encode() for example in examples)
    return Decoder(name, texts, as_text(read), Complaint, is_text=True, max_bytes=4096)


FILES: Final = (
    file_decoder("config.load_server_config", "server.toml", SERVER_TOML, load_server_config),
    file_decoder("config.read_first_steps", "first.toml", SERVER_TOML, read_first_steps),
    file_decoder("config.load_web_config", "web.toml", SERVER_TOML, load_web_config),
    file_decoder("config.load_client_config", "client.toml", CLIENT_TOML, load_client_config),
    file_decoder("config.check_files, server.toml", "checked-server.toml", SERVER_TOML, checked),
    file_decoder("config.check_files, client.toml", "checked-client.toml", CLIENT_TOML, checked),
    file_decoder("config.check_files, routes.json", "checked.json", ROUTES_JSON, checked),
    file_decoder("config.read_routes", "members.json", ROUTES_JSON, read_routes),
    Decoder("config.parse_routes", ROUTES_JSON, routes, ConfigError, is_text=True, max_bytes=1 << 20),
    file_decoder("config.read_known_keys", "known-keys.json", KNOWN_KEYS, read_known_keys),
    file_decoder("ops.load_inventory", "fleet.toml", INVENTORY, load_inventory),
)
WRONG_FILES: Final = (  # begin from what is wrong already: the messages about it are code too
    file_decoder("config.check_files, wrong server.toml", "s.toml", golden("server-*.toml", "config"), checked),
    file_decoder("config.check_files, wrong client.toml", "c.toml", golden("client-*.toml", "config"), checked),
    file_decoder("config.check_files, wrong routes.json", "r.json", golden("routes-*.json", "config"), checked),
    file_decoder("ops.load_inventory, wrong", "f.toml", golden("*.toml", "inventory"), load_inventory),
)
KEY_FILES: Final = (
    Decoder("keys.read_key_file", (SHARED_KEY.encode(),), in_file("a.key", read_key_file), Complaint, True, 4096),
    Decoder("crypto.read_crypto_file", (b"aes256:" + SHARED_KEY.encode() + b"\n",), in_file("b.key", read_crypto_file),
            Complaint, True, 4096),
)  # fmt: skip
WORDS: Final = (
    word_decoder(parse_crypto, "chacha20:rustun", "aes256:a:b", "xor:k", "plain"),
    word_decoder(parse_private_key, PRIVATE_KEY),
    word_decoder(parse_public_key, *PUBLIC_KEYS),
    word_decoder(parse_psk, PRIVATE_KEY),
    word_decoder(parse_endpoint, "vpn.example.com:8080", "192.0.2.1:80", "[2001:db8::1]:443", "[fe80::1%eth0]:8080"),
    word_decoder(parse_listen, "0.0.0.0:8080", "[::]:0"),
    word_decoder(parse_prefix, "192.168.1.0/24", "fd00:1::/64", "0.0.0.0/0"),
    word_decoder(parse_ipv4, "10.0.1.1"),
    word_decoder(parse_mask.__wrapped__, "255.255.255.0", "0.0.0.0"),  # behind its cache
    word_decoder(parse_interface6, "fd00:1::1/64"),
    word_decoder(parse_name, "bj-dev", "北京"),
    word_decoder(parse_label, "Beijing office", ""),
    word_decoder(parse_device, "rustun0", "tun%d"),
    word_decoder(parse_moment, "2027-06-30", "2027-06-30T18:00:00Z", "2027-06-30T18:00:00+08:00"),
    word_decoder(parse_user, "nobody", ""),
    word_decoder(parse_group, "root", ""),
    word_decoder(parse_socket, "/run/rustun/server.sock"),
    Decoder("mapping.parse_mapping", (b"192.168.1.0/24=10.0.0.0/24",),
            as_text(lambda text: parse_mapping(*text.partition("=")[::2])), Complaint, True, 4096),
)  # fmt: skip
