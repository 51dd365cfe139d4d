"""The lock file: addresses that were given out once, so that nobody moves when somebody else comes or goes.

    [given.beijing]
    bj-dev = ["10.0.1.2", "fd00:1::2"]

    [released.beijing]
    "10.0.1.9" = { identity = "bj-old", until = 2027-01-05 }

Rules of this module
  1. It holds what the inventory leaves to us, and nothing that is written there: no entry, no need of a file.
  2. It is sorted, a line for each identity, so that two branches merge where they do not contradict each other. A file
     that a merge left with two answers is refused.

What is given, kept and released, addresses.py says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from rustun.backends.base import Address
from rustun.config.files import decode, read_bytes
from rustun.config.findings import Complaint, describe
from rustun.config.toml import Table, parse_toml
from rustun.ops.addresses import Recorded, Released
from rustun.ops.templating import toml_key, toml_value
from rustun.printable import quoted

MAX_LOCK_BYTES: Final = 16 << 20  # 10,000 members take 0.5 MB
HEADER: Final = """\
# Addresses that the inventory leaves to ./invoke gen-config, which keeps this file. Commit it with the inventory.
"""


def lock_file(inventory: Path) -> Path:
    """Return where the lock of an inventory is: in its folder, or beside its file."""
    return inventory / "inventory.lock" if inventory.is_dir() else inventory.with_suffix(".lock")


def read_recorded(file: Path) -> Recorded:
    """Read a lock file; a missing one records nothing.

    Raises: ConfigError: with every problem of the file.
    """
    if not file.exists():
        return Recorded()
    root = parse_toml(str(file), decode(str(file), read_bytes(file, MAX_LOCK_BYTES)))
    given, released = root.table("given"), root.table("released")
    recorded = Recorded(
        {name: _read_given(given.table(name)) for name in given.values},
        {name: dict(_read_released(released.table(name))) for name in released.values},
    )
    _report_released_in_use(recorded, released)
    root.close()
    root.findings.finish()
    return recorded


def _read_given(table: Table) -> dict[str, tuple[Address, ...]]:
    owners: dict[Address, str] = {}
    given = {identity: table.texts(identity, _parse) for identity in table.values}
    for identity, addresses in given.items():
        for address in addresses:
            if (other := owners.setdefault(address, identity)) != identity:
                reason = f"{address} is given to {quoted(other)} as well"
                table.report(identity, reason, "delete the line of the one that may move, and generate again")
        if len({address.version for address in addresses}) < len(addresses):
            table.report(identity, "has several addresses of one kind", "leave one IPv4 and one IPv6 address")
    return given


def _read_released(table: Table) -> Iterator[tuple[Address, Released]]:
    for text in table.values:
        entry = table.table(text)
        identity = entry.text("identity", str, "")
        until = entry.values.get("until")
        entry.known("until")
        entry.close()
        if type(until) is not dt.date:
            entry.report("until", f"is {describe(until)}, not a date", "write it like 2027-06-30, without quotes")
            continue
        try:
            yield _parse(text), Released(identity, until)
        except Complaint as complaint:
            table.report(text, complaint.reason, complaint.remedy)


def _report_released_in_use(recorded: Recorded, table: Table) -> None:
    for cluster, held in recorded.released.items():
        owners = {at: who for who, known in recorded.given.get(cluster, {}).items() for at in known}
        for address, one in held.items():
            if (owner := owners.get(address, one.identity)) != one.identity:
                reason = f"is released by {quoted(one.identity)}, and given to {quoted(owner)}"
                table.table(cluster).report(str(address), reason, "delete one of the two lines")


def _parse(text: str) -> Address:
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)  # ip_address would try each
    except ValueError:
        raise Complaint(f"{quoted(text)} is not an address", "as in 10.0.1.7") from None


def lock_text(recorded: Recorded) -> str:
    """Return a lock file."""
    return "\n".join((HEADER, *_given_lines(recorded), *_released_lines(recorded))).rstrip("\n") + "\n"


def _given_lines(recorded: Recorded) -> Iterator[str]:
    for cluster, members in sorted(recorded.given.items()):
        yield f"[given.{toml_key(cluster)}]"
        for identity, addresses in sorted(members.items()):
            yield f"{toml_key(identity)} = {toml_value(addresses)}"
        yield ""


def _released_lines(recorded: Recorded) -> Iterator[str]:
    for cluster, held in sorted(recorded.released.items()):
        yield f"[released.{toml_key(cluster)}]"
        for address, one in sorted(held.items(), key=lambda item: (item[0].version, int(item[0]))):
            yield f"{toml_key(str(address))} = {{ identity = {toml_value(one.identity)}, until = {one.until} }}"
        yield ""
