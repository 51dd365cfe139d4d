"""Keys that were known once: who keeps them, who is held, and what is believed of the file that remembers them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config import Member, RoutesFile
from rustun.config.keys import Secret, encode_key
from rustun.config.known_keys import (
    FORGET_SECONDS,
    Kept,
    keep_keys,
    read_known_keys,
    writing_problem,
)
from rustun.config.known_keys_text import Known, Remembered, encode_known_keys
from rustun.config.routes import at_once
from rustun.errors import ConfigError
from rustun.protocol.tiers import Tier
from tests.fuzz.decoders import counted_calls
from tests.members import member

CALLS_PER_STEP = 12_000  # 1 to 2 ms; the last step adds up 10,000 short names
A, B, C = (bytes([9 + number]) + bytes(31) for number in range(3))


def entry(identity: str, *keys: bytes, tier: Tier | None = None) -> Member:
    return replace(member(identity), public_keys=keys, tier=tier)


def of(**keys: tuple[bytes, ...]) -> Known:
    return {identity: Remembered(its) for identity, its in keys.items()}


def kept(known: Known | None, *members: Member, now: float = 0.0) -> Kept:
    return at_once(keep_keys(RoutesFile(members, ()), known, "routes.json", now, lasting=True))


def test_an_entry_keeps_the_keys_that_it_lost() -> None:
    """A tool that rewrites routes.json without `public_key` opens every member to whoever has the shared key."""
    found = kept(of(a=(A, B)), entry("a"), entry("b"))
    assert found.routes.members == (entry("a", A, B), entry("b"))
    assert found.known == of(a=(A, B))
    assert (found.keeping, found.held) == (("a",), ())
    (note,) = found.notes
    assert note.level == "warning"
    assert note.reason == '1 member lost the public_key; the server goes on with what it knew: "a"'
    assert '"tier"' in note.remedy


@pytest.mark.parametrize("word", [entry("a", B), entry("a", tier=Tier.SHARED), entry("a", tier=Tier.LEGACY)])
def test_the_word_of_an_entry_holds(word: Member) -> None:
    """A member stays with a key that its operator has taken from it."""
    found = kept(of(a=(A,)), word)
    assert found.routes.members == (word,)
    assert found.known == (of(a=(B,)) if word.public_keys else {})
    assert not found.notes


def test_an_identity_is_forgotten_a_day_after_it_went() -> None:
    """A tool that empties the file for a moment opens everybody, or a key stays with an identity for ever."""
    gone = kept(of(a=(A,)), entry("b"), now=5.0).known
    assert gone == {"a": Remembered((A,), gone_at=5.0)}
    later = kept(gone, entry("b"), now=4.0 + FORGET_SECONDS).known
    assert later == gone
    assert kept(later, entry("a"), now=4.0 + FORGET_SECONDS).known == of(a=(A,))
    assert kept(later, entry("a"), now=5.0 + FORGET_SECONDS).routes.members == (entry("a"),)
    assert kept(later, entry("b"), now=5.0 + FORGET_SECONDS).known == {}
    assert kept(later, entry("a", tier=Tier.SHARED), now=6.0).known == {}


def test_a_rewrite_lets_nobody_in_who_was_out(tmp_path: Path) -> None:
    """A tool that knows none of our keys brings back who was disabled, expired, or had a psk."""
    psk = tmp_path / "a.psk"
    psk.touch(0o600)
    psk.write_text(encode_key(C) + "\n")
    end = datetime(2027, 1, 1, tzinfo=UTC)
    full = replace(entry("a", A), psk_file=str(psk), psk=Secret(encode_key(C)), enabled=False, expires_at=end)
    known = kept({}, full).known
    bare = kept(known, entry("a"))
    assert bare.routes.members == (full,)
    assert bare.known == known
    psk.unlink()
    (held,) = kept(known, entry("a")).routes.members
    assert (held.public_keys, held.tier) == ((), Tier.KEY)
    assert kept(known, entry("a")).known == known
    assert kept(known, entry("a", A)).routes.members == (entry("a", A),), "the operator's word for all of them"


def test_a_key_that_went_to_another_entry_is_not_kept() -> None:
    """Two members have one key: whoever has it comes in as either."""
    found = kept(of(a=(A, B)), entry("a"), entry("b", A))
    assert found.routes.members == (entry("a", B), entry("b", A))
    held = kept(of(a=(A,)), entry("a"), entry("b", A))
    assert held.routes.members == (entry("a", tier=Tier.KEY), entry("b", A))
    assert held.held == ("a",)
    assert "another entry has its key now" in held.notes[0].reason
    again = kept(held.known, entry("a"), entry("b", C))
    assert again.held == ("a",), "it had a key, so it does not come in without one"


def test_a_key_that_moved_on_does_not_come_back_with_who_had_it() -> None:
    """A tool brings back a member that is gone, and whoever has its key by now comes in as that one as well."""
    moved = kept(of(a=(A, C)), entry("b", A)).known
    assert moved == {"a": Remembered((C,), gone_at=0.0), "b": Remembered((A,))}
    assert kept(moved, entry("a"), entry("b")).routes.members == (entry("a", C), entry("b", A))
    found = kept(kept(of(a=(A,)), entry("b", A)).known, entry("a"), entry("b"))
    assert found.routes.members == (entry("a", tier=Tier.KEY), entry("b", A))
    assert found.held == ("a",)


def test_nothing_is_weakened_where_nobody_knows() -> None:
    """Garbage in the file of known keys opens those members that lost theirs."""
    found = kept(None, entry("a"), entry("b", B), entry("c", tier=Tier.SHARED))
    assert found.routes.members == (entry("a", tier=Tier.KEY), entry("b", B), entry("c", tier=Tier.SHARED))
    assert found.known is None
    assert "nobody can tell" in found.notes[0].reason
    settled = kept(None, entry("b", B), entry("c", tier=Tier.SHARED))
    assert settled.known == of(b=(B,))
    assert not settled.notes
    assert kept(None).known is None, "a tool that empties the file for a moment settles nothing"


def write(path: Path, known: Known) -> Path:
    path.touch(0o600)
    path.write_bytes(b"".join(encode_known_keys(known)))
    return path


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXTS, st.lists(st.sampled_from([A, B, C]), max_size=2)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, known: dict[str, list[bytes]]) -> None:
    """An identity with unusual letters loses its key, or makes the whole file unreadable."""
    wanted = {identity: Remembered(tuple(keys)) for identity, keys in known.items()}
    assert read_known_keys(write(tmp_path_factory.mktemp("known") / "known.json", wanted)) == wanted


def test_no_file_is_nothing_known(tmp_path: Path) -> None:
    """A first start holds every member back."""
    assert read_known_keys(tmp_path / "none.json") == {}


GOOD = b"".join(encode_known_keys(of(a=(A,), b=(B,))))


@pytest.mark.parametrize("end", range(len(GOOD) - 1))
def test_a_cut_file_is_garbage(tmp_path: Path, end: int) -> None:
    """A file that was cut off counts as one that knows less."""
    path = write(tmp_path / "known.json", {})
    path.write_bytes(GOOD[:end])
    with pytest.raises(ConfigError):
        read_known_keys(path)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema": 2, "keys": {}}',
        '{"schema": 3, "known": {}}',
        '{"schema": 2, "known": {"a": {"public_key": [], "enabled": 0}}}',
        '{"schema": 1, "keys": []}',
        '{"schema": 1, "keys": {"a": "x"}}',
        '{"schema": 1, "keys": {"a": ["x"]}}',
        '{"schema": 1, "keys": {"a": [7]}}',
        json.dumps({"schema": 1, "keys": {"a": [encode_key(A)] * 3}}),
        '{"schema": 1, "keys": {"a": []}, "keys": {}}',
        '{"schema": 2, "known": {"a": {"public_key": [], "gone_at": true}}}',
        r'{"schema": 2, "known": {"\ud800": {"public_key": []}}}',
        "[" * 100_000,
        "\0",
        "\N{SNOWMAN}",
    ],
)
def test_garbage_is_garbage(tmp_path: Path, text: str) -> None:
    """Something else than a list of known keys is believed, or ends in a traceback."""
    path = write(tmp_path / "known.json", {})
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_known_keys(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("gone_at", ["1e999", "1" + 400 * "0"])
def test_a_time_that_is_none_is_harmless(tmp_path: Path, gone_at: str) -> None:
    """A number in the file that no clock shows ends the server's start in a traceback."""
    path = write(tmp_path / "known.json", {})
    path.write_text(f'{{"schema": 2, "known": {{"a": {{"public_key": ["{encode_key(A)}"], "gone_at": {gone_at}}}}}}}')
    assert kept(read_known_keys(path), entry("b"), now=5.0).known == {"a": Remembered((A,), gone_at=5.0)}


