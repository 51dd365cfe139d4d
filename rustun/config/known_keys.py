"""Public keys that were known once: an entry that loses its key does not lose its protection.

Without a `public_key` an entry is held to `minimum_tier` only, and another tool that rewrites routes.json may not know
that key. So a tier is lowered by the operator's word alone.

Rules of this module
  1. What an entry says is known from then on. Its word is a `public_key`, or a `tier`: then it has no key. The identity
     of a member that is gone from the file is forgotten, so taking it out and putting it in again is a word, too.
  2. An entry without either keeps the keys that were known, as if they stood there. Where another entry has them now it
     keeps none, and is held to the key tier: nobody can come in as this member.
  3. Where nobody can tell what was known, every entry without either is held to the key tier.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

from rustun.config.advice import counted, named
from rustun.config.files import MAX_ROUTES_BYTES, decode, read_bytes, user_name
from rustun.config.findings import Complaint, config_error
from rustun.config.keys import encode_key, parse_public_key
from rustun.config.member import MAX_PUBLIC_KEYS, Member
from rustun.config.routes import RoutesFile, at_once
from rustun.config.server import ServerConfig
from rustun.errors import ConfigError, Problem
from rustun.printable import printable
from rustun.protocol.tiers import Tier

SCHEMA: Final = 1
MEMBERS_PER_STEP: Final = 256  # about 0.3 ms

Known = Mapping[str, tuple[bytes, ...]]  # identity -> public keys; none left: held to the key tier


@dataclass(frozen=True, slots=True)
class Kept:
    """Members with the keys that they had before, and what is known from now on.

    Attributes:
        routes: the members in force.
        known: None as long as nobody can tell what was known before and a member is held because of that.
        keeping: identities whose entries have lost their keys.
        held: identities that cannot come in until the operator has spoken.
        notes: what the operator has to know about these.
    """

    routes: RoutesFile
    known: Known | None
    keeping: tuple[str, ...]
    held: tuple[str, ...]
    notes: tuple[Problem, ...]


def keep_keys(routes: RoutesFile, known: Known | None, file: str) -> Generator[None, None, Kept]:
    """Put the known keys into the entries that have lost theirs, in short steps.

    Args:
        routes: as the file has them.
        known: from before; None when that cannot be read.
        file: how messages call routes.json.

    Returns: as the generator's return value.
    """
    claimed = {key for member in routes.members for key in member.public_keys}
    yield
    members: list[Member] = []
    keeping: list[Member] = []
    held: list[Member] = []
    for number, member in enumerate(routes.members, start=1):
        if not member.public_keys and member.tier is None and (known is None or member.identity in known):
            left = tuple(key for key in known[member.identity] if key not in claimed) if known is not None else ()
            member = replace(member, public_keys=left, tier=None if left else Tier.KEY)
            (keeping if left else held).append(member)
        members.append(member)
        if not number % MEMBERS_PER_STEP:
            yield
    in_doubt = known is None and bool(held)
    keyed = (member for member in members if member.public_keys or member.tier is Tier.KEY)
    return Kept(
        replace(routes, members=tuple(members)),
        None if in_doubt else {member.identity: member.public_keys for member in keyed},
        tuple(member.identity for member in keeping),
        tuple(member.identity for member in held),
        tuple(_notes(file, keeping, held, unknown=known is None)),
    )


def _notes(file: str, keeping: list[Member], held: list[Member], *, unknown: bool) -> Iterator[Problem]:
    word = 'write "public_key" again, or "tier" if a lower one will do; nothing else makes the server forget a key'
    if keeping:
        reason = f"{counted(keeping)} lost the public_key; the server goes on with what it knew: {named(keeping)}"
        yield Problem(file, keeping[0].line, "", reason, word, "warning")
    if held:
        why = "nobody can tell whether there was a key" if unknown else "another entry has its key now"
        reason = f"{counted(held)} without public_key and tier cannot come in, since {why}: {named(held)}"
        yield Problem(file, held[0].line, "", reason, 'write "public_key", or "tier", into each', "warning")


def read_known_keys(path: Path) -> Known:
    """Return what a server has written there; nothing where there is no file.

    Raises: ConfigError: it cannot be read, is not what a server writes, or others may write it.
    """
    file = str(path)
    try:
        if os.stat(path).st_mode & 0o022:
            remedy = f"look at it, then run: chmod 600 {shlex.quote(file)}"
            raise config_error(file, "may be written by others: who wrote it?", remedy)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        pass  # what is wrong is said where it is read
    remedy = "put back a copy of it; without one, remove it once each entry of routes.json says public_key or tier"
    try:
        return _parse(decode(file, read_bytes(path, MAX_ROUTES_BYTES)))
    except Complaint as complaint:
        reason = f"is not a list of known keys: {complaint.reason}"
        raise config_error(file, reason, remedy) from None


def _parse(text: str) -> Known:
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError):
        raise Complaint("it is cut off or garbled") from None
    keys = document.get("keys") if isinstance(document, dict) and document.get("schema") == SCHEMA else None
    if not isinstance(keys, dict):
        raise Complaint(f"it is not of schema {SCHEMA}")
    known: dict[str, tuple[bytes, ...]] = {}
    for identity, texts in keys.items():
        if not isinstance(texts, list) or len(texts) > MAX_PUBLIC_KEYS:
            raise Complaint(f"{printable(identity)} has no list of keys")
        known[identity] = tuple(parse_public_key(str(one)) for one in texts)
    return known


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands there twice")
    return made


def writing_problem(path: Path) -> Problem | None:
    """Return why this user could not write the file, or None when it could; its folder may have to be made."""
    folder = path.parent
    place = folder if os.path.exists(folder) else folder.parent  # Path.exists raises where a folder on the way is shut
    if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return None
    who = user_name(os.geteuid())
    reason = f"{who} cannot write it, so what an entry loses while the server is down is not noticed"
    remedy = f"run: sudo install -d -o {who} {shlex.quote(str(folder))}, or write known_keys_file"
    return Problem(str(path), 0, "security_config.known_keys_file", reason, remedy, "warning")


def judge_known_keys(routes: RoutesFile, config: ServerConfig) -> Kept:
    """Return what a server that started now would make of its members, at once, for `check`."""
    path, known = config.security.known_keys_file, None
    problems: list[Problem] = []
    try:
        known = read_known_keys(path)
    except ConfigError as error:
        problems += (replace(problem, level="warning") for problem in error.problems)
    kept = at_once(keep_keys(routes, known, str(config.routes_file)))
    if config.security.remembers_keys and kept.known and (problem := writing_problem(path)):
        problems.append(problem)
    return replace(kept, notes=(*kept.notes, *problems))


def encode_known_keys(known: Known) -> Iterator[bytes]:
    """Yield the content of the file in parts that take about 1 ms each, one member a line."""
    yield b'{"schema": %d, "keys": {' % SCHEMA
    entries = iter(known.items())
    comma = ""
    while batch := list(islice(entries, MEMBERS_PER_STEP)):
        lines = ",\n".join(
            f"{json.dumps(identity, ensure_ascii=False)}: {json.dumps([*map(encode_key, keys)])}"
            for identity, keys in batch
        )
        yield f"{comma}\n{lines}".encode()
        comma = ","
    yield b"\n}}\n"
