"""Two routes.json side by side: what changes for whom."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from rustun.ops.deploy.members import MemberChange, compare_routes

BASE = {
    "cluster": "bj", "identity": "a", "private_ip": "10.0.1.1", "public_key": "K1", "psk_file": "a.psk",
    "ciders": ["192.168.1.0/24"],
}  # fmt: skip
OTHER = {"cluster": "bj", "identity": "b", "private_ip": "10.0.1.2", "public_key": "K2", "ciders": []}


def compared(*new: dict[str, Any]) -> tuple[MemberChange, ...]:
    """Return how members change from BASE and OTHER to others."""
    return compare_routes(json.dumps([BASE, OTHER]).encode(), json.dumps(new).encode())


@pytest.mark.parametrize(
    ("change", "what", "effect"),
    [
        (
            {"ciders": ["192.168.1.0/24", "192.168.3.0/24"]},
            "ciders + 192.168.3.0/24",
            "session stays; 1 peer gets 1 route",
        ),
        ({"ciders": []}, "ciders - 192.168.1.0/24", "session stays; 1 peer loses 1 route"),
        ({"public_key": ["K1", "K3"]}, "a second key", "session stays"),
        ({"public_key": "K3"}, "another key", "its session ends until it has the new key"),
        ({"psk_file": "b.psk"}, "another pre-shared key", "its session ends until its host has the same"),
        ({"psk_file": None}, "no pre-shared key", "its session ends until its host has the same"),
        ({"enabled": False}, "switched off", "its session ends"),
        ({"cluster": "sh"}, "from cluster bj", "its session begins anew"),
        ({"private_ip": "10.0.1.9"}, "private_ip 10.0.1.1 -> 10.0.1.9", "session stays"),
        ({"name": "office"}, "name - -> office", "session stays"),
    ],
)
def test_what_a_change_means(change: dict[str, Any], what: str, effect: str) -> None:
    """An operator would apply what ends a session, or fear what does not."""
    [found] = compared({**BASE, **change}, OTHER)
    assert (found.kind, found.identity, found.what, found.effect) == ("~", "a", what, effect)


def test_each_step_of_a_rotation_has_its_words() -> None:
    """An operator could not tell from the plan which step of a rotation is about to be taken."""
    keys: list[Any] = ["K1", ["K1", "K3"], ["K3", "K1"], "K3"]
    said = []
    for before, after in pairwise(keys):
        old, new = ({**BASE, "public_key": key} for key in (before, after))
        [found] = compare_routes(json.dumps([old]).encode(), json.dumps([new]).encode())
        said.append((found.what, found.effect))
    assert said == [(what, "session stays") for what in ("a second key", "the other key first", "the old key retired")]


def test_who_comes_and_who_goes() -> None:
    """A removal would hide among changes."""
    new = {"cluster": "bj", "identity": "c", "private_ip": "10.0.1.3", "ciders": []}
    came, went = compared(BASE, new)
    assert (came.kind, came.what, came.effect) == ("+", "new, address 10.0.1.3", "1 peer may reach it")
    assert (went.kind, went.identity, went.effect) == ("-", "b", "its session ends, key retired")
    assert compared(BASE, OTHER) == ()


@pytest.mark.parametrize("old", [None, b"", b"[", b'{"a": 1}', b"[1]", b"[" * 100_000])
def test_a_file_that_nobody_can_read_is_no_members(old: bytes | None) -> None:
    """A host with a broken routes.json could not be planned for."""
    assert [change.kind for change in compare_routes(old, json.dumps([BASE]).encode())] == ["+"]
