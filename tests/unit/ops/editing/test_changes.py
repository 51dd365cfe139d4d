"""Changes of an inventory's text: what was asked for, and not a character more."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.ops.editing.changes import Change, Drop, EditError, Put, Rename, apply

TEXT = """\
# Our fleet.  Two   spaces, a comment, odd layout: all stays.
[fleet]
name = "acme"
servers = [
  { address = "198.18.0.1:8080" },   # the relay
]
[cluster.red]
network="10.0.1.0/24"

# Alice is often away.
[cluster.red.member.alice]
address   = "10.0.1.2"   # pinned
ciders = [
  "192.168.1.0/24",  # office
  "192.168.2.0/24",  # store
]

[cluster.red.member."bob.b"]
exit_node = "alice"
[cluster.blue]
network = "10.0.2.0/24"

[lab.host.printer]
behind = "alice"
"""
ALICE = ("cluster", "red", "member", "alice")


def removed_and_added(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the lines that an edit took out and put in."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


@pytest.mark.parametrize(
    ("change", "out", "into"),
    [
        (Put((*ALICE, "name"), "Alice"), [], ['name = "Alice"']),
        (
            Put((*ALICE, "address"), "10.0.1.9"),
            ['address   = "10.0.1.2"   # pinned'],
            ['address   = "10.0.1.9"   # pinned'],
        ),
        (Put((*ALICE, "ciders"), ["192.168.2.0/24"]), ['  "192.168.1.0/24",  # office'], []),
        (Drop((*ALICE, "address")), ['address   = "10.0.1.2"   # pinned'], []),
        (Drop(("cluster", "red", "member", "bob.b", "exit_node")), ['exit_node = "alice"'], []),
        (Rename(ALICE, "al"), ["[cluster.red.member.alice]"], ["[cluster.red.member.al]"]),
        (Rename(ALICE, "al x"), ["[cluster.red.member.alice]"], ['[cluster.red.member."al x"]']),
        (
            Rename(("cluster", "red"), "pink"),
            ["[cluster.red]", "[cluster.red.member.alice]", '[cluster.red.member."bob.b"]'],
            ["[cluster.pink]", "[cluster.pink.member.alice]", '[cluster.pink.member."bob.b"]'],
        ),
    ],
)
def test_only_the_lines_concerned_change(change: Change, out: list[str], into: list[str]) -> None:
    """A diff for review would drown in layout, or a comment would be lost."""
    assert removed_and_added(TEXT, apply(TEXT, [change])) == (out, into)


def test_a_new_member_stands_behind_the_others_with_blank_lines_around() -> None:
    """The next reader would not find where one member ends."""
    changed = apply(TEXT, [Put(("cluster", "red", "member", "carol"), {"name": "Carol", "cider_mapping": {"a": "b"}})])
    block = '\n[cluster.red.member.carol]\nname = "Carol"\ncider_mapping = {a = "b"}\n\n[cluster.blue]\n'
    assert block in changed
    assert removed_and_added(TEXT, changed)[0] == []


def test_a_first_member_and_a_new_cluster_find_their_places() -> None:
    """A cluster could not be begun by the tool."""
    changed = apply(
        TEXT,
        [
            Put(("cluster", "green"), {"network": "10.0.3.0/24"}),
            Put(("cluster", "green", "member", "gus"), {"ssh": "x"}),
        ],
    )
    values = tomllib.loads(changed)
    assert values["cluster"]["green"] == {"network": "10.0.3.0/24", "member": {"gus": {"ssh": "x"}}}
    assert removed_and_added(TEXT, changed)[0] == []


def test_removing_a_member_leaves_its_neighbours_alone() -> None:
    """A removal would take somebody else with it."""
    changed = apply(TEXT, [Drop(("cluster", "red", "member", "bob.b"))])
    assert list(tomllib.loads(changed)["cluster"]["red"]["member"]) == ["alice"]
    assert removed_and_added(TEXT, changed)[1] == []


@pytest.mark.parametrize("change", [Drop(("cluster", "red", "member", "eve")), Rename(("cluster", "grey"), "x")])
def test_what_is_not_there_cannot_be_changed(change: Change) -> None:
    """A slip in a name would go through as if something had been done."""
    with pytest.raises(EditError, match="is not there"):
        apply(TEXT, [change])


NAMES = st.text(st.sampled_from("abz09-_. é\"'\\#[]="), min_size=1, max_size=6)
VALUES: st.SearchStrategy[Any] = st.one_of(st.booleans(), st.integers(0, 9999), NAMES, st.lists(NAMES, max_size=3))


@given(name=NAMES, key=st.sampled_from(["name", "ciders", "mtu", "tags"]), value=VALUES)
def test_any_name_and_value_is_written_so_that_it_reads_back(name: str, key: str, value: object) -> None:
    """A quote or a bracket in somebody's name would break the whole inventory."""
    changed = apply(TEXT, [Put(("cluster", "red", "member", f"new {name}"), {key: value}), Put((*ALICE, key), value)])
    values = tomllib.loads(changed)["cluster"]["red"]["member"]
    assert values[f"new {name}"] == {key: value}
    assert values["alice"][key] == value
    renamed = tomllib.loads(apply(changed, [Rename(("cluster", "red", "member", f"new {name}"), f"newer {name}")]))
    assert renamed["cluster"]["red"]["member"][f"newer {name}"] == {key: value}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_last_table_leaves_no_blank_line(newline: str) -> None:
    """Every removal would leave a blank line more at the end, which reviews and editors remark."""
    before, _, rest = TEXT.replace("\n", newline).partition(f'{newline}[cluster.red.member."bob.b"]')
    text = f'{before}{newline}[cluster.red.member."bob.b"]{rest.partition("[cluster.blue]")[0]}'
    assert apply(text, [Drop(("cluster", "red", "member", "bob.b"))]) == before
