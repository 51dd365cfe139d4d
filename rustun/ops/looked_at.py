"""All that the answers of `gen-config` and `lint` come from: by it the next run tells whether they hold (unchanged.py).

files of the inventory, its lock and its policies     what is wished
generated files, and the names in their folders       what is there, and what nobody generates
key files, their folders and the way there            what is public of them, and whether they are safe
templates, modules of this checkout, installed ones   what makes the one from the other
"""

from __future__ import annotations

import datetime as dt
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rustun.ops.filenames import PSKS, SECRETS, STAGING
from rustun.ops.fleet import Inventory
from rustun.ops.generation import Prepared
from rustun.ops.linting.judging import baseline_file
from rustun.ops.linting.trust import quiet_until
from rustun.ops.policy.assertions import SUFFIX
from rustun.ops.recorded import lock_file
from rustun.ops.templating import TEMPLATES
from rustun.ops.unchanged import Answer

_LIBRARIES: Final = ("jinja2", "pydantic", "pydantic_core", "cryptography")


def generated(prepared: Prepared, question: Sequence[str], found: dict[str, Any], since: float) -> Answer | None:
    """Return what to keep of a `gen-config` that had nothing to write; None where a key file is a link.

    Args:
        since: when it began, unix seconds.
    Raises: OSError.
    """
    folder = prepared.plan.folder
    if (keys := _keys(folder)) is None:
        return None
    files = (os.path.join(folder, file.name) for file in prepared.plan.files)
    above = [str(prepared.inventory)] if prepared.inventory.is_dir() else []
    templates = sorted(map(str, TEMPLATES.iterdir()))
    return Answer(
        question=tuple(question),
        found=found,
        files=(*_wished(prepared.inventory), *keys[1], *files, *templates, *_modules()),
        folders=(*above, *_folders_in(folder), *keys[0], str(TEMPLATES), *_installed()),
        since=since,
        until=_until(prepared.fleet, since),
    )


def linted(
    path: Path, inventory: Inventory, folder: Path, question: Sequence[str], found: dict[str, Any], since: float
) -> Answer | None:
    """Return what to keep of a `lint` of the inventory at `path` that found nothing; else as `generated`.

    Args:
        folder: of the generated files.
    """
    if (keys := _keys(folder)) is None:
        return None
    above = [str(path)] if path.is_dir() else []
    return Answer(
        question=tuple(question),
        found=found,
        files=(*_wished(path), str(baseline_file(path)), *keys[1], *_modules()),
        folders=(*above, str(folder), *keys[0], *_installed()),
        since=since,
        until=min(_until(inventory, since), quiet_until(inventory, folder)),
    )


def _keys(folder: Path) -> tuple[list[str], list[str]] | None:
    """Return the folders of keys and the files in them; None where one is a link to where nobody looks."""
    places = [place for name in (SECRETS, f"{SECRETS}/members", PSKS) if (place := folder / name).is_dir()]
    entries = [entry for place in places for entry in os.scandir(place) if not entry.is_dir()]
    if any(entry.is_symlink() for entry in entries):
        return None
    return [str(place) for place in places], [entry.path for entry in entries]


def _installed() -> list[str]:
    """Return the folders of what is installed: versions stand in the names there."""
    files = (sys.modules[name].__file__ for name in _LIBRARIES if name in sys.modules)
    return sorted({str(Path(file).parents[1]) for file in files if file})


def _wished(inventory: Path) -> Iterator[str]:
    yield str(lock_file(inventory))
    if inventory.is_dir():
        names = sorted(os.listdir(inventory))
        yield from (os.path.join(inventory, name) for name in names if name.endswith((".toml", SUFFIX)))
    else:
        yield from (str(inventory), str(inventory.with_suffix(SUFFIX)))


def _folders_in(folder: Path) -> Iterator[str]:
    """Yield a folder of generated files and those below it, without the keys."""
    for path, below, _ in os.walk(folder):
        if path == str(folder):
            below[:] = [name for name in below if name not in (SECRETS, STAGING)]
        yield path


def _modules() -> list[str]:
    """Return the files of this project whose code this process runs."""
    own = (module for name, module in list(sys.modules.items()) if name.partition(".")[0] in ("rustun", "netlab"))
    return sorted(file for module in own if (file := getattr(module, "__file__", None)))


def _until(fleet: Inventory, since: float) -> float:
    """Return when the first member's time is over, or the first released address may be given out again."""
    ends = [member.settings.expires_at for member in fleet.members]
    moments = {end.timestamp() for end in ends if end is not None}
    for released in fleet.recorded.released.values():
        moments.update(dt.datetime.combine(one.until, dt.time(), dt.UTC).timestamp() for one in released.values())
    return min((moment for moment in moments if moment > since), default=math.inf)
