"""routes.json at run time: whole or not at all, and what is not in force is said."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Collection, Generator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rustun.backends.memory import VirtualReactor
from rustun.config.routes import RoutesFile, at_once
from rustun.errors import ConfigError
from rustun.protocol.tiers import Tier
from rustun.relay import roster
from rustun.relay.known_keys import KnownKeys
from rustun.relay.roster import POLL_SECONDS, Roster, differing


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        self.events.append((name, message))


FIRST = IPv4Address("10.0.1.0")


def entries(*names: str, **more: object) -> bytes:
    return json.dumps(
        [
            {"cluster": "c", "identity": name, "private_ip": str(FIRST + number), "mask": "255.255.255.0", **more}
            for number, name in enumerate(names, 1)
        ],
        ensure_ascii=False,
    ).encode()


class World:
    """A roster of a file that the test rewrites."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.path = folder / "routes.json"
        self.reactor = VirtualReactor()
        self.log = Log()
        self.changes: list[list[str]] = []
        self.maybe_changed: set[str] = set()
        known_keys = KnownKeys(folder / "known-keys.json", self.reactor, self.log, durable=True)
        self.roster = Roster(self.path, self.reactor, self.log, self._on_change, known_keys)
        if names:
            self.write(entries(*names))
            self.roster.load()
            self.roster.watch()

    def _on_change(self, routes: RoutesFile, maybe_changed: Collection[str]) -> None:
        self.changes.append([member.identity for member in routes.members])
        self.maybe_changed = set(maybe_changed)

    def write(self, data: bytes) -> None:
        """Replace the file as careful tools do."""
        beside = self.path.with_suffix(".new")
        beside.write_bytes(data)
        os.replace(beside, self.path)

    def poll(self) -> None:
        self.reactor.run_for(POLL_SECONDS * 2)


def test_a_change_is_in_force_within_a_second(tmp_path: Path) -> None:
    """If this fails, a removed member stays until the server is restarted."""
    world = World(tmp_path, "a", "b")
    world.poll()
    assert world.changes == [["a", "b"]]
    world.write(entries("b"))
    world.reactor.run_for(1)
    assert world.changes == [["a", "b"], ["b"]]
    assert [member.identity for member in world.roster.routes.members] == ["b"]
    assert world.roster.loaded_at == pytest.approx(world.reactor.wall_clock(), abs=1.1)


def test_a_file_written_in_place_counts_too(tmp_path: Path) -> None:
    """If this fails, an editor that does not rename is not noticed."""
    world = World(tmp_path, "a")
    world.path.write_bytes(entries("a", "b"))
    world.poll()
    assert world.changes[-1] == ["a", "b"]


@pytest.mark.parametrize("bad", [b"", b"[", b"{}", b"\xff", entries("a", "a"), entries("a", mask="x")], ids=len)
def test_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path, bad: bytes) -> None:
    """If this fails, a slip of the pen throws every member out."""
    world = World(tmp_path, "a", "b")
    world.write(bad)
    world.poll()
    assert world.changes == [["a", "b"]]
    assert world.roster.problems
    assert all(problem.isprintable() for problem in world.roster.problems), "a line of the log or the status breaks"
    assert [member.identity for member in world.roster.routes.members] == ["a", "b"]
    world.write(entries("a"))
    world.poll()
    assert world.changes[-1] == ["a"]
    assert world.roster.problems == ()
    assert world.roster.not_in_force == ()


def test_whom_the_operator_believes_to_be_out_is_named(tmp_path: Path) -> None:
    """If this fails, somebody who was thrown out stays, and nobody knows."""
    world = World(tmp_path, "a", "b", "müller")
    world.write(entries("a", name="b")[:-1] + b", 7]")
    world.poll()
    assert world.roster.not_in_force == ("b", "müller")
    assert "STILL MEMBERS although removed there: b, müller" in world.log.events[-1][1]


@pytest.mark.parametrize("data", [b"", b"[", b"garbage]", entries("a", "b")[:-40], entries("a", "b")[:30]], ids=len)
def test_of_a_file_that_is_cut_off_nobody_says_who_was_removed(tmp_path: Path, data: bytes) -> None:
    """If this fails, a full disk makes the log accuse the operator of removals that nobody made."""
    world = World(tmp_path, "a", "b")
    world.write(data)
    world.poll()
    assert world.roster.problems
    assert world.roster.not_in_force == ()
    assert "STILL MEMBERS" not in world.log.events[-1][1]
    assert "nobody can tell which removals are not in force" in world.log.events[-1][1]


@pytest.mark.parametrize("while_reading", [False, True])
def test_a_file_that_is_gone_is_a_problem_that_stays(tmp_path: Path, while_reading: bool) -> None:
    """If this fails, a status without problems hides that the file is not there any more."""
    world = World(tmp_path, "a", "b")
    if while_reading:
        world.write(entries(*(f"m{number}" for number in range(200))))
        world.roster.reload()  # its first step comes in the next turn of the loop
        world.path.unlink()
        world.roster.reload()
    else:
        world.path.unlink()
    world.poll()
    assert world.changes == [["a", "b"]]
    assert world.roster.problems
    assert world.roster.not_in_force == ()
    world.write(entries("a"))
    world.poll()
    assert world.changes[-1] == ["a"]
    assert not world.roster.problems


def test_a_large_file_is_read_in_many_short_steps(tmp_path: Path) -> None:
    """If this fails, a reload of 10,000 members stops every packet for a second."""
    world = World(tmp_path, "a")
    world.write(entries(*(f"m{number}" for number in range(2500))))
    world.roster.reload()
    turns = 0
    while len(world.changes) == 1:
        world.reactor._turn()
        turns += 1
    assert turns > 20
    assert len(world.changes[-1]) == 2500


