"""routes.json: who is a member of which cluster, and what lies behind whom.

The whole file is taken or refused. It is read step by step, so that a running server can take a file of 10,000
members without a pause that anybody notices: each step of `parse_routes` is about 1 ms of work.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from rustun.config.claims import Claims
from rustun.config.files import MAX_ROUTES_BYTES, decode, read_bytes, too_long
from rustun.config.findings import Findings
from rustun.config.json_entries import EntryCutter, JsonError
from rustun.config.member import Member, MemberReader
from rustun.errors import Problem

T = TypeVar("T")
ENTRIES_PER_STEP: Final = 8  # an entry takes some 60 us


@dataclass(frozen=True, slots=True)
class RoutesFile:
    """The members in the file's order; `notes` are its warnings and notes."""

    members: tuple[Member, ...]
    notes: tuple[Problem, ...]


def parse_routes(data: bytes, file: str) -> Generator[None, None, RoutesFile]:
    """Read and judge the bytes of a routes.json in many short steps.

    Args:
        data: the whole file; over 64 MiB are refused.
        file: how messages call it; `psk_file` is relative to its folder.

    Returns: the record, as the generator's return value.
    Raises: ConfigError with every problem of the file; nothing of it may be used then.
    """
    if len(data) > MAX_ROUTES_BYTES:
        raise too_long(file, len(data), MAX_ROUTES_BYTES)
    cutter = EntryCutter(decode(file, data))
    yield
    findings = Findings(file)
    reader = MemberReader(cutter, findings, Path(file).parent)
    claims = Claims(cutter, findings)
    members: list[Member] = []
    try:
        for number, entry in enumerate(cutter, start=1):
            member = yield from reader.read(entry)
            if member is not None:
                members.append(member)
                yield from claims.add(member, entry.span)
            if not number % ENTRIES_PER_STEP:
                yield
    except JsonError as error:
        findings.add(error.line, "", error.reason, error.remedy)
    yield from reader.report_unknown()
    yield from claims.report()
    yield from claims.forget()
    return RoutesFile(tuple(members), findings.finish())


def read_routes(path: Path) -> RoutesFile:
    """Read and judge a routes.json at once, for start, `check` and tools.

    Raises: ConfigError: not readable, or with every problem of the file.
    """
    return at_once(parse_routes(read_bytes(path, MAX_ROUTES_BYTES), str(path)))


def at_once(steps: Generator[None, None, T]) -> T:
    """Return what a generator of short steps has as its value, where nobody waits between them."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: T = stop.value
            return value
