"""Key files that the service manager hands to a service (systemd.exec(5), "Credentials").

Rules of this module
  1. $CREDENTIALS_DIRECTORY is a folder of this service alone. A file there stands for every key file of the same name
     that the configuration names, wherever that one is said to be; it need not be there at all.
  2. It is a copy from the start of the service: a reload reads the same again, and only a restart another.
"""

from __future__ import annotations

import os
from pathlib import Path

from rustun.config.toml import Table
from rustun.printable import printable, quoted


def credential_for(path: Path) -> Path | None:
    """Return the credential that is read in the place of a key file, None where there is none."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder or not path.name:
        return None
    credential = Path(folder, path.name)
    return credential if os.path.isfile(credential) else None  # Path.is_file raises for a name that is too long


def note_credential(table: Table, key: str, path: Path, written: str) -> None:
    """Note it when a credential stands for the key file `path`, which `key` of a table names as `written`."""
    credential = credential_for(path)
    if credential is not None:
        place = printable(str(credential), 200)
        table.report(key, f"{quoted(written)} is taken from the service manager: {place}", "", "note", written)