def test_a_newer_file_replaces_one_that_is_being_read(tmp_path: Path) -> None:
    """If this fails, members of a file that is already outdated come in for a moment."""
    world = World(tmp_path, "a")
    world.write(entries(*(f"m{number}" for number in range(100))))
    world.roster.reload()
    world.write(entries("z"))
    world.roster.reload()
    world.poll()
    assert world.changes == [["a"], ["z"]]


def test_a_file_that_changes_faster_than_it_is_read_is_in_force_all_the_same(tmp_path: Path) -> None:
    """If this fails, nobody can be taken out while a script rewrites a large file again and again."""
    world = World(tmp_path, "a")
    many = [f"m{number}" for number in range(2500)]
    for change in range(40):
        world.write(entries(*many, f"change-{change}"))
        world.roster.reload()
        for _ in range(10):  # of the 20 turns that it takes at least
            world.reactor._turn()
    assert len(world.changes) > 5
    assert world.roster.is_reading
    world.poll()
    assert world.changes[-1][-1] == "change-39", "the last one was forgotten"
    assert not world.roster.is_reading


def test_nothing_is_read_after_the_end(tmp_path: Path) -> None:
    """If this fails, a server that stops takes new members in."""
    world = World(tmp_path, "a")
    world.write(entries("b"))
    world.roster.reload()
    world.roster.stop()
    world.poll()
    assert world.changes == [["a"]]


def test_a_file_that_could_not_be_read_is_read_once_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a member removed while the host was out of descriptors stays until the file changes again."""
    world = World(tmp_path, "a", "b")

    def no_descriptor(path: object, flags: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_descriptor)
        world.roster._begin()
        world.path.write_bytes(entries("a"))
        world.reactor.run_for(5)
    assert "Too many open files" in world.roster.problems[0]
    assert len(world.log.events) < 10, "said once, not at every look"
    world.poll()
    assert world.changes[-1] == ["a"]
    assert not world.roster.problems


def test_a_failure_that_nobody_foresaw_is_over_with_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, one defect of the reader freezes the set of members until the server is restarted."""
    world = World(tmp_path, "a")

    def defect(data: bytes, file: str) -> Generator[None, None, RoutesFile]:
        yield
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(roster, "parse_routes", defect)
        world.write(entries("b"))
        with pytest.raises(ZeroDivisionError):
            world.poll()
    world.write(entries("c"))
    world.poll()
    assert world.changes[-1] == ["c"]


def test_a_refused_file_of_ten_thousand_members_is_searched_once(tmp_path: Path) -> None:
    """If this fails, a half-written routes.json of a large fleet stops every packet for seconds."""
    world = World(tmp_path, "a")
    names = [f"member-{number}" for number in range(10_000)]
    data = b",".join(
        b'{"cluster": "c", "identity": "%s", "private_ip": "10.%d.%d.1", "mask": "255.0.0.0", "name": "%s"}'
        % (name.encode(), number >> 8, number & 255, b"n" * 150)
        for number, name in enumerate(names)
    )
    world.write(b"[" + data + b"]")
    world.poll()
    assert len(world.changes[-1]) == len(names)
    world.write(b"[" + b" " * len(data) + b'{"identity": "z"}]')
    world.roster._begin()
    began = time.process_time()
    world.poll()
    assert time.process_time() - began < 1.0, "0.05 here; 6 with a search for each member"
    assert world.roster.not_in_force == tuple(names)


def test_a_start_without_a_good_file_fails(tmp_path: Path) -> None:
    """If this fails, a server starts without members and looks as if it worked."""
    world = World(tmp_path)
    with pytest.raises(ConfigError):
        world.roster.load()


def test_who_may_have_changed_is_told_and_nobody_else(tmp_path: Path) -> None:
    """If this fails, a changed entry is not in force, or every change compares all members while all packets wait."""
    world = World(tmp_path, "alice", "bob", "carol", "dave")
    assert world.maybe_changed == {"alice", "bob", "carol", "dave"}
    first = {entry["identity"]: entry for entry in json.loads(entries("alice", "bob", "carol", "dave", "erin"))}
    moved = {**first["dave"], "private_ip": "10.0.1.77"}
    world.write(json.dumps([first["bob"], first["alice"], moved, first["erin"]]).encode())
    world.poll()
    assert world.changes[-1] == ["bob", "alice", "dave", "erin"]
    assert world.maybe_changed == {"carol", "dave", "erin"}


def test_who_keeps_what_the_file_lost_may_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a key that is kept for an entry is not asked for: whoever comes is let in."""
    world = World(tmp_path, "alice", "bob")

    def keep(routes: RoutesFile, _file: str) -> Generator[None, None, RoutesFile]:
        yield
        alice, bob = routes.members
        return replace(routes, members=(alice, replace(bob, tier=Tier.KEY)))

    monkeypatch.setattr(world.roster.known_keys, "keep", keep)
    world.roster.reload()
    world.poll()
    assert world.maybe_changed == {"bob"}


def test_a_large_set_is_compared_in_many_steps(tmp_path: Path) -> None:
    """If this fails, every packet waits while 10,000 members are compared."""
    members = World(tmp_path, *(f"member-{number}" for number in range(200))).roster.routes.members
    assert len(list(differing(members, members[1:]))) > len(members) // 50
    assert at_once(differing(members, members[1:])) == {"member-0"}