@given(st.binary(max_size=200) | st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)))
def test_any_damage_is_found_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes | tuple[int, int]
) -> None:
    """Damaged bytes end in a traceback when the server starts, or in a key that X25519 does not make."""
    data = damage if isinstance(damage, bytes) else GOOD[: damage[0]] + bytes([damage[1]]) + GOOD[damage[0] + 1 :]
    path = write(tmp_path_factory.mktemp("known") / "known.json", {})
    path.write_bytes(data)
    try:
        known = read_known_keys(path)
    except ConfigError:
        return
    assert all(len(key) == 32 for one in known.values() for key in one.public_keys)


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    """Any user of the host takes a member's key out of the list, and its protection with it."""
    path = write(tmp_path / "known.json", of(a=(A,)))
    for mode in (0o620, 0o602, 0o666):
        path.chmod(mode)
        with pytest.raises(ConfigError, match="may be written by others"):
            read_known_keys(path)
    path.chmod(0o644)
    assert read_known_keys(path) == of(a=(A,)), "public keys are public"


def test_the_file_is_guarded_as_keys_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user of the host puts a list of his own in the place of the file: whom it names is in."""
    path = write(tmp_path / "known.json", of(a=(A,)))
    link = tmp_path / "link.json"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_known_keys(link)
    tmp_path.chmod(0o707)
    for file in (path, tmp_path / "none.json"):
        with pytest.raises(ConfigError, match="others may put another"):
            read_known_keys(file)
    assert writing_problem(path) is not None
    tmp_path.chmod(0o700)
    status = os.lstat(path)
    fields = list(status)
    fields[4] = 54_321
    monkeypatch.setattr("rustun.config.known_keys.os.lstat", lambda path: os.stat_result(fields))
    with pytest.raises(ConfigError, match="belongs to user 54321"):
        read_known_keys(path)


def test_the_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    """An update of the program forgets every key."""
    path = write(tmp_path / "known.json", {})
    path.write_text(json.dumps({"schema": 1, "keys": {"a": [encode_key(A)], "b": []}}))
    assert read_known_keys(path) == of(a=(A,), b=())


def test_what_cannot_be_written_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are not remembered, and the operator learns it after the restart that needed them."""
    assert writing_problem(tmp_path / "known.json") is None
    assert writing_problem(tmp_path / "made" / "known.json") is None
    assert writing_problem(tmp_path / "not" / "made" / "known.json") is not None
    monkeypatch.setattr("os.access", lambda path, mode, effective_ids: False)
    problem = writing_problem(tmp_path / "a folder" / "known.json")
    assert problem is not None
    assert "run: sudo install -d -o " in problem.remedy
    assert f"'{tmp_path}/a folder'" in problem.remedy


