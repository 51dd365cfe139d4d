"""The keys of a fleet in one encrypted file, to keep under version control: age, by recipients or by a passphrase.

    inventory/acme.toml            inventory/acme.keys.age      inventory/acme.recipients
    inventory/acme/*.toml          inventory/acme/keys.age      inventory/acme/recipients

Rules of this module
  1. The sealed file is what `age` itself makes and opens (age-encryption.org/v1): JSON, key file name -> its text.
  2. Where there is a file of recipients, a line each (age1..., ssh-ed25519, ssh-rsa), the keys are sealed for them;
     else by a passphrase, asked for twice or read from a file.
  3. Opening writes what is missing, and nothing else. A key that is there and differs is named, and then nothing is
     written. What a sealed file names may be a key file of ours, and no other path.
  4. Only what can be opened again is sealed, and never an empty file in the place of the key that it held.
  5. Neither keys nor the passphrase are ever printed.
"""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyrage

from rustun.config.files import decode, read_bytes
from rustun.config.keys import Secret
from rustun.durable import replace_file
from rustun.errors import HostError
from rustun.ops.editing.files import editing
from rustun.ops.ending import InputError, guarded
from rustun.ops.exit_codes import OK
from rustun.ops.filenames import SECRETS
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import find_keys, sealed_keys, write_key_files

MAX_SEALED_BYTES: Final = 16 << 20  # 10,000 keys take 1 MB
MAX_TEXT_BYTES: Final = 1 << 20
KEY_NAME: Final = re.compile(rf"{SECRETS}/(?:[a-z]+/)?[^/\0]+\.(?:key|psk|token)")


class SealError(InputError):
    """The keys cannot be sealed or opened as asked; nothing was written."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a fleet's keys are, open and sealed.

    Attributes:
        folder: of the generated files, with `secrets/` in it.
        sealed: the encrypted file.
        recipients: for whom, a line each; may not be there.
    """

    folder: Path
    sealed: Path
    recipients: Path


def places(inventory: Path, folder: Path) -> Places:
    """Return the places that belong to an inventory whose generated files are in `folder`."""
    recipients = inventory / "recipients" if inventory.is_dir() else inventory.with_suffix(".recipients")
    return Places(folder, sealed_keys(inventory), recipients)


def read_keys(folder: Path) -> dict[str, Secret]:
    """Return every key file below a folder's secrets/, by name. Raises: ConfigError: one cannot be read."""
    find_keys(folder)
    secrets = folder / SECRETS
    files = sorted(file for pattern in ("*.key", "*.psk", "*.token") for file in secrets.rglob(pattern))
    names = {f"{SECRETS}/{file.relative_to(secrets)}": file for file in files}
    return {name: Secret(decode(str(file), read_bytes(file, MAX_TEXT_BYTES)).strip()) for name, file in names.items()}


def seal(keys: Mapping[str, Secret], recipients: Path, passphrase: Secret | None) -> bytes:
    """Return the sealed file for some keys.

    Args:
        recipients: file of those who can open it; used where it is there.
        passphrase: used where it is not.
    Raises: SealError: a recipient is none, or there is neither; a name is none of ours, or its key is empty.
    """
    for name, key in keys.items():
        if not _is_key_name(name):
            raise SealError(f"{name} is no key file of a fleet, and could not be opened again", "move it elsewhere")
        if not key.reveal():
            raise SealError(f"{name} is empty", "put its key back, from what was sealed before; or delete it")
    data = json.dumps({name: key.reveal() for name, key in sorted(keys.items())}, indent=1).encode()
    if recipients.exists():
        return bytes(pyrage.encrypt(data, _recipients(recipients)))
    if passphrase is None:
        remedy = f"write recipients into {recipients}, or give a passphrase"
        raise SealError("nobody could open what would be sealed", remedy)
    return bytes(pyrage.passphrase.encrypt(data, passphrase.reveal()))


def _recipients(path: Path) -> list[Any]:
    lines = decode(str(path), read_bytes(path, MAX_TEXT_BYTES)).splitlines()
    found = []
    for number, line in enumerate(lines, start=1):
        if not (text := line.partition("#")[0].strip() if not line.startswith("ssh-") else line.strip()):
            continue
        kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            found.append(kind.from_str(text))
        except pyrage.RecipientError as error:
            remedy = "a line is age1..., or the public key of ssh-ed25519 or ssh-rsa"
            raise SealError(f"{path}:{number}: is no recipient: {error}", remedy) from error
    if not found:
        raise SealError(f"{path} names nobody", "write a line for each who may open the keys, or delete the file")
    return found


def unseal(data: bytes, identity: Path | None, passphrase: Secret | None) -> dict[str, Secret]:
    """Return the keys of a sealed file.

    Args:
        identity: file with the private key of a recipient: AGE-SECRET-KEY-1..., or an OpenSSH key without a passphrase.
        passphrase: used where there is no identity.
    Raises: SealError: it cannot be opened with these, or is not a file of keys.
    """
    try:
        if identity is not None:
            opened = bytes(pyrage.decrypt(data, [_identity(identity)]))
        else:
            opened = bytes(pyrage.passphrase.decrypt(data, passphrase.reveal() if passphrase else ""))
    except pyrage.DecryptError as error:
        raise SealError(f"the keys cannot be opened: {error}", "is it the right passphrase, or identity?") from error
    try:
        keys = json.loads(opened)
    except (ValueError, RecursionError):
        keys = None
    texts = isinstance(keys, dict) and all(isinstance(text, str) for text in keys.values())
    if not texts or not all(map(_is_key_name, keys)):
        raise SealError("what was opened is not a fleet's keys", "was it made by ./invoke secrets-seal?")
    return {name: Secret(text) for name, text in keys.items()}


