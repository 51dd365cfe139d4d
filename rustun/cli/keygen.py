"""`rustun keygen`: private keys, pre-shared keys, tokens of the dashboard, and the public key of a private one.

Rules of this module
  1. A key file is made with mode 0600 whatever the umask, is on the disk before anything is said about it, and never
     takes the place of another: a key that is in use cannot be made again.
  2. A key is shown only where nothing else was asked for, as `wg genkey` does; never in a message.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final, Literal

from rustun.backends.process import forbid_core_dumps
from rustun.config.findings import Complaint, config_error
from rustun.config.keys import (
    MAX_KEY_FILE_BYTES,
    Secret,
    new_private_key,
    new_psk,
    public_key_of,
    read_key_file,
)
from rustun.durable import sync_folder
from rustun.errors import HostError, RightsError
from rustun.printable import printable

SCHEMA: Final = 1
Kind = Literal["private_key", "psk", "token"]
STANDARD_INPUT: Final = Path("-")


def generate(out: Path | None, kind: Kind, *, as_json: bool) -> int:
    """Make a private key, a pre-shared key or a token, and return 0.

    Args:
        out: a new file for it, whose public key is printed; None: the key itself is printed.
        kind: only a private key has a public one. A token is 32 random bytes, written as a pre-shared key is.

    Raises: HostError, RightsError: the file cannot be made; nothing of it is left then.
    """
    forbid_core_dumps()
    key = new_private_key() if kind == "private_key" else new_psk()
    public = public_key_of(key) if kind == "private_key" else ""
    if out is not None:
        write_new_key_file(out, key)
    elif sys.stdout.isatty():
        print("rustun keygen: this is a secret; --out FILE keeps it off the screen", file=sys.stderr)
    if as_json:
        made = {"file": str(out)} if out is not None else {kind: key.reveal()}
        print(json.dumps({"schema": SCHEMA, **made, **({"public_key": public} if public else {})}, indent=2))
    elif out is None:
        print(key.reveal())
    elif public:
        print(public)
    return 0


def show_public(file: Path | None, *, as_json: bool) -> int:
    """Print the public key of a private one, and return 0.

    Args:
        file: of the private key; "-" or None: standard input.

    Raises: ConfigError: it is not a private key, or its file is open to others.
    """
    forbid_core_dumps()
    from_input = file is None or file == STANDARD_INPUT
    try:
        private = _read_input() if file is None or from_input else read_key_file(file)
        public = public_key_of(private)
    except Complaint as complaint:
        where = "standard input" if from_input else str(file)
        raise config_error(where, complaint.reason, complaint.remedy) from None
    print(json.dumps({"schema": SCHEMA, "public_key": public}, indent=2) if as_json else public)
    return 0


def _read_input() -> Secret:
    data = sys.stdin.buffer.read(MAX_KEY_FILE_BYTES + 1)
    if not data.strip():
        raise Complaint("is empty", "as in: rustun keygen --public < client.key")
    return Secret(data[:MAX_KEY_FILE_BYTES].decode("utf-8", "replace").strip())


def write_new_key_file(path: Path, key: Secret) -> None:
    """Write a key to a file that is not there yet, mode 0600.

    Raises:
        HostError: the file is there, its folder is not, or the disk refused. RightsError: this user may not.
            Nothing of the new file is left then.
    """
    shown = printable(str(path), 200)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot_make(shown, path, error) from None
    try:
        try:
            os.fchmod(descriptor, 0o600)  # the umask may have taken the owner's rights, too
            os.write(descriptor, key.reveal().encode("ascii") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise HostError(f"{shown} cannot be written: {error.strerror}", "check the disk, and run it again") from None


def _cannot_make(shown: str, path: Path, error: OSError) -> HostError | RightsError:
    folder = printable(str(path.parent), 200)
    match error:
        case FileExistsError():
            remedy = "choose another name, or move it away; its key may be in use and cannot be made again"
            return HostError(f"{shown} is there already and stays as it is", remedy)
        case FileNotFoundError():
            return HostError(f"there is no folder {folder}", f"run: mkdir -m 700 -p {folder}")
        case PermissionError():
            return RightsError(f"this user may not make files in {folder}", "choose another folder, or use sudo")
    return HostError(f"{shown} cannot be made: {error.strerror}", "check the path and the disk")
