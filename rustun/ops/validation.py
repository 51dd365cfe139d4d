"""Read a table by its model: the model, and every problem of the table with its place and its remedy.

Rules of this module
  1. A table without a problem costs one call of pydantic. Everything else here is the way to an error message.
  2. What is wrong is reported and taken out, and the rest is read: so that what contradicts what is found in the same
     run. A table that cannot do without what was taken out is None.
  3. pydantic names the place and the kind of a problem, the words are ours (`_words`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from rustun.config.findings import describe, suggestion
from rustun.config.toml import Table
from rustun.ops.model import COMPLAINT
from rustun.ops.templating import toml_value

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})
MAX_ROUNDS: Final = 4  # of taking out what is wrong: a value, then the table in a list that cannot do without it
_KEY: Final = "[key]"  # the last part of a place where the key of a mapping is wrong, not its value


def read_table(table: Table, model: type[M], *apart: str, instead: Mapping[str, object] = NOTHING) -> M | None:
    """Return what a table says, or None where it says too little; problems are reported to the table.

    Args:
        apart: keys of the table that are read elsewhere.
        instead: values for keys that have to be there and are not, so that reading can go on.
    """
    values = table.values
    if apart:
        values = {key: value for key, value in values.items() if key not in apart}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
    for one in found:
        _report(table, model, one)
    return _rest({**instead, **copy.deepcopy(values)}, model, found)


def _rest(values: dict[str, Any], model: type[M], found: Sequence[ErrorDetails]) -> M | None:
    """Return the model of what is left without the problems, if it can be had."""
    for _ in range(MAX_ROUNDS):
        for one in reversed(found):  # a list loses its last items first, so that the others keep their places
            place = _place(one)
            _take_out(values, place[:-1] if one["type"] == "missing" else place)
        try:
            return model.model_validate(values)
        except ValidationError as error:
            found = error.errors(include_url=False)
    return None


def _place(error: ErrorDetails) -> Place:
    return tuple(part for part in error["loc"] if part != _KEY)


def _take_out(values: Any, place: Place) -> None:
    """Take out the value at `place`, or the innermost one around it that is there."""
    inner: Any = None
    at: int | str = ""
    for part in place:
        if not (part in values if isinstance(values, dict) else isinstance(values, list) and isinstance(part, int)):
            break
        inner, at, values = values, part, values[part]
    if inner is not None:
        del inner[at]


def _report(table: Table, model: type[BaseModel], error: ErrorDetails) -> None:
    """Report a problem to the innermost table that it is in."""
    place = _place(error)
    while len(place) > 1:
        first, second = str(place[0]), place[1]
        value = table.values.get(first)
        if isinstance(value, dict):
            table, model, place = table.table(first), _inner(model, first) or model, place[1:]
        elif len(place) > 2 and isinstance(value, list) and isinstance(second, int):
            table, model, place = table.tables(first, "")[second], _row(model, first) or model, place[2:]
        else:
            break
    key = str(place[0])
    reason, remedy = _words(model, key, error)
    table.report(key, reason, remedy, value=error["input"])


def _row(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the tables in a list, None where the key holds no list of tables."""
    annotation = model.model_fields[key].annotation
    item = next(iter(get_args(annotation)), None) if get_origin(annotation) is tuple else None
    return item if isinstance(item, type) and issubclass(item, BaseModel) else None


def _inner(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Return the model of the table below a key, None where there is none, or tables by name."""
    kinds = get_args(model.model_fields[key].annotation)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _words(model: type[BaseModel], key: str, error: ErrorDetails) -> tuple[str, str]:
    """Return reason and remedy."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == COMPLAINT:
        return context["reason"], context["remedy"]
    if kind == "extra_forbidden":
        return "is not a known key", suggestion(key, model.model_fields)
    if kind == "too_long":
        count, most = context["actual_length"], context["max_length"]
        return f"has {count} entries, at most {most} are possible", "take the oldest out"
    if kind == "string_type":  # also of what stands in a list or in a mapping, where the key is none of the model's
        return f"is {describe(error['input'])}, not a text", f'put it in quotes: {key} = "..."'
    return _words_by_example(model, key, kind, describe(error["input"]))


def _words_by_example(model: type[BaseModel], key: str, kind: str, found: str) -> tuple[str, str]:
    """Return reason and remedy for what is best mended by looking at how it should be."""
    examples = model.model_fields[key].examples or [""]
    example = f"{key} = {toml_value(examples[0])}"
    match kind:
        case "missing":
            return "is missing", f"add {example}"
        case "bool_type":
            return f"is {found}, not true or false", "write true or false, without quotes"
        case "int_type":
            return f"is {found}, not a whole number", f"write {example}"
        case "greater_than_equal" | "less_than_equal":
            return f"is {found}, out of its range", f"{_range(model, key)}, as in {example}"
    if _row(model, key):
        return "is not a list of tables", f"write {example}"
    if kind in ("dict_type", "model_type"):
        return f"is {found}, not a table", f"write {example}"
    return f"is {found}, not a text or a list of texts", f'write {key} = "...", or {key} = ["...", "..."]'


def _range(model: type[BaseModel], key: str) -> str:
    limits = model.model_fields[key].metadata
    low = next(limit.ge for limit in limits if isinstance(limit, Ge))
    high = next(limit.le for limit in limits if isinstance(limit, Le))
    return f"{low:,} to {high:,}"
