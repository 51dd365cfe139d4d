"""The seed's four methods as server.toml, client.toml and `-c` write them.

[crypto_config]                      exactly one of
chacha20poly1305 = "KEY"             aes256, xor likewise
chacha20poly1305_file = "shared.key"
crypto_config = "plain"              at the top of the file, before any table
-c METHOD:KEY                        plain, aes256:KEY, chacha20:KEY, xor:KEY; a KEY may hold ":"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.config.credentials import note_credential
from rustun.config.findings import Complaint, describe, suggestion
from rustun.config.keys import Secret, read_key_file
from rustun.config.toml import Table
from rustun.protocol.ciphers import SeedMethod, weak_key_notes

_KEYED: Final = ("chacha20poly1305", "aes256", "xor")
_FLAG_NAMES: Final = {"chacha20": "chacha20poly1305"} | {name: name for name in _KEYED}


@dataclass(frozen=True, slots=True)
class Crypto:
    """A method and its key; plain has none."""

    method: SeedMethod
    key: Secret | None

    def notes(self) -> list[str]:
        """Return what is weak about it, one line each."""
        return weak_key_notes(self.method, self.key.reveal() if self.key else "")


def read_crypto(top: Table, folder: Path) -> Crypto | None:
    """Return what `crypto_config` says, None when it is missing or wrong (then reported).

    Args:
        top: the file's outermost table.
        folder: what `*_file` paths are relative to.
    """
    value = top.values.get("crypto_config")
    if isinstance(value, str):
        top.known("crypto_config")
        if value == "plain":
            crypto = Crypto(SeedMethod.PLAIN, None)
            for note in crypto.notes():
                top.report("crypto_config", note, "", "warning")
            return crypto
        top.report(
            "crypto_config", f"is {describe(value)}", 'write crypto_config = "plain", or a [crypto_config] table'
        )
        return None
    table = top.table("crypto_config")
    names = (*_KEYED, *(f"{name}_file" for name in _KEYED))
    table.known(*names)
    table.close()
    written = [name for name in names if name in table]
    if len(written) > 1:
        table.report(written[1], f"stands beside {written[0]}", "keep one: a server has one method and one key")
        return None
    if not written:
        if "crypto_config" in top and isinstance(value, dict) and not value:
            table.report("", "names no method", 'write chacha20poly1305_file = "shared.key"')
        return None
    return _read_method(table, written[0], folder)


def _read_method(table: Table, name: str, folder: Path) -> Crypto | None:
    def from_file(text: str) -> Secret:
        secret = read_key_file(folder / text)
        note_credential(table, name, folder / text, text)
        return secret

    key = table.text(name, from_file if name.endswith("_file") else _key, None)
    if key is None:
        return None
    crypto = Crypto(SeedMethod(name.removesuffix("_file")), key)
    for note in crypto.notes():
        table.report(name, note, "", "warning")
    return crypto


def _key(text: str) -> Secret:
    if not text:
        raise Complaint("the key is empty", "write a key of 32 random characters")
    if not text.isprintable():  # lone surrogates, too: what a terminal sends that is not UTF-8
        raise Complaint("the key holds a character that is not printable", "use letters, digits and signs")
    return Secret(text)


def parse_crypto(text: str) -> Crypto:
    """Return what METHOD:KEY says. Raises: Complaint, which never shows the key."""
    method, colon, key = text.partition(":")
    if method == "plain" and not colon:
        return Crypto(SeedMethod.PLAIN, None)
    if method == "plain":
        raise Complaint("plain has no key", "write plain")
    if method not in _FLAG_NAMES:
        # A key alone is an easy slip, so the word is shown only where a method was plainly meant.
        close = suggestion(method, ("plain", "aes256", "chacha20", "xor")) if colon else ""
        raise Complaint("does not begin with a method", close or "one of plain, aes256:KEY, chacha20:KEY, xor:KEY")
    if not key:
        raise Complaint(f"{method} needs a key", f"write {method}:KEY")
    return Crypto(SeedMethod(_FLAG_NAMES[method]), _key(key))


def read_crypto_file(path: Path) -> Crypto:
    """Return what the METHOD:KEY line of a key file says. Raises: Complaint."""
    return parse_crypto(read_key_file(path).reveal())
