"""A part of a fleet by limit, and whether this machine carries it."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest

from netlab import sampling
from netlab.bench.fleets import write_fleet
from netlab.configuration import Choice, configure
from netlab.errors import BadInput, EnvironmentLacks
from netlab.layout import plan
from netlab.sampling import need_room, sample
from netlab.spec import lab_spec
from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory

EXAMPLE = Path(__file__).resolve().parents[3] / "inventory" / "example"
MOST_SECONDS = 20.0  # of this process, with a debugging interpreter on a busy machine; usually two


def example() -> Inventory:
    """Return the example's fleet."""
    return load_inventory(EXAMPLE)


@pytest.mark.parametrize(
    ("limit", "taken"),
    [
        ("hq", "ber-gw ber-db ber-build"),
        ("*-gw", "ber-gw par-gw waw-gw krk-gw"),
        ("gateway", "ber-gw par-gw waw-gw krk-gw"),
        ("hq/*-db, par-ci", "ber-db par-ci"),
        ("1", "ber-gw par-gw waw-gw road-exit"),
        ("retail,2", "waw-gw krk-gw"),
        ("ben-laptop", "ben-laptop"),
        ("ana-laptop", "road-exit ana-laptop"),
        ("laptop,1", "road-exit ana-laptop"),
        ("99", "ber-gw ber-db ber-build par-gw par-ci waw-gw krk-gw retail-erp road-exit ana-laptop ben-laptop"),
    ],
)
def test_who_is_taken(limit: str, taken: str) -> None:
    """An operator would rehearse with others than were asked for, or without the exit that all of it goes through."""
    found = sample(example(), limit)
    present = lab_spec(found.inventory).members
    assert [member.identity for member in present] == taken.split()
    assert len(found.left_out) + len(present) == 11
    assert plan(lab_spec(found.inventory))
    assert sample(example(), limit) == found


@pytest.mark.parametrize("limit", ["", " , "])
def test_without_a_limit_the_fleet_is_whole(limit: str) -> None:
    """The whole fleet's files would go to a folder of the laboratory's own."""
    fleet = example()
    found = sample(fleet, limit)
    assert found.inventory is fleet
    assert found.words() == ""


def test_who_was_left_out_is_said() -> None:
    """A rehearsal of a part would look like one of the whole."""
    assert sample(example(), "hq/*,waw-gw").words() == (
        "4 of 11 members; left out: par-gw, par-ci, krk-gw, retail-erp, road-exit, ana-laptop, ben-laptop"
    )
    assert sample(example(), "par-ci").words().endswith("retail-erp, road-exit and 2 more")


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        ("ber-dp", 'nobody who takes part is called "ber-dp"\n  did you mean "ber-db"'),
        ("hq,moon", 'is called "moon"\n  patterns of members'),
        ("0", "a number is how many members of each cluster, once, 1 or more"),
        ("1,2", "a number is how many members of each cluster"),
        ("cleo-laptop", "switched off"),
    ],
)
def test_a_limit_that_names_nobody_is_refused(limit: str, found: str) -> None:
    """A laboratory of fewer members, or of none, would be taken for what was asked for."""
    with pytest.raises(BadInput) as caught:
        sample(example(), limit)
    assert found in str(caught.value)


def test_more_members_than_the_machine_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel would end processes, of others too, and nobody would know what fits."""

    def available(members: float) -> None:
        text = f"MemAvailable: {int((sampling.SPARE_BYTES + members * sampling.MEMBER_BYTES) / 1024)} kB\n"
        (tmp_path / "meminfo").write_text(text)

    monkeypatch.setattr(sampling, "MEMORY", tmp_path / "meminfo")
    fleet = example()
    available(11)
    need_room(fleet)
    for room, remedy in ((10.5, "2"), (8, "2"), (7.5, "1"), (4, "1"), (3, "'hq/*,3'")):
        available(room)
        with pytest.raises(EnvironmentLacks) as caught:
            need_room(fleet)
        assert caught.value.remedy == f"take a part of it: --limit {remedy}", room
        need_room(sample(fleet, remedy.strip("'")).inventory)
    available(11)
    with pytest.raises(EnvironmentLacks, match="of 5 members, not of 11"):
        need_room(fleet, laboratories=2)
    available(-1)
    with pytest.raises(EnvironmentLacks, match="of 0 members, not of 11"):
        need_room(fleet)


def test_a_part_of_a_large_fleet_is_taken_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would rehearse a fleet of thousands."""
    fleet = load_inventory(write_fleet(tmp_path, clusters=50, members=60))
    monkeypatch.setattr(sampling, "allow_descriptors", lambda: 1100)
    began = process_time()
    with pytest.raises(EnvironmentLacks, match="of 250 members, not of 2944") as caught:
        need_room(fleet)
    assert caught.value.remedy == "take a part of it: --limit 5"
    found = sample(fleet, "2")
    assert len(lab_spec(found.inventory).members) == 100
    assert process_time() - began < MOST_SECONDS


def test_the_files_of_a_part_are_apart_from_those_of_the_fleet(tmp_path: Path) -> None:
    """routes.json for the real server would lose all members that a rehearsal left out."""
    fleet = load_inventory(EXAMPLE.parent / "demo.toml")
    whole = configure(EXAMPLE, fleet, tmp_path / "demo")
    part = configure(EXAMPLE, fleet, tmp_path / "demo", Choice("beijing"))
    assert whole.folder == tmp_path / "demo"
    assert part.folder == tmp_path / "demo-lab-beijing"
    assert [member.identity for member in part.spec.members] == ["bj-office-gw", "bj-dev"]
    assert part.spec.hosts == ()
