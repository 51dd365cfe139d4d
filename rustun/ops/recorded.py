"""The lock file: addresses that were given out once, so that nobody moves when somebody else comes or goes.

    [given.beijing]
    bj-dev = ["10.0.1.2", "fd00:1::2"]

    [released.beijing]
    "10.0.1.9" = { identity = "bj-old", until = 2027-01-05 }

Rules of this module
  1. It holds what the inventory leaves to us, and nothing that is written there: no entry, no file.
  2. The address of a member that is gone, or that has another one now, is released: nobody else gets it before a day
     that is written beside it. Who comes back before gets it again.
  3. It is sorted, a line for each identity, so that two branches merge where they do not contradict each other. A file
     that a merge left with two answers is refused.
  4. Time alone changes no file: a released address whose day has come goes when something else changes.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from rustun.backends.base import Address
from rustun.config.files import decode, read_bytes
from rustun.config.findings import Complaint, describe
from rustun.config.toml import Table, parse_toml
from rustun.durable import sync_folder
from rustun.ops.fleet import Inventory
from rustun.ops.templating import toml_key, toml_value
from rustun.printable import quoted

MAX_LOCK_BYTES: Final = 16 << 20  # 10,000 members take 1 MB
HEADER: Final = """\
# Addresses that the inventory leaves to ./invoke gen-config, which keeps this file. Commit it with the inventory.
"""
Given = Mapping[str, Mapping[str, tuple[Address, ...]]]  # by cluster and identity


@dataclass(frozen=True, slots=True)
class Released:
    """An address that somebody had; until that day nobody else gets it."""

    identity: str
    until: dt.date


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a lock file says: addresses in use by cluster and identity, and released ones by cluster and address."""

    given: Given = field(default_factory=dict)
    released: Mapping[str, Mapping[Address, Released]] = field(default_factory=dict)

    def liked(self, cluster: str, version: int) -> dict[str, Address]:
        """Return the address of that IP version that each identity has, or had before it was released."""
        held = self.released.get(cluster, {})
        had = {one.identity: address for address, one in held.items() if address.version == version}
        has = self.given.get(cluster, {}).items()
        return had | {who: address for who, known in has for address in known if address.version == version}

    def held(self, cluster: str, version: int, today: dt.date) -> list[Address]:
        """Return the addresses of that IP version that only those get today who had them."""
        held = self.released.get(cluster, {}).items()
        return [address for address, one in held if address.version == version and one.until > today]

    def after(self, inventory: Inventory, today: dt.date) -> Recorded:
        """Return what is to be recorded of an inventory that was read with this record."""
        if inventory.allocated == self.given:
            return self
        until = today + dt.timedelta(days=inventory.address_hold_days)
        taken = {(one.cluster, at) for one in inventory.members for at in (one.address, one.address6)}
        released: dict[str, dict[Address, Released]] = {}
        old = ((c, at, one) for c, held in self.released.items() for at, one in held.items() if one.until > today)
        new = ((c, at, Released(who, until)) for c, had in self.given.items() for who in had for at in had[who])
        for cluster, address, one in (*old, *new):
            if (cluster, address) not in taken and one.until > today:
                released.setdefault(cluster, {})[address] = one
        return Recorded(inventory.allocated, released)

    def text(self) -> str:
        """Return the lock file, empty where there is nothing to record."""
        lines = [*self._given_lines(), *self._released_lines()]
        return HEADER + "\n".join(lines) + "\n" if lines else ""

    def _given_lines(self) -> Iterator[str]:
        for cluster, members in sorted(self.given.items()):
            if members:
                yield f"\n[given.{toml_key(cluster)}]"
            for identity, addresses in sorted(members.items()):
                yield f"{toml_key(identity)} = {toml_value(addresses)}"

    def _released_lines(self) -> Iterator[str]:
        for cluster, held in sorted(self.released.items()):
            if held:
                yield f"\n[released.{toml_key(cluster)}]"
            for address, one in sorted(held.items(), key=lambda item: (item[0].version, int(item[0]))):
                yield f"{toml_value(address)} = {{ identity = {toml_value(one.identity)}, until = {one.until} }}"


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
        return ip_address(text)
    except ValueError:
        raise Complaint(f"{quoted(text)} is not an address", "as in 10.0.1.7") from None


def write_recorded(file: Path, recorded: Recorded) -> None:
    """Put a lock file in place, whole or not at all; nothing to record means no file. Raises: OSError."""
    text = recorded.text()
    if not text:
        file.unlink(missing_ok=True)
        return
    draft = file.with_name(f".{file.name}.new")
    with draft.open("w", encoding="utf-8") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(draft, file)
    sync_folder(file.parent)
