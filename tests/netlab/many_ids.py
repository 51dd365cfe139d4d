"""Root of a user namespace that has many ids, for who is an ordinary user; root stays what it is.

Rules of this module
  1. The kernel lets a user map no id but their own. Who may map more stands in /etc/subuid and /etc/subgid, and the
     programs newuidmap and newgidmap (Debian: uidmap) do it: user_namespaces(7), subuid(5).
"""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path
from typing import Final

from netlab import kernel

IDS: Final = 65_536
PROGRAMS: Final = {"newuidmap": "uidmap"}
REMEDY: Final = f"usermod --add-subuids 1000000-{999_999 + IDS} --add-subgids 1000000-{999_999 + IDS} USER"


def become_root_of_many() -> None:
    """Move an ordinary user's process, which has one thread, into a user namespace in which it is root of `IDS` ids."""
    user, group, outside = os.geteuid(), os.getegid(), os.getpid()
    if user == 0:
        return
    entered, told = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.close(told)
        os.read(entered, 1)
        for kind, own in (("uid", user), ("gid", group)):
            ranges = ["0", str(own), "1", "1", str(granted(kind)), str(IDS - 1)]
            subprocess.run([f"new{kind}map", str(outside), *ranges], check=True)
        os._exit(0)
    kernel.unshare(kernel.CLONE_NEWUSER)
    os.write(told, b"!")
    os.close(told)
    os.close(entered)
    assert os.waitpid(mapper, 0)[1] == 0, "the ids could not be mapped"
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def granted(kind: str) -> int:
    """Return the first of the `IDS` ids that this user may map, 0 for none; `kind` is "uid" or "gid"."""
    names = {str(os.geteuid())}
    try:
        names.add(pwd.getpwuid(os.geteuid()).pw_name)
    except KeyError:  # a number without a name is a user all the same
        pass
    try:
        lines = Path(f"/etc/sub{kind}").read_text().splitlines()
    except OSError:
        return 0
    ranges = [line.split(":") for line in lines if line.count(":") == 2]
    return next((int(first) for name, first, number in ranges if name in names and int(number) >= IDS - 1), 0)
