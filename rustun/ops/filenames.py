"""How the files of a generated folder are called.

Rules of this module
  1. An identity may hold any character, a file name may not, and has at most 255 bytes. Two identities never share a
     name: what is no ASCII letter, digit or -_. becomes % and its UTF-8 in hex, and a name that gets too long ends in
     ~ and a digest.
  2. Key pairs are numbered. The first has the plain name, another one @ and its number before the ending; neither ~
     nor @ stands in a replaced identity, so no identity's second key has the name of another's first. A
     member's pre-shared key has no number.
  3. A server's name is a file name as it is, and never that of a client's file or of the shared key.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from rustun.config.findings import Complaint
from rustun.printable import quoted

SECRETS: Final = "secrets"  # private, shared and pre-shared keys; nothing else is secret, and nothing else is in there
PSKS: Final = f"{SECRETS}/psks"
STAGING: Final = ".staging"
UNITS: Final = "units"  # for systemd
SHARED_KEY: Final = f"{SECRETS}/shared.key"  # below the folder of the files that name it
DASHBOARD_TOKEN: Final = f"{SECRETS}/dashboard.token"
MAX_SAFE_BYTES: Final = 200  # leaves room for "client-", a key's number and an ending in NAME_MAX, 255
FIRST_SERVER: Final = "server"  # the name of the first server where it is not written
DIGEST_CHARACTERS: Final = 32  # 128 bits: nobody finds two identities with the same name

_PLAIN: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_SAFE_BYTES}}}")  # as it is; the common case
_CLIENT: Final = "client-"
_SERVER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")  # a unit, a file and a lab's node can have such a name


def parse_server_name(text: str) -> str:
    """Return the name of a server: 1 to 64 letters, digits and -_. that begin none of the other files' names.

    Raises: Complaint.
    """
    if not _SERVER.fullmatch(text):
        raise Complaint(f"{quoted(text)} cannot name a file", "1 to 64 letters, digits, -, _ and dots, as in hk-1")
    if text.startswith(_CLIENT) or text == "shared":
        raise Complaint(f"{quoted(text)} is how other generated files are called", "choose another, as in hk-1")
    return text


def server_file(server: str) -> str:
    """Return the name of a server's server.toml."""
    return f"{server}.toml"


def client_file(identity: str) -> str:
    """Return the name of a member's client.toml."""
    return f"{_CLIENT}{_safe(identity)}.toml"


def lan_routes_file(cluster: str) -> str:
    """Return the name of the script with the routes that LANs of a cluster need."""
    return f"lan-routes-{_safe(cluster)}.sh"


def server_key_file(server: str, number: int) -> str:
    """Return the name of a server's generated private key of that number, from 1."""
    return f"{SECRETS}/{_numbered(server, number)}"


def member_key_file(identity: str, number: int) -> str:
    """Return the name of a member's generated private key of that number, from 1."""
    return f"{SECRETS}/members/{_numbered(_safe(identity), number)}"


def psk_file(identity: str) -> str:
    """Return the name of a member's pre-shared key."""
    return f"{PSKS}/{_safe(identity)}.psk"


def own_server_key_file(server: str, number: int) -> str:
    """Return where a server that brought its public key is expected to keep its private one."""
    return _numbered(server, number)


def own_member_key_file(identity: str, number: int) -> str:
    """Return where a member that brought its public key is expected to keep its private one."""
    return _numbered(f"{_CLIENT}{_safe(identity)}", number)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.key" if number == 1 else f"{stem}@{number}.key"


def _safe(identity: str) -> str:
    if _PLAIN.fullmatch(identity):
        return identity
    safe = "".join(c if c.isascii() and c.isalnum() or c in "-_." else f"%{c.encode().hex()}" for c in identity)
    data = safe.encode()
    if len(data) <= MAX_SAFE_BYTES:
        return safe
    digest = hashlib.sha256(identity.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{data[: MAX_SAFE_BYTES - DIGEST_CHARACTERS - 1].decode(errors='ignore')}~{digest}"
