"""Key files: generated once, never overwritten, never printed.

Rules of this module
  1. A file that is there stays as it is, whatever it holds. Only its absence leads to a new key.
  2. A new file appears whole and with mode 0600 or not at all: it is written under another name and linked into place,
     and linking fails where somebody else was faster.
  3. No function returns a key.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from rustun.errors import HostError

KEY_RANDOM_BYTES: Final = 24  # 32 characters of URL-safe Base64: all that the seed's ciphers take of a key


def ensure_shared_key(path: Path) -> bool:
    """Generate a shared key (192 random bits, 32 characters) at `path` unless a file is there.

    Returns: whether a key was generated.
    Raises: HostError when the folder cannot be written.
    """
    if path.exists():
        return False
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # mode 0600
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(KEY_RANDOM_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        finally:
            os.unlink(draft)
    except FileExistsError:
        return False
    except OSError as error:
        raise HostError(f"{path}: cannot be written: {error.strerror}", "check the folder and the disk") from error
    return True
