"""server.toml: the seed's three tables and ours."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.backends.base import Endpoint
from rustun.config.addresses import parse_listen
from rustun.config.audit import AuditConfig, read_audit
from rustun.config.conf_agent import judge_routes_file
from rustun.config.credentials import note_credential
from rustun.config.crypto import Crypto, read_crypto
from rustun.config.findings import Complaint
from rustun.config.keys import PrivateKey, Secret, read_private_key
from rustun.config.kinds import refuse_client
from rustun.config.limits import LimitConfig, QueueConfig, read_numbers
from rustun.config.toml import Table, read_toml
from rustun.config.web import WebConfig, judge_listeners, read_web
from rustun.errors import Problem
from rustun.printable import printable, quoted
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

STATE_FOLDER: Final = Path("/var/lib/rustun/server")  # its user may write there, and not beside it
DEFAULT_SOCKET: Final = "/run/rustun/server.sock"
MAX_SOCKET_BYTES: Final = 107  # sun_path without its final zero byte
CIPHERS: Final = ("auto", "aes256", "chacha20")
# useradd(8) takes these everywhere; a name that begins with "-" would be an option of the commands that remedies show.
USER_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,255}\$?")
_TIERS: Final = tuple(str(tier) for tier in sorted(Tier, reverse=True))


@dataclass(frozen=True, slots=True)
class SecurityConfig:
    """[security_config].

    Attributes:
        cipher: empty where it was not written.
        known_keys_file: where the server remembers its members' public keys (rustun.config.known_keys).
    """

    private_keys: tuple[PrivateKey, ...]
    minimum_tier: Tier
    cipher: str
    known_keys_file: Path

    @property
    def remembers_keys(self) -> bool:
        """Whether that file is written: below the key tier an entry that lost its key would admit somebody."""
        return self.minimum_tier < Tier.KEY


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """All that a server was told; `notes` are the warnings and notes of its file, `socket_group` may be empty."""

    path: Path
    listen: tuple[Endpoint, ...]
    method: SeedMethod | None
    key: Secret | None
    routes_file: Path
    security: SecurityConfig
    limits: LimitConfig
    queues: QueueConfig
    socket: Path
    socket_group: str
    user: str
    audit: AuditConfig
    notes: tuple[Problem, ...]
    web: WebConfig = WebConfig()


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What a server has to know before it changes its user; `user` is empty where none is named, or not rightly."""

    user: str
    socket: Path


def read_first_steps(path: Path) -> FirstSteps:
    """Read of a server.toml what is needed before the first key; what is wrong there `load_server_config` tells.

    Raises: ConfigError: not readable, or not TOML.
    """
    top = read_toml(path)
    return FirstSteps(_read_user(top.table("server_config")), _read_socket(top.table("admin_config")))


def load_server_config(path: Path, dashboard: tuple[Endpoint, ...] = ()) -> ServerConfig:
    """Read and judge a server.toml; key files that it names are read too.

    Args:
        dashboard: where the dashboard listens, typed; over what the file says.
    Raises: ConfigError with every problem of the file.
    """
    top = read_toml(path)
    refuse_client(top, str(path))
    return read_server_config(top, path, dashboard)


def read_server_config(top: Table, path: Path, dashboard: tuple[Endpoint, ...] = ()) -> ServerConfig:
    """Return what the outermost table of a server.toml says; `path` is the file's, for what it names.

    Args:
        dashboard: as of `load_server_config`.
    Raises: ConfigError with every problem of the file.
    """
    folder = path.parent
    server = top.table("server_config")
    listen = _read_listen(server)
    user = _read_user(server)
    crypto = read_crypto(top, folder)
    routes_file = _read_routes_file(top.table("route_config"), folder)
    security = read_security(top, crypto, folder, routes_file)
    limits = read_numbers(top.table("limit_config"), LimitConfig)
    queues = read_numbers(top.table("queue_config"), QueueConfig)
    admin = top.table("admin_config")
    socket = _read_socket(admin)
    group = admin.text("group", parse_group, "")
    audit = read_audit(admin, folder)
    web = read_web(top, admin, folder, dashboard)
    judge_listeners(top, listen, web, typed=bool(dashboard))
    for table in (server, admin):
        table.close()
    judge_routes_file(top, routes_file, folder)
    top.close()
    notes = top.findings.finish()
    method, key = (crypto.method, crypto.key) if crypto else (None, None)
    return ServerConfig(
        path, listen, method, key, routes_file, security, limits, queues, socket, group, user, audit, notes, web
    )  # fmt: skip


def _read_listen(server: Table) -> tuple[Endpoint, ...]:
    listen = server.texts("listen_addr", parse_listen)
    remedy = 'write [server_config] listen_addr = "0.0.0.0:8080"'
    server.missing("listen_addr", remedy)
    if server.values.get("listen_addr") == []:
        server.report("listen_addr", "is empty", remedy)
    return listen


def _read_user(server: Table) -> str:
    return server.text("user", parse_user, "")


def parse_user(text: str) -> str:
    """Return the name of a user of this host, empty for none. Raises: Complaint: no name, unknown, or root."""
    if not text:
        return ""
    if not USER_NAME.fullmatch(text):
        raise Complaint(f'"{printable(text)}" is not a user name', "as in /etc/passwd")
    try:
        uid = pwd.getpwnam(text).pw_uid
    except KeyError:
        made = f"run: sudo useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {text}"
        raise Complaint(f'there is no user "{text}" on this host', made) from None
    if uid == 0:
        raise Complaint(f'"{text}" is root', "name a user without rights, or leave user out to stay root")
    return text


