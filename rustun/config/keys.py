"""Keys: how they are written, and the files that hold them.

Rules of this module
  1. A key file is a regular file of this user or root that nobody else may read, in folders where nobody else may put
     another in its place. "This user" is the effective one: a server that changes its user does so before it reads its
     keys, so that it can read them again. Root may let the group of a service read its file (0640): then the service
     cannot change it.
  2. X25519 keys are Base64 of 32 bytes, as WireGuard users know them, and have one spelling: twins that decode to the
     same key, values not below 2^255 - 19 and points of small order (RFC 7748, section 6.1) are refused.
  3. What is read from a key file stands in no message.
  4. Where the service manager handed over a file of the same name, that one is read in its place (credentials.py); it
     is guarded by the service manager.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.config.credentials import credential_for
from rustun.config.files import missing_remedy, permission_remedy, user_name
from rustun.config.findings import Complaint
from rustun.printable import printable

KEY_BYTES: Final = 32
MAX_KEY_FILE_BYTES: Final = 4096
_PASTED: Final = re.compile(r"(^|/)[A-Za-z0-9+/]{42,43}=$")  # in a path; one of two slashes in a row is gone
_FIELD_PRIME: Final = 2**255 - 19
# The canonical u coordinates of points of order 1, 2, 4 and 8 on Curve25519 and its twist.
_SMALL_ORDER: Final = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)


class Secret:
    """A text that shows itself only when asked by name; equal when the texts are."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; the caller keeps it out of logs, messages and argv."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not serialised")


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An X25519 private key, the file that it came from, and its public key in Base64."""

    file: Path
    secret: Secret
    public: str

    def raw(self) -> bytes:
        """Return the 32 bytes; the caller keeps them out of logs and messages."""
        return parse_private_key(self.secret.reveal())


def new_psk() -> Secret:
    """Return a new pre-shared key: 32 random bytes in Base64."""
    return Secret(encode_key(os.urandom(KEY_BYTES)))


def new_private_key() -> Secret:
    """Return a new X25519 private key in Base64."""
    return new_key_pair()[0]


def new_key_pair() -> tuple[Secret, str]:
    """Return a new X25519 private key and its public key, in Base64."""
    private = X25519PrivateKey.generate()
    return Secret(encode_key(private.private_bytes_raw())), encode_key(private.public_key().public_bytes_raw())


def public_key_of(private_key: Secret) -> str:
    """Return the public key of a Base64 private key, in Base64. Raises: Complaint: it is not a private key."""
    private = X25519PrivateKey.from_private_bytes(parse_private_key(private_key.reveal()))
    return encode_key(private.public_key().public_bytes_raw())


def read_private_key(path: Path, judged: set[str] | None = None) -> PrivateKey:
    """Read a private key's file. Raises: Complaint, as `read_key_file` and `parse_private_key`."""
    secret = read_key_file(path, judged)
    return PrivateKey(path, secret, public_key_of(secret))


