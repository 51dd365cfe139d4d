"""Who may ask on the control socket: the process's own user and root, and a group of this host where there is one.

Rules of this module
  1. A socket is made for its owner alone (control_server.py) and opened to the group afterwards: at no moment is it
     wider than it shall be.
  2. A group that was named must work. The usual one is a convenience: where this host has none, or this process
     may not give it away, the socket stays its owner's.
  3. Modes are changed through a descriptor of the file that was just made, never through its name.
"""

from __future__ import annotations

import errno
import grp
import os
import stat
from pathlib import Path
from typing import Final

from rustun.errors import HostError, RightsError

USUAL_GROUP: Final = "rustun"
OWNER_MODE: Final = 0o600
GROUP_MODE: Final = 0o660  # who connects to a Unix socket has to be allowed to write to it


def let_group_in(path: Path, name: str) -> None:
    """Let the users of a group ask on a socket.

    Args:
        path: of the socket's file, which belongs to this process's user.
        name: of the group, or empty for the usual one.

    Raises: HostError: the named group is not there; RightsError: this process may not give the file to it. Nothing has
        changed then.
    """
    try:
        gid = grp.getgrnam(name or USUAL_GROUP).gr_gid
    except KeyError:
        if name:
            raise HostError(f'there is no group "{name}" on this host', "make it, or name another one") from None
        return
    try:
        _give(path, gid)
    except OSError as error:
        if name:
            remedy = f'run as root, or as a user of the group: usermod --append --groups "{name}" USER'
            raise RightsError(f'cannot let group "{name}" ask on {path}: {error.strerror}', remedy) from error


def _give(path: Path, gid: int) -> None:
    file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(errno.ENOTSOCK, os.strerror(errno.ENOTSOCK))
        through = f"/proc/self/fd/{file}"  # fchown(2) and fchmod(2) take no descriptor that is only a place
        if found.st_gid != gid:  # the folder or the process has it already: a unit forbids to give files away
            os.chown(through, -1, gid)
        os.chmod(through, GROUP_MODE)
    finally:
        os.close(file)
