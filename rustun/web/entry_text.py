"""Change the text of a JSON list of objects: what is not changed keeps its spelling, its spaces and its place.

Rules of this module
  1. Text in, text out. What an edit does not name stays as it is written: other entries, unknown keys, line ends.
  2. What is new is written as its neighbour is: on a line of its own where that one has one.
  3. The list was cut into its entries before (rustun.config.json_entries), so it is JSON; nothing is judged here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rustun.config.json_entries import Span

Values = Mapping[str, object]
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Field:
    """A key of an object and its value; `lead` is the space before it, `start` to `end` are offsets of both."""

    key: str
    value: object
    lead: str
    start: int
    value_start: int
    end: int


def set_keys(entry: str, values: Values) -> str:
    """Return the text of an object with other values for some of its keys.

    Args:
        entry: from its { to its }.
        values: by key; None takes the key out.
    """
    for key, value in values.items():
        entry = _without(entry, key) if value is None else _with(entry, key, value)
    return entry


def edit_list(text: str, spans: Sequence[Span], changed: Mapping[int, str | None], added: Sequence[Values]) -> str:
    """Return the text of a list with some of its objects changed, taken out or added behind the last.

    Args:
        text: the whole file.
        spans: of all its elements.
        changed: by the number of the element, from 0: its new text, or None for one that goes.
        added: what stands in the new ones, without keys whose value is None.
    """
    opening, closing = text.index("[") + 1, text.rindex("]")
    kept = [number for number in range(len(spans)) if changed.get(number, "") is not None]
    lead, joint, tail = "\n  ", ",\n  ", "\n"
    if spans:
        lead, tail = text[opening : spans[0].start], text[spans[-1].end : closing]
        joint = text[spans[-2].end : spans[-1].start] if len(spans) > 1 else f",{lead or ' '}"
    model = text[spans[-1].start : spans[-1].end] if spans else ""
    pieces: list[str] = []
    for number in kept:
        pieces.append(text[spans[number - 1].end : spans[number].start] if pieces else lead)
        pieces.append(changed.get(number) or text[spans[number].start : spans[number].end])
    for values in added:
        pieces += [joint if pieces else lead, _written(values, model)]
    if not pieces:
        return text[:opening] + text[closing:] if spans else text
    return text[:opening] + "".join([*pieces, tail]) + text[closing:]


def _written(values: Values, model: str) -> str:
    """Return a new object in the form of another one; the seed's, with a line for each key, where there is none."""
    fields = _fields(model) if model else []
    first = lead = "\n    "
    tail = "\n  "
    if fields:
        first, lead = fields[0].lead, fields[min(1, len(fields) - 1)].lead
        tail = model[fields[-1].end : -1]
    said = [f"{_dumps(key)}: {_dumps(value)}" for key, value in values.items() if value is not None]
    return "{" + first + f",{lead or ' '}".join(said) + tail + "}"


def _with(entry: str, key: str, value: object) -> str:
    fields = _fields(entry)
    for field in fields:
        if field.key == key:
            same = type(field.value) is type(value) and field.value == value
            return entry if same else entry[: field.value_start] + _dumps(value) + entry[field.end :]
    said = f"{_dumps(key)}: {_dumps(value)}"
    if not fields:
        return "{" + said + "}"
    last = fields[-1]
    return f"{entry[: last.end]},{last.lead or ' '}{said}{entry[last.end :]}"


def _without(entry: str, key: str) -> str:
    fields = _fields(entry)
    for number, field in enumerate(fields):
        if field.key == key:
            start = fields[number - 1].end if number else field.start
            end = fields[1].start if not number and len(fields) > 1 else field.end
            return entry[:start] + entry[end:]
    return entry


def _fields(entry: str) -> list[_Field]:
    found: list[_Field] = []
    position = 1  # behind the {
    while True:
        start = _skip(entry, position)
        if entry[start] == "}":
            return found
        key, behind_key = _DECODER.raw_decode(entry, start)
        value_start = _skip(entry, _skip(entry, behind_key) + 1)
        value, end = _DECODER.raw_decode(entry, value_start)
        found.append(_Field(key, value, entry[position:start], start, value_start, end))
        position = _skip(entry, end)
        if entry[position] == "}":
            return found
        position += 1  # behind the comma


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
