"""What protects a member, remembered: an entry that loses its public key does not lose its protection.

Without a `public_key` an entry is held to `minimum_tier` only, and another tool that rewrites routes.json may not know
that key, nor `psk_file`, `enabled` and `expires_at`. So these are lost by the operator's word alone.

Rules of this module
  1. The word of an entry is a `public_key`, or a `tier` (then it has no key): the entry counts as it stands, and what
     is remembered of its identity is what it says. Of entries that never had a key nothing is remembered.
  2. An entry without either keeps the keys that were known, as if they stood there. So it does with `psk_file` and
     `expires_at` unless it has others, and it stays disabled if it was. Where another entry has its keys now, or its
     psk_file cannot be read, it is held to the key tier without one: nobody can come in as this member.
  3. Where nobody can tell what was known, every entry without either is held like that. A file without entries does
     not settle it: those that a tool brings back later might be had without a key.
  4. An identity that is gone from the file is forgotten after FORGET_SECONDS of wall clock: a tool may empty the file
     for a moment. A key that another entry has by now is not remembered of it: a key has one owner.
  5. The file that remembers is a regular file of root or this user, in folders where nobody else may exchange it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from rustun.config.advice import counted, named
from rustun.config.files import MAX_ROUTES_BYTES, decode, read_bytes, user_name
from rustun.config.findings import Complaint, config_error
from rustun.config.keys import judge_folders, judge_owner, read_psk
from rustun.config.known_keys_text import MEMBERS_PER_STEP, Known, Remembered, parse_known_keys
from rustun.config.member import Member
from rustun.config.routes import RoutesFile, at_once
from rustun.config.server import ServerConfig
from rustun.errors import ConfigError, Problem
from rustun.protocol.tiers import Tier

FORGET_SECONDS: Final = 24 * 3600
MAX_GONE: Final = 100_000  # identities that are remembered although no entry names them


class Held(NamedTuple):
    """A member that nobody can come in as, why, and what helps."""

    member: Member
    why: str
    remedy: str = 'write "public_key", or "tier", into each'


@dataclass(frozen=True, slots=True)
class Kept:
    """Members with the protection that they had before, and what is remembered from now on.

    Attributes:
        routes: the members in force.
        known: None as long as nobody can tell what was known before and a member is held because of that, or none is
            there.
        keeping: identities whose entries have lost their keys.
        held: identities that cannot come in until the operator has spoken.
        notes: what the operator has to know about these.
    """

    routes: RoutesFile
    known: Known | None
    keeping: tuple[str, ...]
    held: tuple[str, ...]
    notes: tuple[Problem, ...]


def keep_keys(
    routes: RoutesFile, known: Known | None, file: str, now: float, *, lasting: bool
) -> Generator[None, None, Kept]:
    """Put what was known into the entries that have lost their keys, in short steps.

    Args:
        routes: as the file has them.
        known: from before; None when that cannot be read.
        file: how messages call routes.json; a remembered psk_file is relative to its folder.
        now: unix seconds.
        lasting: whether the next start will know all this too.

    Returns: as the generator's return value.
    """
    claimed = {key for member in routes.members for key in member.public_keys}
    yield
    members: list[Member] = []
    present: dict[str, Remembered] = {}
    keeping: list[Member] = []
    held: list[Held] = []
    for number, member in enumerate(routes.members, start=1):
        if member.public_keys:
            present[member.identity] = Remembered(
                member.public_keys, member.psk_file, member.enabled, member.expires_at
            )
        elif member.tier is None and known is None:
            member = replace(member, tier=Tier.KEY)
            held.append(Held(member, "nobody can tell whether there was a key"))
        elif member.tier is None and known and (was := known.get(member.identity)) and not _forgotten(was, now):
            member, present[member.identity], shut = _protect(member, was, claimed, Path(file).parent)
            if shut is None:
                keeping.append(member)
            else:
                held.append(shut)
            if was.psk_file:
                yield  # reading the file takes as long as many members do
        members.append(member)
        if not number % MEMBERS_PER_STEP:
            yield
    in_doubt = known is None and (bool(held) or not members)
    gone = yield from _gone(known or {}, {member.identity for member in members}, claimed, now)
    return Kept(
        replace(routes, members=tuple(members)),
        None if in_doubt else {**gone, **present},
        tuple(member.identity for member in keeping),
        tuple(one.member.identity for one in held),
        tuple(_notes(file, keeping, held, lasting=lasting)),
    )


def _protect(
    member: Member, was: Remembered, claimed: set[bytes], folder: Path
) -> tuple[Member, Remembered, Held | None]:
    """Return the member in force, what is remembered of it, and, when nobody can come in as it, why."""
    known = Remembered(
        _unclaimed(was, claimed),
        member.psk_file or was.psk_file,
        member.enabled and was.enabled,
        member.expires_at or was.expires_at,
    )
    kept = replace(
        member,
        public_keys=known.public_keys,
        psk_file=known.psk_file,
        enabled=known.enabled,
        expires_at=known.expires_at,
    )
    if not known.public_keys:
        shut = replace(kept, tier=Tier.KEY)
        return shut, known, Held(shut, "another entry has its key now")
    if kept.psk is None and known.psk_file:
        try:
            kept = replace(kept, psk=read_psk(folder / known.psk_file))
        except Complaint as complaint:
            shut = replace(kept, public_keys=(), tier=Tier.KEY)
            words = f"{complaint.reason}: {complaint.remedy}"
            return shut, known, Held(shut, "its psk_file, which the entry lost too, cannot be used", words)
    return kept, known, None


def _gone(
    known: Known, present: set[str], claimed: set[bytes], now: float
) -> Generator[None, None, dict[str, Remembered]]:
    """Return what is still remembered of identities that no entry has, those that went first in front."""
    gone: dict[str, Remembered] = {}
    for number, (identity, was) in enumerate(known.items(), start=1):
        if identity not in present and not _forgotten(was, now):
            since = now if was.gone_at is None else min(was.gone_at, now)
            gone[identity] = was._replace(public_keys=_unclaimed(was, claimed), gone_at=since)
        if not number % MEMBERS_PER_STEP:
            yield
    return dict(islice(gone.items(), max(0, len(gone) - MAX_GONE), None)) if len(gone) > MAX_GONE else gone


def _unclaimed(was: Remembered, claimed: set[bytes]) -> tuple[bytes, ...]:
    return tuple(key for key in was.public_keys if key not in claimed)


def _forgotten(was: Remembered, now: float) -> bool:
    return was.gone_at is not None and now - was.gone_at >= FORGET_SECONDS


def _notes(file: str, keeping: list[Member], held: list[Held], *, lasting: bool) -> Iterator[Problem]:
    if keeping:
        until = "" if lasting else " until its next start, which locks them out"
        lost = f"{counted(keeping)} lost the public_key"
        reason = f"{lost}; the server goes on with what it knew{until}: {named(keeping)}"
        word = 'write "public_key" again, or "tier" if a lower one will do; nothing else makes the server forget a key'
        yield Problem(file, keeping[0].line, "", reason, word, "warning")
    for why in dict.fromkeys(one.why for one in held):
        shut = [one for one in held if one.why == why]
        members = [one.member for one in shut]
        reason = f"{counted(members)} without public_key and tier cannot come in, since {why}: {named(members)}"
        yield Problem(file, members[0].line, "", reason, shut[0].remedy, "warning")


def read_known_keys(path: Path) -> Known:
    """Return what a server has written there; nothing where there is no file.

    Raises: ConfigError: it cannot be read, is not what a server writes, or others may write or exchange it.
    """
    file = str(path)
    try:
        if not _is_there(path):
            return {}
        data = read_bytes(path, MAX_ROUTES_BYTES)
    except Complaint as complaint:
        raise config_error(file, complaint.reason, f"look at it, then {complaint.remedy}") from None
    remedy = "put back a copy of it; without one, remove it once each entry of routes.json says public_key or tier"
    try:
        return parse_known_keys(decode(file, data))
    except Complaint as complaint:
        reason = f"is not a list of known keys: {complaint.reason}"
        raise config_error(file, reason, remedy) from None


def _is_there(path: Path) -> bool:
    """Judge the file's owner, type, mode and place; False when it is not there. Raises: Complaint."""
    try:
        if os.path.exists(path.parent):
            judge_folders("it", path.parent.resolve() / path.name)
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # what is wrong is said where it is read
    if not stat.S_ISREG(status.st_mode):
        raise Complaint("is not a regular file", f"run: rm {shlex.quote(str(path))}")
    judge_owner("it", path, status)
    if status.st_mode & 0o022:
        raise Complaint("may be written by others: who wrote it?", f"run: chmod 600 {shlex.quote(str(path))}")
    return True