def read_key_file(path: Path, judged: set[str] | None = None) -> Secret:
    """Return the text of a key file, or of the credential of its name, without the line break at its end.

    Args:
        judged: folders that nobody else can change anything in, for who reads many files at once; it grows.

    Raises: Complaint: missing, empty, of several lines, or open to others; the remedy is the command that mends it.
    """
    credential = credential_for(path)
    path = credential or path
    shown = printable(str(path), 200)
    if _PASTED.search(str(path)):
        raise Complaint("a key stands where the name of its file is wanted", "write it into a file and name that")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        remedy = f"{missing_remedy(path)}, or make one: rustun keygen --help"
        raise Complaint(f"there is no key file {shown}", remedy) from None
    except PermissionError:
        who = f"user {user_name(os.geteuid())}"
        raise Complaint(f"key file {shown} may not be read by {who}", _key_remedy(path)) from None
    except (OSError, ValueError) as error:
        words = (error.strerror or str(error)) if isinstance(error, OSError) else "no file can have this name"
        raise Complaint(f"key file {shown} cannot be opened: {words}", "check its owner and its folder") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Complaint(f"key file {shown} is not a regular file", "name a file")
        if credential is None:
            _judge_key_file(shown, path, status, set() if judged is None else judged)
        data = os.read(descriptor, MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise Complaint(f"key file {shown} cannot be read: {error.strerror}", "check the disk") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_KEY_FILE_BYTES:
        raise Complaint(f"key file {shown} is over {MAX_KEY_FILE_BYTES} bytes long", "is this the right file?")
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Complaint(f"key file {shown} is not UTF-8 text", "is this the right file?") from None
    if not text:
        raise Complaint(f"key file {shown} is empty", "write the key into it, on one line")
    if "\n" in text:
        raise Complaint(f"key file {shown} has more than one line", "one key on one line")
    return Secret(text)


def _key_remedy(path: Path) -> str:
    """A key that this user may not open has to belong to it: mode 0600 admits nobody else."""
    in_reach = os.path.exists(path)  # Path.exists raises where a folder on the way is shut
    return _command("sudo", "chown", user_name(os.geteuid()), path) if in_reach else permission_remedy(path)


def _judge_key_file(shown: str, path: Path, status: os.stat_result, judged: set[str]) -> None:
    judge_owner(f"key file {shown}", path, status)
    mode = stat.S_IMODE(status.st_mode)
    lent = status.st_uid == 0 != os.geteuid() and status.st_gid == os.getegid()
    if mode & (0o037 if lent else 0o077):
        raise Complaint(f"key file {shown} has mode {mode:04o}: others may use it", _command("chmod", "600", path))
    folder = os.path.dirname(path)
    linked = os.path.islink(path)
    if linked or folder not in judged:
        judge_folders(f"key file {shown}", path.resolve())
    if not linked:
        judged.add(folder)


def judge_owner(what: str, path: Path, status: os.stat_result) -> None:
    """Refuse a file that is neither root's nor this user's; messages call it `what`. Raises: Complaint."""
    if status.st_uid not in (0, os.geteuid()):
        who = f"user {user_name(status.st_uid)}, who could exchange it"
        raise Complaint(f"{what} belongs to {who}", _command("sudo", "chown", user_name(os.geteuid()), path))


def judge_folders(what: str, real: Path) -> None:
    """Refuse a file that others could exchange through a folder on its way; messages call it `what`.

    Raises: Complaint. OSError: a folder cannot be looked at, or is not there.
    """
    nearest, *others = real.parents
    _judge_folder(what, nearest, nearest=True)
    for folder in others:
        _judge_folder(what, folder, nearest=False)


def _judge_folder(what: str, folder: Path, *, nearest: bool) -> None:
    """Refuse a folder in which another user could rename a file of their own over this one.

    A sticky folder (/tmp) lets nobody rename what belongs to others. Write permission of a group counts in the folder
    of the file itself, unless it is this process's own group (umask 002 of users with a group to themselves) or root's.
    """
    status = folder.stat()
    of_group = nearest and status.st_gid not in (0, os.getegid())
    open_to = "o" * bool(status.st_mode & stat.S_IWOTH) + "g" * bool(of_group and status.st_mode & stat.S_IWGRP)
    if open_to and not status.st_mode & stat.S_ISVTX:
        place = f"below {printable(str(folder), 200)}, where others may put another in its place"
        raise Complaint(f"{what} lies {place}", _command("chmod", f"{open_to}-w", folder))


def _command(*words: str | Path) -> str:
    return f"run: {shlex.join(str(word) for word in words)}"


def parse_private_key(text: str) -> bytes:
    """Return the 32 bytes of a Base64 private key; the message never shows it. Raises: Complaint."""
    return _decode("the private key", text)


def parse_psk(text: str) -> bytes:
    """Return the 32 bytes of a member's pre-shared key in Base64; the message never shows it. Raises: Complaint."""
    return _decode("the pre-shared key", text)


def read_psk(path: Path, judged: set[str] | None = None) -> Secret:
    """Read a pre-shared key's file. Raises: Complaint, as `read_key_file` and `parse_psk`."""
    psk = read_key_file(path, judged)
    parse_psk(psk.reveal())
    return psk


def parse_public_key(text: str) -> bytes:
    """Return the 32 bytes of a Base64 public key in its one canonical form. Raises: Complaint."""
    key = _decode("the public key", text)
    coordinate = int.from_bytes(key, "little")
    if coordinate >= _FIELD_PRIME or coordinate in _SMALL_ORDER:
        raise Complaint("the public key is not one that X25519 makes", "derive it again from the private key")
    return key


def encode_key(key: bytes) -> str:
    """Return the one spelling of a key that files have."""
    return base64.b64encode(key).decode("ascii")


def _decode(what: str, text: str) -> bytes:
    remedy = "32 bytes in Base64: 44 characters, the last one ="
    try:
        key = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Complaint(f"{what} is not Base64", remedy) from None
    if len(key) != KEY_BYTES:
        raise Complaint(f"{what} has {len(key)} bytes, not {KEY_BYTES}", remedy)
    if encode_key(key) != text:
        raise Complaint(f"{what} is not spelled as Base64 spells it", "copy it again; its last letter was changed")
    return key
