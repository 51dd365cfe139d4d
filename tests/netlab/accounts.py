"""A host with a user `rustun` of its own, seen by the calling process and its children alone; only root can.

Rules of this module
  1. Nothing is changed on the host: the accounts' files and /run are mounts in a mount namespace of this process.
  2. The program's files are made reachable for everybody, as an installation below /opt is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from netlab import kernel
from tests.netlab.ordinary_user import ROOT, append, let_all_reach

NAME = "rustun"
ID = 23_456  # nobody's on the host
OTHER = 34_567  # the same, and without a name


def add_account() -> None:
    """Leave the host's mount namespace; have the account there, and a /run with nothing else."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    let_all_reach(Path(sys.base_prefix), ROOT, Path(sys.prefix))
    kernel.mount("none", "/run", "tmpfs", 0, "mode=0755")
    append("/etc/passwd", f"{NAME}:x:{ID}:{ID}::/nonexistent:/usr/sbin/nologin\n", Path("/run"))
    append("/etc/group", f"{NAME}:x:{ID}:\nkeepers:x:{ID + 1}:{NAME}\n", Path("/run"))
