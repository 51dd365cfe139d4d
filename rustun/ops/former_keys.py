"""Key files that are older than the member that gets them: whoever had that name before would come in by them.

`add-member` refuses such a file; whoever writes the member by hand is told before anything is written.

Rules of this module
  1. A member is new where the routes.json that is there has neither it nor, as of who is renamed, its public key.
     Where there is no routes.json nothing is known of earlier members.
  2. A file that is younger than that routes.json came after the earlier member went: from a sealed file, or by hand.
  3. It may be right, for who comes back with the same host. So this is a warning; nothing is moved or made anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from rustun.errors import Problem
from rustun.ops.filenames import member_key_file
from rustun.ops.render import RenderPlan
from rustun.printable import quoted


def former_keys(plan: RenderPlan) -> Iterator[Problem]:
    """Yield a warning for each key file that an earlier member of the same name may have left. Raises: OSError."""
    routes = plan.routes
    if routes.present == routes.wished:
        return
    entries = _entries(routes.present)
    known = {key for entry in entries.values() for key in _listed(entry.get("public_key"))}
    for member in plan.keyring.inventory.members if entries else ():
        if member.identity in entries or known.intersection(member.public_keys):
            continue
        for name in plan.keyring.member_files.get(member.identity, ()):
            file = plan.folder / name
            if file.exists() and file.stat().st_mtime < (plan.folder / routes.name).stat().st_mtime:
                reason = f"is older than the new member {quoted(member.identity)}: who has a copy could come in as it"
                number = free_number(plan.folder, member.identity)
                remedy = f"key = {number} makes a new one; leave it where it is the same host again"
                yield Problem(str(file), 0, "", reason, remedy, "warning")


def free_number(folder: Path, identity: str) -> int:
    """Return the lowest number of a second key pair of a member that no file has yet."""
    return next(number for number in count(2) if not (folder / member_key_file(identity, number)).exists())


def _entries(text: bytes | None) -> dict[str, dict[str, object]]:
    try:
        return {entry["identity"]: entry for entry in json.loads(text or b"[]")}
    except (ValueError, TypeError, KeyError, RecursionError):  # what nobody can read tells nothing
        return {}


def _listed(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
