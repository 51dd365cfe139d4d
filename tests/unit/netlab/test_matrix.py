"""The combinations of a matrix: each differs from the fleet in what it is named after, and in nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netlab.configuration import Choice
from netlab.errors import BadInput
from netlab.matrix import combinations
from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory
from rustun.protocol.tiers import Tier

REFERENCE = Path(__file__).resolve().parents[3] / "inventory" / "reference.toml"


def fleet(**axes: tuple[object, ...]) -> Inventory:
    """Return the reference's fleet with a matrix."""
    found = load_inventory(REFERENCE)
    return replace(found, lab=replace(found.lab, matrix=tuple(axes.items())))


def test_every_combination_comes_once_in_the_order_of_the_axes() -> None:
    """A combination would not be tried, and its failure be found by a customer."""
    names = [one.name for one in combinations(fleet(cipher=("aes256", "chacha20"), mtu=(1280, 1500)))]
    assert names == ["aes256-1280", "aes256-1500", "chacha20-1280", "chacha20-1500"]


def test_each_axis_changes_what_it_says() -> None:
    """All laboratories of a matrix would be the same one."""
    axes = {"cipher": ("chacha20",), "mtu": (1300,), "tier": (Tier.SHARED,), "offload": (False,)}
    (one,) = combinations(fleet(**axes, preset=("wifi",), nat=("open",)))
    made = one.inventory
    assert one.name == "chacha20-1300-shared-no-offload-wifi-open"
    assert (made.cipher, made.minimum_tier, made.lab.preset) == ("chacha20", Tier.SHARED, "wifi")
    assert {(member.settings.mtu, member.settings.offload) for member in made.members} == {(1300, False)}
    assert {made.tier_of(member) for member in made.members} == {Tier.SHARED}
    assert {router.kind for router in made.lab.nats} == {"open"}


def test_without_a_matrix_there_is_the_fleet() -> None:
    """A laboratory of an ordinary inventory could not be made."""
    plain = fleet()
    assert [(one.name, one.inventory) for one in combinations(plain)] == [("", plain)]


def test_a_combination_is_taken_by_its_name() -> None:
    """A keeper would bring up another combination than the one that its laboratory is named after."""
    found = Choice("beijing", "chacha20").of(fleet(cipher=("aes256", "chacha20"))).inventory
    assert (found.cipher, len(found.members)) == ("chacha20", 3)
    with pytest.raises(BadInput, match='no combination "des"') as caught:
        Choice("", "des").of(fleet(cipher=("aes256", "chacha20")))
    assert caught.value.remedy == "known: aes256, chacha20"
