"""What differs between two states, told."""

from __future__ import annotations

import difflib
import json

from hypothesis import given
from hypothesis import strategies as st

from rustun.web.changes import CONTEXT, MAX_COMPARED, MAX_LINES, Change, changes, in_words, line_difference

LINES = st.lists(st.sampled_from("abc"), max_size=30)


def applied(before: str, difference: str) -> str:
    """Do what patch(1) does with a unified difference, and return the text."""
    old, new, position = before.split("\n"), [], 0
    for line in difference.rstrip("\n").split("\n")[2:]:
        if line.startswith("@@"):
            first, length = map(int, line.split()[1][1:].split(","))
            start = first - 1 if length else first
            new += old[position:start]
            position = start
        elif line.startswith("+"):
            new.append(line[1:])
        else:
            assert old[position] == line[1:], f"line {position} is not what the difference says"
            position += 1
            new += [line[1:]] if line.startswith(" ") else []
    return "\n".join(new + old[position:])


def test_entries_are_told_apart_by_identity() -> None:
    """If this fails, somebody who came too late is told that everything changed, or nothing."""
    gone: dict[str, object] = {"identity": "b", "cluster": "c"}
    before: list[dict[str, object]] = [{"identity": "a", "cluster": "c", "ciders": []}, gone]
    after: list[dict[str, object]] = [
        {"identity": "n", "cluster": "d"},
        {"identity": "a", "cluster": "c", "ciders": ["10.0.0.0/8"], "x": 1},
    ]
    found = changes(before, after)
    assert found == (
        Change("d", "n", "added"),
        Change("c", "a", "changed", (("ciders", [], ["10.0.0.0/8"]), ("x", None, 1))),
        Change("c", "b", "removed"),
    )
    assert in_words(found) == "n added; a changed (ciders, x); b removed"
    assert in_words((*found, *found)) == "n added; a changed (ciders, x); b removed and 3 more"


def test_what_is_not_everybodys_business_is_named_and_not_shown() -> None:
    """If this fails, an unknown key of an entry, which may hold anything, stands in the browser."""
    found = changes([{"identity": "a", "psk_file": "old", "x": "s3cret"}], [{"identity": "a", "psk_file": "new"}])
    told = json.dumps(found[0].told())
    assert '"psk_file": {}' in told and '"x": {}' in told
    assert "old" not in told and "s3cret" not in told


@given(LINES, LINES)
def test_a_difference_leads_from_one_text_to_the_other(old: list[str], new: list[str]) -> None:
    """If this fails, what somebody confirms is not what is written."""
    before, after = "\n".join(old), "\n".join(new)
    difference = line_difference(before, after, "routes.json")
    assert bool(difference) == (before != after)
    if difference:
        assert applied(before, difference) == after


def test_a_small_edit_of_a_long_file_is_shown_as_diff_shows_it() -> None:
    """If this fails, the lines that are shown have the wrong numbers, or the whole file is shown."""
    old = [f"line {number}" for number in range(MAX_COMPARED)]
    new = [*old[:2000], "new", *old[2001:]]
    expected = list(difflib.unified_diff(old, new, "routes.json", "routes.json", n=CONTEXT, lineterm=""))
    found = line_difference("\n".join(old), "\n".join(new), "routes.json").rstrip("\n").split("\n")
    assert found[3:] == expected[3:]
    assert found[2] == "@@ -1998,7 +1998,7 @@" == expected[2]


def test_a_difference_of_everything_stays_bounded() -> None:
    """If this fails, a cluster of 10,000 members cannot be looked at before it is removed."""
    old = "\n".join(f"line {number}" for number in range(3 * MAX_COMPARED))
    difference = line_difference(old, "one\ntwo", "routes.json").rstrip("\n").split("\n")
    assert len(difference) == MAX_LINES + 1
    assert difference[-1].startswith("... and ")
    middle = "\n".join(["first", *["x", "y"] * MAX_COMPARED, "last"])
    other = "\n".join(["first", *["z"] * 20, "last"])
    assert line_difference(middle, other, "r").split("\n")[2] == f"@@ -1,{2 * MAX_COMPARED + 2} +1,22 @@"
