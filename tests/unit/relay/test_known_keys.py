"""A server's memory of its members' keys: over edits, restarts, full disks and garbage."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Collection
from pathlib import Path

import pytest

from rustun.backends.memory import VirtualReactor
from rustun.config.keys import encode_key
from rustun.config.known_keys import read_known_keys
from rustun.config.routes import RoutesFile
from rustun.relay.known_keys import KnownKeys
from rustun.relay.roster import Roster

A, B = (encode_key(bytes([9 + number]) + bytes(31)) for number in range(2))
Entry = dict[str, object]


def entry(identity: str, number: int = 1, **more: object) -> Entry:
    return {"cluster": "c", "identity": identity, "private_ip": f"10.0.1.{number}", "mask": "255.255.255.0", **more}


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def event(self, level: str, name: str, message: str, /, **fields: object) -> None:
        if name in ("key-kept", "known-keys-unreadable", "known-keys-unwritable"):
            self.warnings.append(message)


class Server:
    """The part of a server that knows its members; made anew it is the same server, started again."""

    def __init__(self, folder: Path, *members: Entry, durable: bool = True) -> None:
        self.file = folder / "routes.json"
        self.state = folder / "state" / "known-keys.json"
        self.reactor = VirtualReactor()
        self.log = Log()
        self.known_keys = KnownKeys(self.state, self.reactor, self.log, durable=durable)
        self.roster = Roster(self.file, self.reactor, self.log, self._on_change, self.known_keys)
        self.in_force: dict[str, str] = {}
        self.write(*members)
        self.roster.load()
        self.reactor.run_for(0.1)

    def _on_change(self, routes: RoutesFile, _maybe: Collection[str]) -> None:
        self.in_force = {
            member.identity: " ".join(map(encode_key, member.public_keys)) or str(member.tier)
            for member in routes.members
        }

    def write(self, *members: Entry) -> None:
        self.file.write_text(json.dumps(members))

    def edit(self, *members: Entry) -> None:
        """Write the file and let the running server take it."""
        self.write(*members)
        self.roster.reload()
        self.reactor.run_for(0.1)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_key_is_lost_by_word_only(tmp_path: Path, restarted: bool) -> None:
    """A tool that rewrites routes.json, also while the server is down, opens a member to the shared key's holders."""
    server = Server(tmp_path, entry("a", public_key=A), entry("b", 2))

    def then(*members: Entry) -> dict[str, str]:
        nonlocal server
        if restarted:
            server = Server(tmp_path, *members)
        else:
            server.edit(*members)
        return server.in_force

    assert then(entry("a"), entry("b", 2)) == {"a": A, "b": "None"}
    assert server.known_keys.keeping == ("a",)
    assert '1 member lost the public_key; the server goes on with what it knew: "a"' in server.known_keys.alarms[0]
    assert then(entry("a", tier="shared"), entry("b", 2)) == {"a": "shared", "b": "None"}
    assert not server.known_keys.alarms
    assert then(entry("a"), entry("b", 2)) == {"a": "None", "b": "None"}, "the word was given"
    assert then(entry("a", public_key=B), entry("b", 2))["a"] == B
    assert then(entry("b", 2)) == {"b": "None"}
    assert then(entry("a"), entry("b", 2))["a"] == B, "gone for a moment"


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    """A file that is refused makes the server forget a key, or give up what it was writing."""
    server = Server(tmp_path)
    server.write(entry("a", public_key=A))
    server.roster.reload()
    while not server.in_force:
        server.reactor._turn()
    server.edit({"identity": "a"})
    assert server.roster.problems
    assert list(read_known_keys(server.state)) == ["a"]
    server.edit(entry("a"))
    assert server.in_force == {"a": A}


def test_nothing_is_written_without_need(tmp_path: Path) -> None:
    """A server of members without keys, or of the key tier alone, leaves files on a host that nobody asked for."""
    assert not Server(tmp_path, entry("a")).state.parent.exists()
    server = Server(tmp_path, entry("a", public_key=A), durable=False)
    assert not server.state.parent.exists()
    server.edit(entry("a"))
    assert server.in_force == {"a": A}, "while it runs it knows"
    server.known_keys.configure(server.state, durable=True)
    server.reactor.run_for(0.1)
    assert Server(tmp_path, entry("a")).in_force == {"a": A}


