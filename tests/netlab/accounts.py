"""A host with a user `rustun` of its own, seen by the calling process and its children alone; only root can.

Rules of this module
  1. Nothing is changed on the host: the accounts' files and /run are mounts in a mount namespace of this process.
  2. The program's files are made reachable for everybody, as an installation below /opt is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from netlab import kernel
from tests.netlab.ordinary_user import ROOT, let_all_reach

NAME = "rustun"
ID = 23_456  # nobody's on the host


def add_account() -> None:
    """Leave the host's mount namespace; have the account there, and an empty /run."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    let_all_reach(Path(sys.base_prefix), ROOT, Path(sys.prefix))
    append("/etc/passwd", f"{NAME}:x:{ID}:{ID}::/nonexistent:/usr/sbin/nologin\n")
    append("/etc/group", f"{NAME}:x:{ID}:\nkeepers:x:{ID + 1}:{NAME}\n")
    kernel.mount("none", "/run", "tmpfs", 0, "mode=0755")


def append(file: str, line: str) -> None:
    """Mount over `file` a copy with one more line."""
    with NamedTemporaryFile("w") as copy:
        copy.write(Path(file).read_text() + line)
        copy.flush()
        Path(copy.name).chmod(0o644)
        kernel.mount(copy.name, file, "", kernel.MS_BIND)
