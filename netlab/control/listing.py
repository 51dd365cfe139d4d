"""`lab-ls`: all laboratories that there are, whose they are, what they were made from, and since when.

Everybody sees his own. Root sees those of all users in the places where they usually are; what stands in files of other
users is shown, nothing else is done with it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import time
from typing import Final

from netlab.control import runfolder
from netlab.control.runfolder import FOLDER, RunFolder
from netlab.errors import EXIT_OK, in_words
from rustun.printable import printable

SCHEMA: Final = 1
RUN: Final = Path("/run")
TMP: Final = Path("/tmp")
ALIVE: Final = "up"
DEAD: Final = "dead"  # its keeper was killed; lab-sweep removes what it left
SHOWN: Final = 200  # characters of a path
COLUMNS: Final = ("laboratory", "owner", "state", "age", "inventory")


@dataclass(frozen=True, slots=True)
class Listed:
    """A laboratory in the list; `pid` is 0 and `inventory` empty while it has not said so."""

    laboratory: str
    owner: str
    state: str
    since: str
    age_s: float
    pid: int
    inventory: str
    logs: str


@in_words("lab-ls")
def run(*, as_json: bool) -> int:
    """Print the list; return the exit code."""
    found = [listed(folder) for folder in folders()]
    if as_json:
        print(json.dumps({"schema": SCHEMA, "laboratories": [asdict(one) for one in found]}, indent=2))
    else:
        print("\n".join(table(found)))
    return EXIT_OK


def folders() -> list[RunFolder]:
    """Return the folders of all laboratories that this user may see."""
    found = runfolder.all_folders()
    others = _roots_of_others() if os.geteuid() == 0 else ()
    return found + [RunFolder(path) for root in others for path in sorted(root.iterdir()) if _is_folder(path)]


def _roots_of_others() -> Iterator[Path]:
    for path in (*sorted(RUN.glob(f"user/*/{FOLDER}")), *sorted(TMP.glob(f"{FOLDER}-*"))):
        uid = path.parent.name if path.parent != TMP else path.name.removeprefix(f"{FOLDER}-")
        if uid.isdigit() and _is_folder(path) and path.lstat().st_uid == int(uid):
            yield path


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:  # it went meanwhile
        return False


def listed(folder: RunFolder) -> Listed:
    """Return what is to be said of a laboratory."""
    owner = folder.owner()
    try:
        found = folder.path.stat()
        since, user = found.st_mtime, found.st_uid
    except OSError:  # it went meanwhile
        since, user = time(), os.geteuid()
    return Listed(
        laboratory=folder.name,
        owner=_user(user),
        state=ALIVE if folder.alive else DEAD,
        since=dt.datetime.fromtimestamp(since, dt.UTC).isoformat(timespec="seconds"),
        age_s=round(max(0.0, time() - since), 1),
        pid=owner.pid if owner is not None else 0,
        inventory=owner.inventory if owner is not None else "",
        logs=owner.logs if owner is not None else "",
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def table(found: Sequence[Listed]) -> list[str]:
    """Return the lines of a table for people."""
    if not found:
        return ["no laboratory is up: ./invoke lab-up"]
    cells = [
        COLUMNS,
        *((one.laboratory, one.owner, one.state, age(one.age_s), one.inventory or "-") for one in found),
    ]
    rows = [tuple(printable(cell, SHOWN) for cell in row) for row in cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    pairs = [zip(row, widths, strict=True) for row in rows]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in row).rstrip() for row in pairs]
    if any(one.state == DEAD for one in found):
        lines.append("./invoke lab-sweep removes what the dead left")
    return lines


def age(seconds: float) -> str:
    """Return a time in its two largest units: "3 d 4 h", "12 min 5 s", "8 s"."""
    left = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])
