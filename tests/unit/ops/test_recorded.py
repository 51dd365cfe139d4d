"""rustun.ops.recorded: the lock file, there and back, and what a merge can do to it."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ConfigError
from rustun.ops.addresses import Recorded, Released
from rustun.ops.inventory import load_inventory
from rustun.ops.recorded import HEADER, lock_file, lock_text, read_recorded

TEXT = (
    HEADER
    + """
[given."a b"]
m = ["10.0.0.1", "fd00::1"]

[given.beijing]
bj-dev = ["10.0.1.2"]
"dots.and é" = ["10.0.1.1"]

[released.beijing]
"10.0.1.9" = { identity = "bj-old", until = 2027-01-05 }
"10.0.1.10" = { identity = "bj-old", until = 2027-01-05 }
"fd00::9" = { identity = "x\\"y", until = 2027-01-04 }
"""
)
Levels = dict[str, dict[Any, Any]]
ADDRESSES = st.ip_addresses()
NAMES = st.text(min_size=1, max_size=5).filter(str.isprintable)


def read(folder: Path, text: str) -> Recorded:
    """Read a lock file's text."""
    (folder / "f.lock").write_text(text)
    return read_recorded(folder / "f.lock")


def test_a_lock_is_sorted_with_a_line_for_each_identity(tmp_path: Path) -> None:
    """Two branches that add a member each could not be merged, or every run would move lines."""
    recorded = read(tmp_path, TEXT)
    assert recorded.given["a b"]["m"] == (ip_address("10.0.0.1"), ip_address("fd00::1"))
    assert recorded.released["beijing"][ip_address("10.0.1.9")] == Released("bj-old", dt.date(2027, 1, 5))
    assert lock_text(recorded) == TEXT
    backwards = [(name, dict(reversed(list(known.items())))) for name, known in reversed(list(recorded.given.items()))]
    mixed = Recorded(dict(backwards))
    assert lock_text(mixed) == TEXT.partition("\n[released")[0]


@given(
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.tuples(ADDRESSES), min_size=1, max_size=2), max_size=2),
    st.dictionaries(NAMES, st.dictionaries(ADDRESSES, st.builds(Released, NAMES, st.dates()), min_size=1), max_size=2),
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, known: Levels, held: Levels) -> None:
    """A member would move because its name or its address cannot be written."""
    unique = {
        name: {who: at for who, at in has.items() if list(has.values()).count(at) == 1} for name, has in known.items()
    }
    apart = {
        name: {at: one for at, one in had.items() if (at,) not in known.get(name, {}).values()}
        for name, had in held.items()
    }
    recorded = Recorded(_filled(unique), _filled(apart))
    assert read(tmp_path_factory.getbasetemp(), lock_text(recorded)) == recorded


def _filled(levels: Levels) -> Levels:
    return {name: inner for name, inner in levels.items() if inner}


def test_where_an_inventory_has_its_lock(tmp_path: Path) -> None:
    """Two inventories beside each other would share their addresses, or a folder's lock be read as a part of it."""
    assert lock_file(tmp_path) == tmp_path / "inventory.lock"
    assert lock_file(tmp_path / "demo.toml") == tmp_path / "demo.lock"
    assert read_recorded(tmp_path / "none.lock") == Recorded()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[given.c]\n<<<<<<< ours\na = ['10.0.0.1']\n=======\n", "f.lock:2: holds a merge conflict mark"),
        ("[given.c]\na = ['10.0.0.1']\nb = ['10.0.0.1']\n", 'f.lock:3: given.c.b: 10.0.0.1 is given to "a" as well'),
        ("[given.c]\na = ['10.0.0.1']\na = ['10.0.0.2']\n", "f.lock:3: the same key or table stands there twice"),
        ("[given.c]\na = ['10.0.0.1', '10.0.0.2']\n", "f.lock:2: given.c.a: has several addresses of one kind"),
        ("[given.c]\na = ['10.0.0.300']\n", 'f.lock:2: given.c.a: "10.0.0.300" is not an address'),
        ("[given.c]\na = [1]\n", "f.lock:2: given.c.a: is 1, not a text"),
        ("[givn.c]\na = ['10.0.0.1']\n", "givn: is not a known key\n  did you mean given?"),
        ("[given]\nc = 5\n", "f.lock:2: given.c: is 5, not a table"),
        ("[released.c]\n'10.0.0.1' = { identity = 'a' }\n", "released.c.10.0.0.1.until: is null, not a date"),
        ("[released.c]\n'10.0.0.1' = { who = 'a', until = 2027-01-01 }\n", "who: is not a known key"),
        ("[released.c]\nx = { identity = 'a', until = 2027-01-01 }\n", 'f.lock:2: released.c.x: "x" is not an address'),
        (
            "[given.c]\na = ['10.0.0.1']\n[released.c]\n'10.0.0.1' = { identity = 'b', until = 2027-01-01 }\n",
            'f.lock:4: released.c.10.0.0.1: is released by "b", and given to "a"\n  delete one of the two lines',
        ),
        ("\0", "f.lock"),
    ],
)
def test_what_a_merge_left_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    """A merge would silently give one address to two members, or move one of them."""
    (tmp_path / "f.toml").write_text('[fleet]\nname = "f"\n')
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_inventory(tmp_path / "f.toml")
    assert words in str(caught.value)
    assert "fleet.servers: is missing" in str(caught.value), "all problems of all files are said at once"
