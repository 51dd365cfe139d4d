"""How the files of a generated folder are called.

Rules of this module
  1. An identity may hold any character, a file name may not, and has at most 255 bytes. Two identities never share a
     name: what is replaced becomes % and its UTF-8 in hex, and a name that gets too long ends in ~ and a digest.
  2. Key pairs are numbered. The first has the plain name, another one @ and its number before the ending; neither ~
     nor @ stands in a replaced identity, so no identity's second key has the name of another's first.
"""

from __future__ import annotations

import hashlib
from typing import Final

SECRETS: Final = "secrets"  # private and shared keys; nothing else is secret, and nothing else is in there
STAGING: Final = ".staging"
SHARED_KEY: Final = f"{SECRETS}/shared.key"  # below the folder of the files that name it
MAX_SAFE_BYTES: Final = 200  # leaves room for "client-", a key's number and an ending in NAME_MAX, 255
DIGEST_CHARACTERS: Final = 32  # 128 bits: nobody finds two identities with the same name


def client_file(identity: str) -> str:
    """Return the name of a member's client.toml."""
    return f"client-{_safe(identity)}.toml"


def server_key_file(number: int) -> str:
    """Return the name of the server's generated private key of that number, from 1."""
    return f"{SECRETS}/{_numbered('server', number)}"


def member_key_file(identity: str, number: int) -> str:
    """Return the name of a member's generated private key of that number, from 1."""
    return f"{SECRETS}/members/{_numbered(_safe(identity), number)}"


def own_server_key_file(number: int) -> str:
    """Return where a server that brought its public key is expected to keep its private one."""
    return _numbered("server", number)


def own_member_key_file(identity: str, number: int) -> str:
    """Return where a member that brought its public key is expected to keep its private one."""
    return _numbered(f"client-{_safe(identity)}", number)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.key" if number == 1 else f"{stem}@{number}.key"


def _safe(identity: str) -> str:
    safe = "".join(c if c.isalnum() or c in "-_." else f"%{c.encode().hex()}" for c in identity)
    data = safe.encode()
    if len(data) <= MAX_SAFE_BYTES:
        return safe
    digest = hashlib.sha256(identity.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{data[: MAX_SAFE_BYTES - DIGEST_CHARACTERS - 1].decode(errors='ignore')}~{digest}"
