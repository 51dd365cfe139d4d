"""Secret keys that are gone: what others already know is never made anew by accident.

`secrets/` is not where the generated files are in another checkout, on a build machine, or after a slip. A new key
would look like success there, and shut out everybody who has the old one.

Rules of this module
  1. A key file is lost when it is not there and the generated file that would name it, does: the server's file, or the
     member's. Another number is another name, so a rotation loses nothing.
  2. Where that file is gone as well, the public keys tell: those that routes.json has for the member, or that the
     clients pin for the server's address, and that belong to none of its key files that are there.
  3. A pre-shared key is lost where either of the two sides' files names it.
  4. Files that cannot be read as what they are tell nothing. Nothing is read as long as no key file is missing.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

from rustun.config.findings import Complaint
from rustun.config.keys import read_private_key
from rustun.errors import Problem
from rustun.ops.filenames import SECRETS, SHARED_KEY, client_file, server_file
from rustun.ops.fleet import Inventory, Member, Server
from rustun.printable import quoted

ROUTES_FILE: Final = "routes.json"
BACK: Final = f"put {SECRETS}/ back from its backup (./invoke secrets-open, where it was sealed)"


class Traces:
    """What the generated files in a folder tell of its key files.

    Args:
        folder: where all names are relative to.
        there: names of the key files that are there.
    """

    def __init__(self, folder: Path, inventory: Inventory, there: Collection[str]) -> None:
        self._folder = folder
        self._inventory = inventory
        self._there = there

    def of_shared_key(self) -> Problem | None:
        """Return what is wrong where the missing shared key was in use, else None. Raises: OSError."""
        files = (server_file(server.name) for server in self._inventory.servers)
        namers = [file for file in files if self._names_shared_key(file)]
        if not namers:
            return None
        remedy = f"{BACK}; for a new one on purpose take {' and '.join(namers)} away"
        return self._lost(SHARED_KEY, f"{namers[0]} names it", "everybody who has it", remedy)

    def _names_shared_key(self, file: str) -> bool:
        crypto = (_toml(self._folder / file) or {}).get("crypto_config")
        return isinstance(crypto, dict) and SHARED_KEY in crypto.values()

    def of_server(self, name: str, server: Server) -> Problem | None:
        """Return what is wrong where a missing key of a server was in use, else None. Raises: OSError."""
        again = f"write server_key = {max(self._inventory.server_key) + 1} into [fleet]"
        return self._of_pair(name, server_file(server.name), "every client", again, self._pinned(str(server.endpoint)))

    def of_member(self, name: str, member: Member) -> Problem | None:
        """Return what is wrong where a missing key of a member was in use, else None. Raises: OSError."""
        again = f"write key = {max(member.settings.key or (1,)) + 1} for this member"
        entry = self._entries.get(member.identity, {})
        known = ((ROUTES_FILE, key) for key in _texts(entry.get("public_key")))
        return self._of_pair(name, client_file(member.identity), quoted(member.identity), again, known)

    def of_psk(self, name: str, identity: str) -> Problem | None:
        """Return what is wrong where a missing pre-shared key was in use, else None. Raises: OSError."""
        file = client_file(identity)
        security = (_toml(self._folder / file) or {}).get("security_config")
        in_client = isinstance(security, dict) and security.get("psk_file") == name
        namer = file if in_client else ROUTES_FILE if self._entries.get(identity, {}).get("psk_file") == name else ""
        if not namer:
            return None
        remedy = f"{BACK}; for a new one on purpose write psk = false for this member, deploy, and write true again"
        return self._lost(name, f"{namer} names it", quoted(identity), remedy)

    def _of_pair(self, name: str, namer: str, who: str, again: str, known: Iterable[tuple[str, str]]) -> Problem | None:
        content = _toml(self._folder / namer)
        if content is not None:
            security = content.get("security_config")
            if not isinstance(security, dict) or name not in _texts(security.get("private_key_file")):
                return None
            return self._lost(name, f"{namer} names it", who, f"{BACK}; for a new one on purpose {again}")
        there = self._public_keys_there(name)
        teller = next((file for file, key in known if key not in there), None)
        if teller is None:
            return None
        remedy = f"{BACK}; for a new one on purpose take {teller} away"
        return self._lost(name, f"{teller} has a public key that fits no key file here", who, remedy)

    def _lost(self, name: str, evidence: str, who: str, remedy: str) -> Problem:
        reason = f"is missing, but {evidence}: a new key would shut out {who}"
        return Problem(str(self._folder / name), 0, "", reason, remedy)

    def _pinned(self, address: str) -> Iterator[tuple[str, str]]:
        """Yield the name of a client file and a public key that it has for the server at `address`."""
        for member in self._inventory.members:
            file = client_file(member.identity)
            servers = (_toml(self._folder / file) or {}).get("servers")
            for server in servers if isinstance(servers, list) else ():
                if isinstance(server, dict) and server.get("address") == address:
                    yield from ((file, key) for key in _texts(server.get("public_key")))

    @cached_property
    def _entries(self) -> dict[str, dict[str, object]]:
        """What routes.json has, by identity."""
        try:
            entries = json.loads(_bytes(self._folder / ROUTES_FILE))
        except (ValueError, RecursionError):
            return {}
        found = (entry for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()
        return {str(entry.get("identity")): entry for entry in found}

    def _public_keys_there(self, name: str) -> set[str]:
        """Return the public keys of those key files that have the same owner as `name`."""
        found = set()
        for file in self._by_owner.get(_owner(name), ()):
            try:
                found.add(read_private_key(self._folder / file).public)
            except Complaint:
                continue
        return found

    @cached_property
    def _by_owner(self) -> dict[str, list[str]]:
        files: dict[str, list[str]] = {}
        for name in self._there:
            files.setdefault(_owner(name), []).append(name)
        return files


def _owner(name: str) -> str:
    """Return the name of a key file without number and ending (filenames.py, rule 2)."""
    return name.removesuffix(".key").partition("@")[0]


def _texts(value: object) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str)]


def _toml(path: Path) -> dict[str, object] | None:
    """Return what a TOML file says, None where there is none."""
    try:
        return tomllib.loads(_bytes(path).decode()) if path.exists() else None
    except (ValueError, RecursionError):
        return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
