"""Another user in the place of root: what a server does that has `[server_config] user` and was started as root.

Rules of this module
  1. Two steps. `become` takes the user's identity before the first key is read; it keeps what binding needs and nothing
     else. `give_up` drops this, too, and then tries to be root again: a process that can must not go on.
  2. That the user may read its files is proven by reading them as the user. Modes alone do not tell: access control
     lists, mounts and security modules have their word, and a file that only root can read is not read again at SIGHUP.
  3. A user namespace with one id has nobody else to become: there the capabilities are dropped, and that is said.
  4. No process is forked for any of this.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rustun
from rustun.backends.capabilities import (
    CAP_NET_ADMIN,
    CAP_NET_BIND_SERVICE,
    CAP_SETPCAP,
    empty_bounding_set,
    permitted_capabilities,
    set_capabilities,
)
from rustun.backends.process import forbid_core_dumps, prctl
from rustun.errors import RightsError

PR_SET_KEEPCAPS: Final = 8  # linux/prctl.h
ROOT: Final = 0
UNPRIVILEGED: Final = "nobody"  # owns nothing; every distribution has it
# A port below 1024, and a congestion control for listeners that this host does not let everybody choose.
KEPT_FOR_BINDING: Final = frozenset({CAP_NET_BIND_SERVICE, CAP_NET_ADMIN})
# Sticky: in a folder of several processes each removes its own files only. What they make there has the folder's group.
FOLDER_MODE: Final = 0o3775
REPORT: Final = "please report it with the kernel's version"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this host with all of its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def is_mapped(self) -> bool:
        """Whether user and groups exist in this user namespace (user_namespaces(7))."""
        users, groups = _ids("uid_map"), _ids("gid_map")
        return _within(self.uid, users) and all(_within(gid, groups) for gid in (self.gid, *self.groups))


def find_account(name: str) -> Account:
    """Return the account of a user that `pwd` knows. Raises: KeyError."""
    entry = pwd.getpwnam(name)
    return Account(name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)))


def become(account: Account) -> None:
    """Take the account's identity for good, with no capability but those for binding.

    Whoever is that user already, or has no other id in its user namespace, loses the other capabilities only.

    Raises: RightsError: this process is neither root nor that user, may not change, or its program is out of the
        user's reach.
    """
    uid = os.geteuid()
    if uid not in (ROOT, account.uid):
        raise RightsError(
            f'this process runs as {_user_name(uid)} and cannot become "{account.name}", which server.toml names',
            f"start it as root or as {account.name}, or take user out of [server_config]",
        )
    kept = KEPT_FOR_BINDING & permitted_capabilities()
    try:
        if CAP_SETPCAP in permitted_capabilities():
            empty_bounding_set()
        if uid == ROOT and account.is_mapped:
            prctl(PR_SET_KEEPCAPS, 1)
            os.setgroups(account.groups)
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
            prctl(PR_SET_KEEPCAPS, 0)
        set_capabilities(kept)
    except PermissionError as error:
        raise RightsError(
            f'no permission to become "{account.name}": {error.strerror}',
            "leave it CAP_SETUID and CAP_SETGID, or let the service manager start it as that user (User=)",
        ) from error
    forbid_core_dumps()
    _prove_program_in_reach(account)


def give_up(account: Account) -> str:
    """Drop what `become` kept, prove that nothing of root is left, and return what has become of it, for the log.

    Raises: RightsError when the process could still become root.
    """
    set_capabilities(())
    if permitted_capabilities() or _succeeds(lambda: set_capabilities({CAP_NET_ADMIN})):
        raise RightsError("capabilities came back after they were dropped", REPORT)
    if os.geteuid() == ROOT and not account.is_mapped:
        return f"dropped all capabilities; this user namespace has no id for {account.name}, so the user stays"
    if set(os.getresuid()) != {account.uid} or len(set(os.getresgid())) > 1:
        raise RightsError(f"only half of this process is {account.name}", REPORT)
    _prove_groups(account)
    if _succeeds(lambda: os.setresuid(ROOT, ROOT, ROOT)):
        raise RightsError("this process could become root again", REPORT)
    return f"runs as {account.name} (uid {account.uid}) without any capability, for good"


def _prove_groups(account: Account) -> None:
    foreign = {*os.getresgid(), *os.getgroups()} - {account.gid, *account.groups}
    if foreign:
        raise RightsError(
            f"this process runs as {account.name}, but in groups that are not its own: {sorted(foreign)}",
            f"start it as root, or with: setpriv --reuid {account.name} --regid {account.gid} --init-groups",
        )


@contextmanager
def acting_as(account: Account) -> Iterator[None]:
    """Let the kernel judge every access as it would for the account, and be root again afterwards; for `rustun check`.

    Changes nothing where this process is not root, or the account has no id in its user namespace.

    Raises: RightsError: this root may not change its user, or the program is out of the account's reach.
    """
    if os.geteuid() != ROOT or not account.is_mapped:
        yield
        return
    gid, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups(account.groups)
        os.setegid(account.gid)
        os.seteuid(account.uid)
    except PermissionError as error:
        remedy = "run it with CAP_SETUID and CAP_SETGID, or as that user"
        raise RightsError(f'no permission to act as "{account.name}": {error.strerror}', remedy) from error
    try:
        _prove_program_in_reach(account)
        yield
    finally:
        os.seteuid(ROOT)
        os.setegid(gid)
        os.setgroups(groups)


def leave_root() -> str:
    """Become a user who may nothing, for good, where this process is root; return what has come of it, for the log.

    Where it may not change its user, or that one could not read the program, it stays root without capabilities.
    """
    if os.geteuid() != ROOT:
        return f"runs as {_user_name(os.geteuid())}"
    try:
        account = find_account(UNPRIVILEGED)
        with acting_as(account):
            pass  # proves that it can be done: half way there is no way back
        become(account)
        return give_up(account)
    except (KeyError, RightsError) as error:
        with suppress(OSError):  # a service manager may forbid even that
            set_capabilities(())
        kept = sorted(permitted_capabilities()) or "none"
        return f"stays root, with capabilities {kept}: {error}"


def share_folder(folder: Path, account: Account) -> None:
    """Make `folder`, or take root's, so that the account may make and remove files of its own in it.

    What goes wrong is told by whoever makes a file there.
    """
    if os.geteuid() != ROOT or not account.is_mapped:
        return
    with suppress(OSError):
        folder.mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_uid == ROOT:
                os.fchown(descriptor, ROOT, account.gid)
                os.fchmod(descriptor, FOLDER_MODE)
        finally:
            os.close(descriptor)


def _prove_program_in_reach(account: Account) -> None:
    """Modules are loaded as late as they are needed; one that is missing then would look like a defect."""
    for file in (os.__file__, rustun.__file__):
        if not os.access(file, os.R_OK, effective_ids=True):
            raise RightsError(
                f'"{account.name}" cannot read the program itself: {file}',
                "install Python and rustun where every user may read them, such as /usr and /opt",
            )


def _succeeds(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except PermissionError:
        return False
    return True


def _user_name(uid: int) -> str:
    try:
        return f'"{pwd.getpwuid(uid).pw_name}"'
    except KeyError:
        return f"user {uid}"


def _ids(kind: str) -> list[tuple[int, int]]:
    """Return first id and count of each line of /proc/self/uid_map or gid_map."""
    lines = Path(f"/proc/self/{kind}").read_text().splitlines()
    return [(int(first), int(count)) for first, _, count in (line.split() for line in lines)]


def _within(number: int, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= number < first + count for first, count in ranges)
