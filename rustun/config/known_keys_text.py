"""The text of the file in which a server remembers what protects its members (rustun.config.known_keys).

One member a line; of a member what differs from an entry that says nothing. Schema 1, which older versions wrote, had
public keys only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

from rustun.config.findings import Complaint
from rustun.config.keys import encode_key, parse_public_key
from rustun.config.member import MAX_PUBLIC_KEYS, parse_moment
from rustun.printable import printable

SCHEMA: Final = 2
SCHEMA_OF_KEYS: Final = 1
MEMBERS_PER_STEP: Final = 64  # well under 1 ms


class Remembered(NamedTuple):
    """What protects one identity; a tuple, since two times 10,000 of them are compared at a reload.

    Attributes:
        public_keys: none left: nobody can come in as this member.
        psk_file: as routes.json had it.
        gone_at: unix seconds since when no entry has this identity; None while one has.
    """

    public_keys: tuple[bytes, ...]
    psk_file: str = ""
    enabled: bool = True
    expires_at: datetime | None = None
    gone_at: float | None = None


Known = Mapping[str, Remembered]  # by identity


def encode_known_keys(known: Known) -> Iterator[bytes]:
    """Yield the content of the file in parts that take about 1 ms each."""
    yield b'{"schema": %d, "known": {' % SCHEMA
    entries = iter(known.items())
    comma = ""
    while batch := list(islice(entries, MEMBERS_PER_STEP)):
        lines = ",\n".join(
            f"{json.dumps(identity, ensure_ascii=False)}: {json.dumps(_encode(one))}"  # a psk_file need not be UTF-8
            for identity, one in batch
        )
        yield f"{comma}\n{lines}".encode()
        comma = ","
    yield b"\n}}\n"


def _encode(one: Remembered) -> dict[str, object]:
    fields: dict[str, object] = {"public_key": [*map(encode_key, one.public_keys)]}
    if one.psk_file:
        fields["psk_file"] = one.psk_file
    if not one.enabled:
        fields["enabled"] = False
    if one.expires_at is not None:
        fields["expires_at"] = one.expires_at.isoformat()
    if one.gone_at is not None:
        fields["gone_at"] = one.gone_at
    return fields


def parse_known_keys(text: str) -> dict[str, Remembered]:
    """Return what a server remembers. Raises: Complaint: it is not what a server writes."""
    try:
        document = json.loads(text, object_pairs_hook=_no_duplicates, parse_int=float, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Complaint("it is cut off or garbled") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema not in (SCHEMA, SCHEMA_OF_KEYS) or isinstance(schema, bool):
        raise Complaint(f"it is not of schema {SCHEMA}")
    entries = document.get("known" if schema == SCHEMA else "keys")
    if not isinstance(entries, dict):
        raise Complaint("it names no members")
    if not all(map(_is_text, entries)):
        raise Complaint("it names members that no routes.json can have")
    if schema == SCHEMA_OF_KEYS:
        return {identity: Remembered(_parse_keys(identity, texts)) for identity, texts in entries.items()}
    return {identity: _parse_one(identity, fields) for identity, fields in entries.items()}


def _parse_one(identity: str, fields: object) -> Remembered:
    if not isinstance(fields, dict) or not fields.keys() <= {"public_key", *Remembered._fields[1:]}:
        raise Complaint(f"{printable(identity)} has something else than what is remembered")
    psk_file, expires_at = fields.get("psk_file", ""), fields.get("expires_at")
    enabled, gone_at = fields.get("enabled", True), fields.get("gone_at")
    if not (
        isinstance(psk_file, str)
        and isinstance(enabled, bool)
        and isinstance(expires_at, str | None)
        and isinstance(gone_at, float | None)
    ):
        raise Complaint(f"{printable(identity)} has a value of another kind")
    end = parse_moment(expires_at) if expires_at is not None else None
    return Remembered(_parse_keys(identity, fields.get("public_key")), psk_file, enabled, end, gone_at)


def _parse_keys(identity: str, texts: object) -> tuple[bytes, ...]:
    if not isinstance(texts, list) or len(texts) > MAX_PUBLIC_KEYS:
        raise Complaint(f"{printable(identity)} has no list of keys")
    return tuple(parse_public_key(str(one)) for one in texts)


def _is_text(identity: str) -> bool:
    try:
        identity.encode()
    except UnicodeEncodeError:  # half of a pair of escapes
        return False
    return True


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands there twice")
    return made


def _no_number(name: str) -> object:
    raise ValueError(name)
