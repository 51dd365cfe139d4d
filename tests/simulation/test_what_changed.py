"""What a relay tells who says what it knows already, against everything it could have told."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.web.overview import Overview, Row, overview
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import Entry, World, entry

MEMBERS = [f"m{number}" for number in range(6)]
MOMENTS = 60
HAPPENINGS = ["talk"] * 3 + ["stray", "spoof", "leave", "come", "rename", "disable", "enable", "drop", "back"]


class Reader:
    """Reads one document after the other, and applies what changed to its own rows, as a page does."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._moment: Overview | None = None

    def read(self, document: dict[str, Any], uptime_s: float) -> None:
        """Take a document in."""
        self._moment = overview({**document, "uptime_s": uptime_s}, 1000.0 + uptime_s, self._moment)
        change = self._moment.change
        if change is None:
            self.rows = deepcopy(self._moment.members)
            return
        for identity in change["gone"]:
            del self.rows[identity]
        for identity, fields in change["members"].items():
            self.rows[identity] = {**self.rows.get(identity, {}), **fields}


def address(number: int) -> str:
    """Return where a member is."""
    return f"10.0.1.{number + 2}"


def happen(world: World, dice: random.Random, entries: dict[str, Entry]) -> None:
    """Let one thing happen that a document tells of."""
    number = dice.randrange(len(MEMBERS))
    name = MEMBERS[number]
    here = next((host for host in world.hosts if host.identity == name and name in world.present), None)
    what = dice.choice(HAPPENINGS)
    if what in ("talk", "stray", "spoof") and here is not None:
        source = "172.16.0.1" if what == "spoof" else address(number)
        target = "172.16.0.9" if what == "stray" else address(dice.randrange(len(MEMBERS)))
        here.send(*[udp_packet(source, target, (1, 2), bytes(100))] * dice.randrange(1, 5))
    elif what == "leave" and here is not None:
        here.client.stop("the test stops it", lambda: None)
    elif what == "come" and here is None and entries.get(name, {}).get("enabled", True) and name in entries:
        world.online(name)
    elif what == "drop":
        entries.pop(name, None)
        world.write_routes(list(entries.values()))
    elif what == "back":
        entries.setdefault(name, entry(name, address(number)))
        world.write_routes(list(entries.values()))
    elif what in ("rename", "disable", "enable"):
        entries[name] = entry(name, address(number), name=f"name {dice.random()}", enabled=what != "disable")
        world.write_routes(list(entries.values()))


@pytest.mark.parametrize("seed", range(8))
def test_changes_tell_the_same_as_everything(make_world: MakeWorld, seed: int) -> None:
    """The dashboard shows members that left, rates of another session, or names of yesterday."""
    dice = random.Random(seed)
    entries = {name: entry(name, address(number)) for number, name in enumerate(MEMBERS)}
    world = make_world(list(entries.values()))
    world.online(*MEMBERS[:3])
    everything, changes, since = Reader(), Reader(), ""
    short = 0
    for _ in range(MOMENTS):
        happen(world, dice, entries)
        world.run(1.0)
        uptime_s = world.reactor.now()
        told = world.status(since=since)
        everything.read(world.status(), uptime_s)
        changes.read(told, uptime_s)
        assert changes.rows == everything.rows
        short += sum(not isinstance(one, dict) for one in (*told["sessions"], *told["offline"]))
        since = dice.choice([told["as_of"]] * 9 + ["", "0-7", "x"])
    assert short > MOMENTS, "most were known"


def test_a_quiet_fleet_is_told_in_few_words(make_world: MakeWorld) -> None:
    """Each second costs the relay and its dashboard all that can be said of a thousand members."""
    world = make_world([entry(name, address(number)) for number, name in enumerate(MEMBERS)])
    world.online(*MEMBERS[:3])
    world.run(1.0)
    since, sizes = "", []
    for _ in range(3):
        told = world.status(since=since)
        sizes.append(len(json.dumps([told["sessions"], told["offline"]])))
        since = told["as_of"]
    assert sizes[0] == sizes[1], "told once more: it was numbered while the first one was made"
    assert sizes[2] < sizes[0] / 8
    assert [len(one) for one in told["sessions"]] == [9, 9, 9]
    assert [type(one) for one in told["offline"]] == [int, int, int]