def _read_socket(admin: Table) -> Path:
    return admin.text("socket", parse_socket, Path(DEFAULT_SOCKET))


def parse_group(text: str) -> str:
    """Return the name of a group of this host, empty for none. Raises: Complaint: no name, or unknown."""
    if not text:
        return ""
    if not USER_NAME.fullmatch(text):
        raise Complaint(f'"{printable(text)}" is not a group name', "as in /etc/group")
    try:
        grp.getgrnam(text)
    except KeyError:
        raise Complaint(f'there is no group "{text}" on this host', f"run: sudo groupadd --system {text}") from None
    return text


def parse_socket(text: str) -> Path:
    """Return the path of a Unix socket. Raises: Complaint: empty, unprintable, or longer than the kernel takes."""
    if not text:
        raise Complaint("is empty", f'write "{DEFAULT_SOCKET}"')
    if not text.isprintable():
        raise Complaint(f"{quoted(text)} holds a control or invisible character", f'write "{DEFAULT_SOCKET}"')
    size = len(text.encode("utf-8"))
    if size > MAX_SOCKET_BYTES:
        raise Complaint(f"is {size} bytes long; a socket's path has at most {MAX_SOCKET_BYTES}", "choose a shorter one")
    return Path(text)


def _read_routes_file(table: Table, folder: Path) -> Path:
    written = table.text("routes_file", str, "")
    table.close()
    if not written:
        remedy = 'write [route_config] routes_file = "routes.json"'
        table.missing("routes_file", remedy)
        if "routes_file" in table and table.values["routes_file"] == "":
            table.report("routes_file", "is empty", remedy)
        return folder / "routes.json"
    here, beside = Path(written), folder / written
    if here.is_absolute():
        return here
    try:
        found_here = here.exists()
    except (OSError, ValueError):
        found_here = False
    place = f"the working directory, {printable(str(Path.cwd()), 200)}" if found_here else "this file"
    table.report("routes_file", f'"{printable(written)}" is taken relative to {place}', "", "note")
    return here if found_here else beside


def read_security(top: Table, crypto: Crypto | None, folder: Path, routes_file: Path) -> SecurityConfig:
    """Return [security_config] of a server.toml, judged against its crypto_config."""
    table = top.table("security_config")
    private_keys = read_private_keys(table, folder)
    insecure = crypto is not None and crypto.method.insecure
    has_keys = "private_key_file" in table
    usual = Tier.LEGACY if insecure else Tier.KEY if has_keys else Tier.SHARED
    minimum = Tier(table.choice("minimum_tier", _TIERS, str(usual)))
    cipher = table.choice("cipher", CIPHERS, "")
    known_keys_file = table.text("known_keys_file", lambda text: _named(folder, text), _usual_file(routes_file))
    table.close()
    _judge_tiers(top, table, crypto, minimum, has_keys)
    return SecurityConfig(private_keys, minimum, cipher, known_keys_file)


def _named(folder: Path, text: str) -> Path:
    if not text or "\0" in text:
        raise Complaint("is empty" if not text else "holds a NUL byte", "name a file, or leave it out")
    return folder / text


def _usual_file(routes_file: Path) -> Path:
    """Return where a server remembers the keys of one routes.json, apart from those of every other on this host."""
    name = hashlib.sha256(os.fsencode(routes_file.absolute())).hexdigest()[:16]
    return STATE_FOLDER / f"known-keys-{name}.json"


def read_private_keys(table: Table, folder: Path, judged: set[str] | None = None) -> tuple[PrivateKey, ...]:
    """Return what the files below `private_key_file` hold, one or two of them; their public keys are noted.

    Args:
        judged: as of `read_key_file`.
    """

    def read(text: str) -> PrivateKey:
        key = read_private_key(folder / text, judged)
        note_credential(table, "private_key_file", folder / text, text)
        table.report("private_key_file", f"the public key of {quoted(text)} is {key.public}", "", "note", text)
        return key

    return table.texts("private_key_file", read, most=2)


def _judge_tiers(top: Table, table: Table, crypto: Crypto | None, minimum: Tier, has_keys: bool) -> None:
    if not has_keys and "crypto_config" not in top:
        top.report(
            "crypto_config",
            "is missing: nothing says how members prove themselves",
            'write [crypto_config] chacha20poly1305_file = "shared.key", or [security_config] private_key_file',
        )
    elif minimum is Tier.KEY and not has_keys:
        table.report("minimum_tier", "is key, but the server has no key", "write private_key_file, or shared")
    elif minimum < Tier.KEY and "crypto_config" not in top:
        table.report(
            "minimum_tier", f"is {minimum}, but there is no crypto_config", "write key, or add [crypto_config]"
        )
    if crypto is None:
        return
    if crypto.method.insecure:
        if minimum is Tier.SHARED:
            table.report("minimum_tier", f"is shared, but {crypto.method} has no shared tier", "write legacy")
    elif minimum is Tier.KEY:
        note = "is used only by entries of routes.json that say tier themselves: minimum_tier is key"
        top.report("crypto_config", note, "", "note")
