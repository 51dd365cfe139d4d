"""What plan, deploy, rollback and status have in common: which fleet, which hosts, and how problems are told."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rustun.config.findings import nearest
from rustun.ops import ending
from rustun.ops.deploy.records import Json
from rustun.ops.deploy.ssh import Far, connect
from rustun.ops.deploy.survey import Survey, Wheels, is_named, survey
from rustun.ops.deploy.wheelhouse import Wheelhouse
from rustun.ops.deploy.wish import wish_hosts
from rustun.ops.ending import InputError
from rustun.ops.exit_codes import DIFFERS
from rustun.ops.generation import Prepared, prepare
from rustun.printable import printable


@dataclass(frozen=True, slots=True)
class Target:
    """Which hosts of which fleet.

    Attributes:
        inventory: file or folder.
        out: folder of the generated files; None for the usual one.
        checkout: folder of the project, which releases are made from.
        limit: patterns of names of servers and members, by comma; empty for all.
        ssh_config: to use instead of the user's own; None for that.
        forget: patterns of hosts that have left the inventory and will never answer; empty for none.
    """

    inventory: Path
    out: Path | None
    checkout: Path
    limit: str = ""
    ssh_config: Path | None = None
    forget: str = ""

    def prepare(self) -> Prepared:
        """Return what the inventory generates; nothing is written. Raises: RustunError."""
        prepared = prepare(self.inventory, self.out, self.checkout)
        if not self.is_in(prepared) and not self.limit_may_have_left():
            raise self.nobody(prepared)
        return prepared

    def is_in(self, prepared: Prepared) -> bool:
        """Return whether the limit names somebody who is in the inventory."""
        return any(is_named([name], self.limit) for _, name, _ in everybody(prepared))

    def nobody(self, prepared: Prepared) -> InputError:
        """Return the error of a limit that names nobody."""
        close = nearest(self.limit, [name for _, name, _ in everybody(prepared)])
        remedy = f"did you mean {close}?" if close else f"names are those of {self.inventory}"
        return InputError(f'--limit: nobody is called "{self.limit}"', remedy)

    def limit_may_have_left(self) -> bool:
        """Return whether the limit may name members that are no more in the inventory: where it has no pattern."""
        return not any(character in self.limit for character in "*?[")

    def wheels(self) -> Wheelhouse:
        """Return where releases come from."""
        return Wheelhouse(self.checkout)

    def connect(self, ssh: str) -> Far:
        """Connect to a host. Raises: Unreachable."""
        return connect(ssh, self.ssh_config)


def everybody(prepared: Prepared) -> list[tuple[str, str, str]]:
    """Return all servers and members: cluster (empty for a server), name, ssh."""
    servers = [("", server.name, server.ssh) for server in prepared.fleet.servers]
    return [*servers, *((member.cluster, member.identity, member.ssh) for member in prepared.fleet.members)]


def look(target: Target, prepared: Prepared, connecting: Callable[[str], Far], wheels: Wheels) -> Survey:
    """Look at the hosts of a target. Raises: InputError: its limit names nobody, not even who has left."""
    now = time.time()
    found = survey(wish_hosts(prepared.plan, now), target.limit, connecting, wheels, now, target.forget)
    if not (target.is_in(prepared) or found.hosts or found.unreachable):
        found.close()
        raise target.nobody(prepared)
    return found


def guarded(task: str, work: Callable[[], int]) -> int:
    """Do a task's work and return its exit code; tell its errors, and ctrl-C before any host is touched, in words."""
    try:
        return ending.guarded(task, work, "nothing was done")
    except KeyboardInterrupt:
        print(f"{task}: interrupted; no host was touched", file=sys.stderr)
        return DIFFERS


def show(document: Json, as_json: bool, show_text: Callable[[Json], None]) -> None:
    """Print a document to standard output, as JSON or as text."""
    try:
        if as_json:
            print(json.dumps(document, indent=2))
        else:
            show_text(document)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough; what is left to flush goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def note(text: str) -> None:
    """Tell something beside the facts."""
    print(printable(text, len(text)), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line in which there may be what a host told, and so anything."""
    print(printable(text, len(text)))


def columns(rows: list[tuple[str, ...]], indent: str = "  ", most: Mapping[int, int] | None = None) -> list[str]:
    """Return rows as lines with aligned columns; a column is as wide as its longest text, or as `most` says.

    What hosts say of themselves may be anything: what would move a terminal's cursor is shown instead.
    """
    rows = [tuple(printable(text, len(text)) for text in row) for row in rows]
    count = max((len(row) for row in rows), default=0)
    widths = [max(len(row[number]) for row in rows if number < len(row)) for number in range(count)]
    for number, limit in (most or {}).items():
        if number < count:
            widths[number] = min(widths[number], limit)
    return [
        (indent + "  ".join(text.ljust(widths[number]) for number, text in enumerate(row))).rstrip() for row in rows
    ]
