"""Who a server may become; the change itself needs root and stands in tests/netlab/test_server_user.py."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

import pytest

from rustun.backends import rights
from rustun.backends.rights import Account, acting_as, become, find_account
from rustun.errors import RightsError

ACCOUNT = Account("rustun", 998, 997, (997, 50))


def test_an_account_has_all_of_its_groups() -> None:
    """A server cannot read what a group of its user may read, or keeps a group of root's."""
    own = pwd.getpwnam("root")
    found = find_account(own.pw_name)
    assert found == Account(own.pw_name, own.pw_uid, own.pw_gid, tuple(os.getgrouplist(own.pw_name, own.pw_gid)))


@pytest.mark.parametrize(
    ("users", "groups", "mapped"),
    [
        ("0 0 4294967295", "0 0 4294967295", True),
        ("0 1000 1", "0 1000 1", False),
        ("0 1000 1\n1 100000 65536", "0 1000 1\n1 100000 65536", True),
        ("0 0 998", "0 0 4294967295", False),
        ("998 0 1", "997 0 1", False),
        ("998 0 1", "997 0 1\n50 1 1", True),
    ],
)
def test_an_id_that_the_namespace_lacks(monkeypatch: pytest.MonkeyPatch, users: str, groups: str, mapped: bool) -> None:
    """A server in a container does not start because of ids that are not there, or stays root where they are."""
    maps = {"/proc/self/uid_map": users, "/proc/self/gid_map": groups}
    monkeypatch.setattr("pathlib.Path.read_text", lambda path: maps[str(path)])
    assert ACCOUNT.is_mapped is mapped


def test_nobody_else_can_become_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a stranger starts runs on as that stranger."""
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    monkeypatch.setattr(rights, "set_capabilities", lambda wanted: pytest.fail("went on"))
    with pytest.raises(RightsError, match='runs as user 4711 and cannot become "rustun"') as caught:
        become(ACCOUNT)
    assert caught.value.remedy.startswith("start it as root or as rustun, ")


def test_acting_as_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` of an ordinary user ends with a traceback, for it may not change its user."""
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    before = os.getresuid()
    with acting_as(replace(ACCOUNT, uid=4712)):
        assert os.getresuid() == before


def test_acting_as_a_user_who_cannot_read_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` blames a module that it loads late, as that user, instead of the place where Python is."""
    steps: list[tuple[str, object]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(Account, "is_mapped", True)
    for name in ("setgroups", "setegid", "seteuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: steps.append((name, value)))
    monkeypatch.setattr("os.access", lambda path, mode, effective_ids: False)
    with pytest.raises(RightsError, match="cannot read the program itself"), acting_as(ACCOUNT):
        pytest.fail("went on")
    assert ("seteuid", ACCOUNT.uid) in steps
    assert ("seteuid", 0) in steps, "and is root again"