def _is_key_name(name: str) -> bool:
    return KEY_NAME.fullmatch(name) is not None and ".." not in name


def _identity(path: Path) -> Any:
    text = decode(str(path), read_bytes(path, MAX_TEXT_BYTES))
    try:
        if "OPENSSH PRIVATE KEY" in text or "RSA PRIVATE KEY" in text:
            return pyrage.ssh.Identity.from_buffer(text.encode())
        lines = (line.strip() for line in text.splitlines())
        key = next((line for line in lines if line.startswith("AGE-SECRET-KEY-")), "")
        return pyrage.x25519.Identity.from_str(key)
    except pyrage.IdentityError as error:
        remedy = "it holds AGE-SECRET-KEY-1..., or an OpenSSH key without a passphrase"
        raise SealError(f"{path} is no identity that can be used: {error}", remedy) from error


def restore(folder: Path, keys: Mapping[str, Secret], *, dry: bool = False) -> list[str]:
    """Write the keys that are missing below a folder; return their names.

    Args:
        dry: write nothing.
    Raises:
        SealError: a key that is there differs; nothing was written.
        OSError: no room, or no right.
    """
    present = read_keys(folder)
    differing = [name for name, key in keys.items() if name in present and present[name].reveal() != key.reveal()]
    if differing:
        reason = f"{len(differing)} keys are there and differ from the sealed ones, such as {folder / differing[0]}"
        raise SealError(reason, "nothing is ever overwritten: move away those that should be replaced")
    missing = {name: key for name, key in keys.items() if name not in present}
    if missing and not dry:
        folder.mkdir(parents=True, exist_ok=True)
        write_key_files(folder, missing)
    return list(missing)


def write_sealed(path: Path, data: bytes) -> None:
    """Put a sealed file in place, whole or not at all. Raises: HostError."""
    try:
        replace_file(path, data)
    except OSError as error:
        remedy = "check the room on the disk and the owner of the folder; what was there is as it was"
        raise HostError(f"{path}: cannot be written: {error.strerror}", remedy) from error


def ask_passphrase(file: Path | None, *, twice: bool) -> Secret:
    """Return the passphrase from a file's first line, or from the terminal.

    Raises: SealError: it is empty, was not typed the same twice, or nobody can be asked.
    """
    if file is not None:
        text = next(iter(decode(str(file), read_bytes(file, MAX_TEXT_BYTES)).splitlines()), "")
    elif not sys.stdin.isatty():
        raise SealError("nobody can be asked for a passphrase here", "give --passphrase-file, or recipients")
    else:
        text = _typed("passphrase for the fleet's keys: ")
        if twice and _typed("again: ") != text:
            raise SealError("the two differ", "type it again")
    if not text:
        raise SealError(
            "the passphrase is empty", "take a long one: who reads the repository can try as often as they like"
        )
    return Secret(text)


def _typed(prompt: str) -> str:
    try:
        text = getpass.getpass(prompt)
        text.encode()
    except EOFError:  # ctrl-D
        raise SealError("no passphrase was typed", "type it, or give --passphrase-file") from None
    except UnicodeError:
        raise SealError("the passphrase is not UTF-8 text", "is this terminal set to UTF-8?") from None
    return text


def run_seal(
    inventory: Path, build: Path, passphrase_file: Path | None, out: Path | None = None, *, dry: bool = False
) -> int:
    """Seal the keys of an inventory; return the exit code.

    Args:
        build: folder in which each fleet has its folder of generated files.
        out: folder of this one's; None for the usual one.
        passphrase_file: its first line is the passphrase; None: ask, where there are no recipients.
        dry: say which keys and for whom, and ask and write nothing.
    """

    def seal_all(where: Places) -> str:
        keys = read_keys(where.folder)
        if not keys:
            raise SealError(f"{where.folder / SECRETS} holds no keys", "run ./invoke gen-config, which makes them")
        who = f"for {where.recipients}" if where.recipients.exists() else "by a passphrase"
        if dry:
            return f"{', '.join(sorted(keys))}: would be sealed {who} into {where.sealed}"
        asked = None if where.recipients.exists() else ask_passphrase(passphrase_file, twice=True)
        with editing(inventory):
            write_sealed(where.sealed, seal(keys, where.recipients, asked))
        return f"{len(keys)} keys sealed {who} into {where.sealed}; it may go under version control"

    return guarded("secrets-seal", lambda: _do("secrets-seal", inventory, build, out, seal_all))


def run_open(
    inventory: Path,
    build: Path,
    identity: Path | None,
    passphrase_file: Path | None,
    out: Path | None = None,
    *,
    dry: bool = False,
) -> int:
    """Write the keys that are missing from the sealed file of an inventory; return the exit code.

    Args:
        dry: open it, say which keys are missing, and write nothing.
    """

    def open_all(where: Places) -> str:
        data = read_bytes(where.sealed, MAX_SEALED_BYTES)
        asked = None if identity is not None else ask_passphrase(passphrase_file, twice=False)
        keys = unseal(data, identity, asked)
        with editing(inventory):
            written = restore(where.folder, keys, dry=dry)
        if dry:
            missing = ", ".join(sorted(written)) or "none"
            return f"{len(keys)} keys, and they can be opened; missing in {where.folder / SECRETS}: {missing}"
        return f"{len(written)} of {len(keys)} keys written into {where.folder / SECRETS}, the others were there"

    return guarded("secrets-open", lambda: _do("secrets-open", inventory, build, out, open_all))


def _do(name: str, inventory: Path, build: Path, out: Path | None, act: Callable[[Places], str]) -> int:
    fleet = load_inventory(inventory)
    print(f"{name}: {act(places(inventory, out or build / fleet.name))}")
    return OK
