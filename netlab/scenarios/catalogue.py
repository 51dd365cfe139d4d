"""All scenarios by their names: those that are played on a stage, and tests against the kernel."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from netlab.errors import BadInput
from netlab.scenarios import (
    all_to_all,
    carrying,
    causes,
    floods,
    hostile_member,
    key_rotation,
    member_killed,
    narrow_path,
    one_host,
    relays,
    replays,
    revoked,
    roaming,
    server_moves,
    slow,
    storm,
    ways,
    whole_sites,
)
from netlab.scenarios.kernel_tests import FOLDER, STEMS, KernelTests, read
from netlab.scenarios.scenario import Scenario
from rustun.config.findings import nearest

MODULES: Final = (
    carrying,
    ways,
    whole_sites,
    relays,
    roaming,
    server_moves,
    narrow_path,
    key_rotation,
    revoked,
    slow,
    storm,
    one_host,
    member_killed,
    hostile_member,
    replays,
    floods,
    all_to_all,
    causes,
)
SCENARIOS: Final = {one.name: one for module in MODULES for one in vars(module).values() if isinstance(one, Scenario)}
KERNEL_TESTS: Final = {one.name: one for one in (read(FOLDER / f"test_{stem}.py") for stem in STEMS)}
ALL: Final[dict[str, Scenario | KernelTests]] = {**SCENARIOS, **KERNEL_TESTS}


def chosen(words: str) -> list[Scenario | KernelTests]:
    """Return the scenarios that are named, by comma; `all` and patterns such as "relay-*" name several.

    Raises:
        BadInput: nothing is named, or a word names none.
    """
    found: dict[str, Scenario | KernelTests] = {}
    for word in filter(None, map(str.strip, words.split(","))):
        matching = {name: one for name, one in ALL.items() if word == "all" or fnmatchcase(name, word)}
        if not matching:
            near = nearest(word, ALL)
            meant = f"did you mean {near}? " if near else ""
            raise BadInput(f'no scenario "{word}"', f"{meant}./invoke lab-run --list names all")
        found |= matching
    if not found:
        raise BadInput("no scenario is named", "./invoke lab-run --list names all; `all` runs them all")
    return list(found.values())