def writing_problem(path: Path) -> Problem | None:
    """Return why this user could not write the file, or not safely, or None; its folder may have to be made."""
    folder = path.parent
    place = folder if os.path.exists(folder) else folder.parent  # Path.exists raises where a folder on the way is shut
    who = user_name(os.geteuid())
    if os.path.lexists(path):
        means = "so it still says of keys what has changed since, and the next start believes it"
    else:
        means = "so what an entry loses while the server is down is not noticed"
    remedy = f"run: sudo install -d -o {who} {shlex.quote(str(folder))}, or write known_keys_file"
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return _unwritable(path, f"{who} cannot write it, {means}", remedy)
    try:
        judge_folders("it", place.resolve() / path.name)
    except Complaint as complaint:
        return _unwritable(path, f"{complaint.reason}: it is not written, {means}", complaint.remedy)
    except OSError as error:
        return _unwritable(path, f"cannot be written: {error.strerror}, {means}", remedy)
    return None


def _unwritable(path: Path, reason: str, remedy: str) -> Problem:
    return Problem(str(path), 0, "security_config.known_keys_file", reason, remedy, "warning")


def judge_known_keys(routes: RoutesFile, config: ServerConfig, now: float) -> Kept:
    """Return what a server that started now (unix seconds) would make of its members, at once, for `check`."""
    path, known = config.security.known_keys_file, None
    problems: list[Problem] = []
    try:
        known = read_known_keys(path)
    except ConfigError as error:
        problems += (replace(problem, level="warning") for problem in error.problems)
    is_kept = keeps_on_disk(path, durable=config.security.remembers_keys)
    kept = at_once(keep_keys(routes, known, str(config.routes_file), now, lasting=is_kept))
    if is_kept and kept.known and (problem := writing_problem(path)):
        problems.append(problem)
    return replace(kept, notes=(*kept.notes, *problems))


def keeps_on_disk(path: Path, *, durable: bool) -> bool:
    """Tell whether a server writes the file: where it has to, and where there is one, which would be wrong one day."""
    return durable or os.path.lexists(path)