def test_each_psk_file_is_a_step_of_its_own(tmp_path: Path) -> None:
    """A relay stands still while it reads the psk_files of as many members as it otherwise takes in one step."""
    path = tmp_path / "a.psk"
    path.touch(0o600)
    path.write_text(encode_key(C) + "\n")
    known = {f"m{number}": Remembered((number.to_bytes(32),), str(path)) for number in range(50)}
    steps = keep_keys(RoutesFile(tuple(map(entry, known)), ()), known, "routes.json", 0.0, lasting=True)
    assert len(list(steps)) > len(known)


def test_ten_thousand_members_in_short_steps() -> None:
    """Keys that a whole fleet lost stop every packet of a running relay."""
    keys = {f"m{number}": Remembered((number.to_bytes(32),)) for number in range(10_000)}
    members = tuple(entry(identity) for identity in keys)
    keeping = keep_keys(RoutesFile(members, ()), keys, "routes.json", 0.0, lasting=True)
    for steps in (keeping, encode_known_keys(keys)):
        calls: list[int] = []
        left = True
        while left:
            made: list[object] = []
            calls.append(counted_calls(lambda made=made, steps=steps: made.extend(islice(steps, 1))))  # type: ignore[misc]
            left = bool(made)
        assert len(calls) > 30
        assert max(calls) < CALLS_PER_STEP
