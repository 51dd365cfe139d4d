"""Become an ordinary user for good and run a program.

    python -m tests.netlab.ordinary_user FOLDER 0666|0600 allowed|forbidden COMMAND...

FOLDER is where the program runs, then follow the mode of /dev/net/tun and what becomes of user namespaces.

Rules of this module
  1. Nothing is changed on the host: the device node, the accounts' files, and the way to an interpreter that only root
     may reach, are mounts in a mount namespace of this process.
  2. Where user namespaces are to be forbidden, the program runs in one that allows no further ones.
  3. Who is an ordinary user already stays who they are, in a user namespace where they may do the like.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from netlab import kernel
from tests.netlab.many_ids import IDS

USER = 12_345  # nobody's on the host
NAME = "ordinary"
GRANTED = 1_000_000  # the first of the ids that the user may map
TUN = Path("/dev/net/tun")
TUN_NUMBERS = (10, 200)
ALL_IDS = "0 0 65536"
ROOT = Path(__file__).parents[2]


def main(folder: str, tun_mode: str, namespaces: str, *command: str) -> None:
    """Make the surroundings, drop all rights and become `command`."""
    if os.geteuid() == 0:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        replace_tun_device(int(tun_mode, 8))
        add_user(TUN.parent)
        let_all_reach(Path(sys.base_prefix), ROOT, Path(sys.prefix))
        if namespaces == "forbidden":
            forbid_user_namespaces()
        os.setgroups([])
        os.setresgid(USER, USER, USER)
        os.setresuid(USER, USER, USER)
    else:
        stay_ordinary()
        if tun_mode == "0600":
            shut_tun_device()
        if namespaces == "forbidden":
            Path("/proc/sys/user/max_user_namespaces").write_text("0")
    os.chdir(folder)
    os.execv(command[0], command)


def stay_ordinary() -> None:
    """Move into a user namespace with the same ids; until the next program there are all rights in it."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def shut_tun_device() -> None:
    """Mount a file over /dev/net/tun that nobody may open."""
    with NamedTemporaryFile() as shut:
        Path(shut.name).chmod(0)
        kernel.mount(shut.name, str(TUN), "", kernel.MS_BIND)


def replace_tun_device(mode: int) -> None:
    """Mount a node of our own over /dev/net/tun."""
    kernel.mount("none", str(TUN.parent), "tmpfs", 0, "mode=0755")
    os.mknod(TUN, stat.S_IFCHR, os.makedev(*TUN_NUMBERS))
    TUN.chmod(mode)


def add_user(folder: Path) -> None:
    """Let the user have a name, and ids to map; the accounts' files are in `folder`, which is a mount of our own."""
    append("/etc/passwd", f"{NAME}:x:{USER}:{USER}::/nonexistent:/bin/sh\n", folder)
    append("/etc/group", f"{NAME}:x:{USER}:\n", folder)
    for file in ("/etc/subuid", "/etc/subgid"):
        if Path(file).exists():
            append(file, f"{NAME}:{GRANTED}:{IDS}\n", folder)


def append(file: str, line: str, folder: Path) -> None:
    """Mount over `file` a copy with one more line, which stays in `folder`: on a deleted one no mount works."""
    copy = folder / Path(file).name
    copy.write_text(Path(file).read_text() + line)
    copy.chmod(0o644)
    kernel.mount(str(copy), file, "", kernel.MS_BIND)


def let_all_reach(*paths: Path) -> None:
    """Mount what lies below folders that others may not enter, such as /root, below folders that they may."""
    held = {path: os.open(path, os.O_PATH) for path in paths}
    for path, descriptor in held.items():
        shut = (folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH)
        if path.exists() and (outermost := next(shut, None)) is not None:
            kernel.mount("none", str(outermost), "tmpfs", 0, "mode=0755")
        if not path.exists():
            path.mkdir(parents=True)
            kernel.mount(f"/proc/self/fd/{descriptor}", str(path), "", kernel.MS_BIND)
        os.close(descriptor)


def forbid_user_namespaces() -> None:
    """Move into a user namespace that has all ids and allows no further ones."""
    outside = os.getpid()
    entered, told = os.pipe()
    mapper = os.fork()
    if mapper == 0:  # only somebody outside may map more ids than one
        os.read(entered, 1)
        for kind in ("uid", "gid"):
            Path(f"/proc/{outside}/{kind}_map").write_text(ALL_IDS)
        os._exit(0)
    kernel.unshare(kernel.CLONE_NEWUSER)
    os.write(told, b"!")
    assert os.waitpid(mapper, 0)[1] == 0, "the ids could not be mapped"
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


if __name__ == "__main__":
    main(*sys.argv[1:])