def test_a_file_that_is_there_is_kept_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that was taken from a member comes back with a restart, from a file that nobody wrote any more."""
    server = Server(tmp_path, entry("a", public_key=A))
    server.known_keys.configure(server.state, durable=False)
    server.edit(entry("a", public_key=B))
    assert Server(tmp_path, entry("a"), durable=False).in_force == {"a": B}
    monkeypatch.setattr("os.access", lambda path, mode, effective_ids: False)
    server.edit(entry("a", public_key=A))
    assert any("the next start believes it" in alarm for alarm in server.known_keys.alarms)


def test_another_file_counts_at_once(tmp_path: Path) -> None:
    """A reload says that server.toml is in force, and the keys go on into the file that it no longer names."""
    server = Server(tmp_path, entry("a", public_key=A))
    server.known_keys.configure(tmp_path / "other.json", durable=True)
    server.reactor.run_for(0.1)
    assert list(read_known_keys(tmp_path / "other.json")) == ["a"]


def test_who_knows_in_memory_only_says_so(tmp_path: Path) -> None:
    """The next start locks a member out, and nobody was told."""
    server = Server(tmp_path, entry("a", public_key=A), durable=False)
    server.edit(entry("a"))
    assert any("until its next start" in alarm for alarm in server.known_keys.alarms)


def test_the_file_is_for_this_user_and_whole(tmp_path: Path) -> None:
    """Another user takes a key out of the file, or a crash leaves half of it."""
    before = os.umask(0)
    try:
        server = Server(tmp_path, entry("a", public_key=A))
    finally:
        os.umask(before)
    assert server.state.stat().st_mode & 0o777 == 0o600
    assert server.state.parent.stat().st_mode & 0o022 == 0
    first = server.state.stat().st_ino
    draft = server.state.with_name(server.state.name + ".new")
    draft.write_text("what a crash left")
    draft.chmod(0o644)
    server.edit(entry("a", public_key=B))
    assert server.state.stat().st_ino != first, "replaced, not written over"
    assert server.state.stat().st_mode & 0o777 == 0o600
    assert not draft.exists()
    assert Server(tmp_path, entry("a")).in_force == {"a": B}


def test_it_is_written_in_many_turns_and_finished_at_the_end(tmp_path: Path) -> None:
    """A fleet that gets its keys stops every packet for as long as the disk takes, or loses them with the next stop."""
    members = [entry(f"m{number}", public_key=encode_key(number.to_bytes(31) + b"\1")) for number in range(1000, 3000)]
    for number, member in enumerate(members):
        member["private_ip"] = f"10.0.{number // 250}.{number % 250 + 1}"
    server = Server(tmp_path)
    server.write(*members)
    server.roster.reload()
    turns = 0
    while not server.in_force:
        server.reactor._turn()
    while not server.state.exists():
        server.reactor._turn()
        turns += 1
    assert turns > 5
    server.write(*members[:1900])
    server.roster.reload()
    while len(server.in_force) > 1900:
        server.reactor._turn()
    server.roster.stop()
    assert sum(one.gone_at is None for one in read_known_keys(server.state).values()) == 1900


def test_a_file_without_entries_settles_no_doubt(tmp_path: Path) -> None:
    """A tool that empties routes.json for a moment makes a server forget that it could not read what it knew."""
    Server(tmp_path, entry("a", public_key=A)).state.write_text("garbage")
    server = Server(tmp_path)
    assert server.state.read_text() == "garbage"
    assert server.known_keys.alarms
    server.edit(entry("a"))
    assert server.in_force == {"a": "key"}


def test_a_change_that_is_taken_back_while_it_is_written(tmp_path: Path) -> None:
    """A mistake that its operator mends at once is what the next start believes."""
    others = [
        entry(f"m{number}", number, public_key=encode_key(bytes([number, 7]) + bytes(30))) for number in range(2, 250)
    ]
    server = Server(tmp_path, entry("a", public_key=A), *others)
    server.write(entry("a", tier="shared"), *others)
    server.roster.reload()
    while server.in_force["a"] == A:
        server.reactor._turn()
    server.write(entry("a", public_key=A), *others)
    server.roster.load()
    server.reactor.run_for(0.1)
    assert read_known_keys(server.state)["a"].public_keys
    assert [path.name for path in server.state.parent.iterdir()] == [server.state.name]


def test_a_file_that_was_removed_is_written_again(tmp_path: Path) -> None:
    """A clean-up of the host opens every member at the next start, although the server knew its key all the time."""
    server = Server(tmp_path, entry("a", public_key=A))
    server.state.unlink()
    server.edit(entry("a"))
    assert Server(tmp_path, entry("a")).in_force == {"a": A}


@pytest.mark.parametrize("kind", ["fifo", "hard link", "symbolic link"])
def test_what_lies_under_the_drafts_name_is_not_opened(tmp_path: Path, kind: str) -> None:
    """In a folder such as /tmp any user of the host stops the server for good, or has it write over another file."""
    server = Server(tmp_path, entry("a", public_key=A))
    draft, other = server.state.with_name(server.state.name + ".new"), tmp_path / "other"
    other.write_text("precious")
    if kind == "fifo":
        os.mkfifo(draft)
    elif kind == "hard link":
        draft.hardlink_to(other)
    else:
        draft.symlink_to(other)
    server.edit(entry("a", public_key=B))
    assert Server(tmp_path, entry("a")).in_force == {"a": B}
    assert other.read_text() == "precious"


def test_a_psk_file_whose_name_is_not_utf8_is_remembered(tmp_path: Path) -> None:
    """One file with an odd name, and no key of any member is written any more."""
    psk = tmp_path / os.fsdecode(b"\xff.psk")
    psk.touch(0o600)
    psk.write_text(A + "\n")
    server = Server(tmp_path, entry("a", public_key=A, psk_file=psk.name))
    assert read_known_keys(server.state)["a"].psk_file == psk.name


@pytest.mark.parametrize("garbage", ["", "{", '{"schema": 1, "keys": {"a": ["x"]}}'])
def test_garbage_weakens_nobody(tmp_path: Path, garbage: str) -> None:
    """A damaged file of known keys opens every member whose entry lost its key while nothing ran."""
    Server(tmp_path, entry("a", public_key=A))
    state = tmp_path / "state" / "known-keys.json"
    state.write_text(garbage)
    server = Server(tmp_path, entry("a"), entry("b", 2, tier="shared"), entry("c", 3, public_key=B))
    assert server.in_force == {"a": "key", "b": "shared", "c": B}
    assert len(server.known_keys.alarms) == 2
    assert any("is not a list of known keys" in line for line in server.log.warnings)
    assert state.read_text() == garbage, "what is in doubt is not settled by a restart"
    server.edit(entry("a", public_key=A), entry("b", 2, tier="shared"), entry("c", 3, public_key=B))
    assert not server.known_keys.alarms
    assert set(read_known_keys(state)) == {"a", "c"}


def test_a_file_mended_or_removed_settles_the_doubt(tmp_path: Path) -> None:
    """An operator who puts the file right has to restart the server, and cut everybody off, before it helps."""
    Server(tmp_path, entry("a", public_key=A))
    state = tmp_path / "state" / "known-keys.json"
    good = state.read_text()
    state.write_text("garbage")
    server = Server(tmp_path, entry("a"), entry("b", 2))
    assert server.in_force == {"a": "key", "b": "key"}
    state.write_text(good)
    server.edit(entry("a"), entry("b", 2))
    assert server.in_force == {"a": A, "b": "None"}
    state.write_text("garbage")
    server = Server(tmp_path, entry("a"), entry("b", 2))
    state.unlink()
    server.edit(entry("a"), entry("b", 2))
    assert server.in_force == {"a": "None", "b": "None"}
    assert not server.known_keys.alarms


def test_a_full_disk_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are not remembered, nobody knows, and they never will be."""
    server = Server(tmp_path, entry("a", public_key=A))
    before = server.state.read_bytes()

    def full(old: object, new: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        server.edit(entry("a", public_key=B))
    assert server.in_force == {"a": B}, "what the operator wrote is in force all the same"
    assert server.state.read_bytes() == before
    (alarm,) = server.known_keys.alarms
    assert "cannot be written: No space left on device" in alarm
    server.roster.reload()
    server.reactor.run_for(0.1)
    assert not server.known_keys.alarms
    assert Server(tmp_path, entry("a")).in_force == {"a": B}


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator learns from an attack that known keys were not remembered."""
    monkeypatch.setattr("os.access", lambda path, mode, effective_ids: False)
    assert not Server(tmp_path, entry("a")).known_keys.alarms
    server = Server(tmp_path, entry("a", public_key=A))
    (alarm,) = server.known_keys.alarms
    assert "cannot write it" in alarm
    assert "run: sudo install -d -o" in alarm
    assert server.log.warnings == [alarm]
    assert not server.state.exists()
    server.known_keys.configure(server.state, durable=False)
    assert not server.known_keys.alarms, "in the key tier nothing depends on it"
