"""Key rotation: three steps for one member or for all, resumed from what the inventory says."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rustun.config.keys import new_private_key, public_key_of
from rustun.ops import exit_codes
from rustun.ops.editing import rotation
from rustun.ops.editing.rotating import rotate_keys
from rustun.ops.editing.run import Order
from rustun.ops.inventory import load_inventory

OWN = public_key_of(new_private_key())
FLEET = f"""\
[fleet]
name = "acme"
servers = [{{ address = "198.18.0.1:8080" }}]
[tag.office]
key = 4
[cluster.red]
network = "10.0.1.0/24"
[cluster.red.member.alice]
[cluster.red.member.bob]
tags = ["office"]
[cluster.red.member.carol]
public_key = "{OWN}"
[cluster.red.member.old]
tier = "shared"
"""


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Return an order on a fleet in which everybody has keys in another way."""
    (tmp_path / "acme.toml").write_text(FLEET)
    return Order(tmp_path / "acme.toml", tmp_path / "build")


def keys(order: Order) -> dict[str, tuple[int, ...]]:
    """Return the numbers of everybody's key pairs."""
    return {stand.owner: stand.keys for stand in rotation.stands(load_inventory(order.inventory))}


def test_three_steps_for_everybody(order: Order) -> None:
    """Somebody's key would be exchanged before the other end knows it, or not at all."""
    seen = []
    for _ in range(3):
        assert rotate_keys(order, [], None, show=False, yes=True) == exit_codes.OK
        seen.append(keys(order))
    assert seen[0] == {"servers": (1, 2), "alice": (1, 2), "bob": (4, 5), "carol": ()}
    assert seen[1] == {"servers": (2, 1), "alice": (2, 1), "bob": (5, 4), "carol": ()}
    assert seen[2] == {"servers": (2,), "alice": (2,), "bob": (5,), "carol": ()}


def test_one_member_alone(order: Order) -> None:
    """One stolen key would mean a rotation of the whole fleet."""
    for expected in ((4, 5), (5, 4), (5,)):
        assert rotate_keys(order, ["bob"], None, show=False, yes=True) == exit_codes.OK
        assert keys(order) == {"servers": (1,), "alice": (1,), "bob": expected, "carol": ()}


def test_who_is_ahead_waits_for_the_others(order: Order) -> None:
    """A rotation of all, begun in the middle of one member's, would retire a key that is in use."""
    rotate_keys(order, ["bob"], None, show=False, yes=True)
    rotate_keys(order, [], None, show=False, yes=True)
    assert keys(order) == {"servers": (1, 2), "alice": (1, 2), "bob": (4, 5), "carol": ()}
    rotate_keys(order, [], None, show=False, yes=True)
    assert keys(order) == {"servers": (2, 1), "alice": (2, 1), "bob": (5, 4), "carol": ()}


def test_nothing_is_done_unasked(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """A look at where everybody stands would begin a rotation."""
    assert rotate_keys(order, [], None, show=True, yes=True) == exit_codes.OK
    assert rotate_keys(order, [], None, show=False, yes=False) == exit_codes.BAD_INPUT
    assert order.inventory.read_text() == FLEET
    said = capsys.readouterr()
    assert "  settled    servers, alice: key pair 1; next: prepare\n" in said.out
    assert "  own key    carol: their owners exchange them\n" in said.out
    assert "write --yes" in said.err


def test_pre_shared_keys_stay_and_that_is_said(order: Order, capsys: pytest.CaptureFixture[str]) -> None:
    """After a rotation of everything an operator would believe that a psk somebody copied is worth nothing."""
    order.inventory.write_text(FLEET.replace('name = "acme"', 'name = "acme"\npsk = true'))
    assert rotate_keys(order, [], None, show=False, yes=True) == exit_codes.OK
    said = capsys.readouterr().out
    assert "  psk        alice, bob, carol: stay as they are; a new one: docs/inventory.md, Keys\n" in said
    as_json = replace(order, as_json=True)
    assert rotate_keys(as_json, ["bob"], None, show=True, yes=True) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["psks"] == ["bob"]
    assert rotate_keys(order, ["alice"], None, show=False, yes=True) == exit_codes.OK
    assert "  psk        alice: stay as they are" in capsys.readouterr().out
    order.inventory.write_text(FLEET)
    assert rotate_keys(order, [], None, show=True, yes=True) == exit_codes.OK
    assert "psk" not in capsys.readouterr().out


@pytest.mark.parametrize(("who", "said"), [("carol", "brought its own public key"), ("old", "has no key pair here")])
def test_whose_key_is_not_here_is_told_what_to_do(
    order: Order, who: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would believe that a key was exchanged."""
    assert rotate_keys(order, [who], None, show=False, yes=True) == exit_codes.BAD_INPUT
    assert said in capsys.readouterr().err
    assert order.inventory.read_text() == FLEET


def test_where_all_brought_their_own_keys_nothing_is_called_exchanged(
    order: Order, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator would go through three steps in which no key changes."""
    head, tail = FLEET.split("[cluster.red.member.alice]")[0], FLEET[FLEET.index("[cluster.red.member.carol]") :]
    own = (head + tail).replace('8080" }', f'8080", public_key = "{public_key_of(new_private_key())}" }}')
    order.inventory.write_text(own)
    assert rotate_keys(order, [], None, show=False, yes=True) == exit_codes.BAD_INPUT
    assert "nobody here has a key pair that gen-config made" in capsys.readouterr().err
    assert order.inventory.read_text() == own


def test_a_folder_is_rotated_as_one(tmp_path: Path) -> None:
    """A table in another file would be left behind, and its members cut off at the end."""
    head, _, rest = FLEET.partition("[cluster.red]")
    (tmp_path / "fleet.toml").write_text(head)
    (tmp_path / "red.toml").write_text("[cluster.red]\nkey = 7" + rest)
    order = Order(tmp_path, tmp_path / "build")
    assert rotate_keys(order, [], None, show=False, yes=True) == exit_codes.OK
    red: Any = tomllib.loads((tmp_path / "red.toml").read_text())
    fleet: Any = tomllib.loads((tmp_path / "fleet.toml").read_text())
    assert red["cluster"]["red"]["key"] == [7, 8]
    assert (fleet["fleet"]["key"], fleet["fleet"]["server_key"], fleet["tag"]["office"]["key"]) == (
        [1, 2],
        [1, 2],
        [4, 5],
    )
