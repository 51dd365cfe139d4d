"""Texts of lists of objects, edited in place."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.config.json_entries import EntryCutter, Span
from rustun.web.entry_text import edit_list, set_keys

SEEDS = """[
  {
    "cluster": "beijing",
    "identity": "bj-office-gw",
    "ciders": [ "192.168.1.0/24",
                "192.168.2.0/24" ]
  },
  {
    "cluster": "beijing",
    "identity": "bj-dev",
    "note":   "ours, \\u00e4 {not} a [list], \\"quoted\\""
  }
]
"""
NEW = {"cluster": "beijing", "identity": "new", "ciders": ["10.9.0.0/16"], "gateway": None}
SPACE = st.text(alphabet=" \t\r\n", max_size=3)
NAMES = st.text(alphabet='ab "\\{}[],:é', max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | NAMES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


def spans(text: str) -> list[Span]:
    """Return where the elements stand."""
    return [entry.span for entry in EntryCutter(text)]


def edited(text: str, changed: Mapping[int, str | None], *added: Mapping[str, object]) -> str:
    """Edit a list."""
    return edit_list(text, spans(text), changed, added)


@st.composite
def written(draws: st.DrawFn) -> tuple[str, list[str]]:
    """Return the text of a list of objects in any form that JSON allows, and those of its elements."""
    texts = []
    for entry in draws(st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)):
        fields = (
            draws(SPACE) + json.dumps(key, ensure_ascii=draws(st.booleans())) + draws(SPACE) + ":" + draws(SPACE)
            + json.dumps(value, ensure_ascii=False) + draws(SPACE)
            for key, value in entry.items()
        )  # fmt: skip
        texts.append("{" + (",".join(fields) or draws(SPACE)) + "}")
    inside = ",".join(draws(SPACE) + text + draws(SPACE) for text in texts) or draws(SPACE)
    return draws(SPACE) + "[" + inside + "]" + draws(SPACE), texts


def test_an_edit_touches_the_value_that_it_names_and_nothing_else() -> None:
    """If this fails, a click in the dashboard writes a file anew that somebody keeps by hand."""
    first, second = spans(SEEDS)
    entry = SEEDS[second.start : second.end]
    after = edited(SEEDS, {1: set_keys(entry, {"identity": "bj-prod"})})
    assert after == SEEDS.replace('"bj-dev"', '"bj-prod"')
    entry = SEEDS[first.start : first.end]
    assert set_keys(entry, {"ciders": ["192.168.1.0/24", "192.168.2.0/24"]}) == entry, "the same, spelled otherwise"


def test_what_is_new_looks_like_its_neighbours() -> None:
    """If this fails, an added member stands on one line in a file of many, or the other way round."""
    entry = SEEDS[spans(SEEDS)[1].start : spans(SEEDS)[1].end]
    assert set_keys(entry, {"enabled": False}).endswith('quoted\\"",\n    "enabled": false\n  }')
    assert edited(SEEDS, {}, NEW) == SEEDS.removesuffix("\n]\n") + (
        ',\n  {\n    "cluster": "beijing",\n    "identity": "new",\n    "ciders": ["10.9.0.0/16"]\n  }\n]\n'
    )
    compact = '[{"identity": "a"}]'
    assert edited(compact, {}, {"identity": "b"}) == '[{"identity": "a"}, {"identity": "b"}]'
    crlf = '[\r\n  { "identity": "a" }\r\n]\r\n'
    assert edited(crlf, {}, {"identity": "b"}) == '[\r\n  { "identity": "a" },\r\n  { "identity": "b" }\r\n]\r\n'


@pytest.mark.parametrize("empty", ["[]", "[ ]", "[\n]\n"])
def test_a_list_without_entries_gets_its_first(empty: str) -> None:
    """If this fails, the first member of a new server cannot be added."""
    assert json.loads(edited(empty, {}, NEW)) == [{key: value for key, value in NEW.items() if value is not None}]
    assert edited(empty, {}) == empty


def test_entries_go_with_their_comma() -> None:
    """If this fails, what is left is no JSON."""
    three = '[\n  {"identity": "a"},\n  {"identity": "b"},\n  {"identity": "c"}\n]\n'
    assert edited(three, {0: None}) == '[\n  {"identity": "b"},\n  {"identity": "c"}\n]\n'
    assert edited(three, {1: None}) == '[\n  {"identity": "a"},\n  {"identity": "c"}\n]\n'
    assert edited(three, {2: None}) == '[\n  {"identity": "a"},\n  {"identity": "b"}\n]\n'
    assert edited(three, {0: None, 1: None, 2: None}) == "[]\n"


@given(written(), st.data())
def test_any_edit_of_any_text_means_what_it_says(text_and_entries: tuple[str, list[str]], draws: st.DataObject) -> None:
    """If this fails, there is a form of JSON in which an edit hits another entry, or breaks the file."""
    text, entries = text_and_entries
    assert edited(text, {}) == text
    wishes = draws.draw(st.lists(st.none() | st.dictionaries(NAMES, VALUES, max_size=3), max_size=len(entries)))
    changed = {number: None if wish is None else set_keys(entries[number], wish) for number, wish in enumerate(wishes)}
    added = draws.draw(st.lists(st.dictionaries(NAMES, VALUES, max_size=3), max_size=2))
    after = edited(text, changed, *added)
    expected = []
    for number, entry in enumerate(entries):
        wish = wishes[number] if number < len(wishes) else {}
        if wish is not None:
            values = {**json.loads(entry), **wish}
            expected.append({key: value for key, value in values.items() if value is not None or key not in wish})
    expected += [{key: value for key, value in values.items() if value is not None} for values in added]
    assert json.loads(after) == expected
    for number in range(len(wishes), len(entries)):
        assert entries[number] in after, "untouched, to the letter"
