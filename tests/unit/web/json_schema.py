"""The part of JSON Schema that our OpenAPI document speaks: whether a value fits, and values that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from hypothesis import strategies as st

KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "array": (list,), "object": (dict,), "boolean": (bool,), "integer": (int,), "null": (type(None),),
}  # fmt: skip
KNOWN: Final = {
    "type", "properties", "required", "items", "additionalProperties", "oneOf", "enum", "const", "minimum", "format",
    "description", "$ref",
}  # fmt: skip
Schema = Mapping[str, Any]


def problems(value: object, schema: Schema, refs: Schema, place: str = "$") -> Iterator[str]:
    """Yield what does not fit. Args: refs: schemas by the last part of a $ref."""
    assert schema.keys() <= KNOWN, f"{place}: a word that this does not know: {schema.keys() - KNOWN}"
    if "$ref" in schema:
        yield from problems(value, refs[schema["$ref"].rpartition("/")[2]], refs, place)
    if "const" in schema and value != schema["const"]:
        yield f"{place} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place} is none of {schema['enum']}"
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if not list(problems(value, one, refs, place))]
        if len(fitting) != 1:
            yield f"{place} fits {len(fitting)} of several forms"
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        fits = any(isinstance(value, KINDS[kind]) for kind in kinds)
        if not fits or (isinstance(value, bool) and "boolean" not in kinds):
            yield f"{place} is {type(value).__name__}, not {kinds}"
    if "minimum" in schema and isinstance(value, int) and value < schema["minimum"]:
        yield f"{place} is below {schema['minimum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from problems(item, schema.get("items", {}), refs, f"{place}[{number}]")
    if isinstance(value, dict):
        yield from _problems_of_object(value, schema, refs, place)


def _problems_of_object(value: dict[str, object], schema: Schema, refs: Schema, place: str) -> Iterator[str]:
    yield from (f"{place} lacks {key}" for key in schema.get("required", ()) if key not in value)
    for key, item in value.items():
        further = schema.get("additionalProperties", True)
        if key in schema.get("properties", {}):
            yield from problems(item, schema["properties"][key], refs, f"{place}.{key}")
        elif further is False and "properties" in schema:
            yield f"{place} has {key}"
        elif isinstance(further, dict):
            yield from problems(item, further, refs, f"{place}.{key}")


def fitting(schema: Schema, words: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return values that fit a schema. Args: words: its texts."""
    if "oneOf" in schema:
        return st.one_of([fitting(one, words) for one in schema["oneOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "null")
    return st.one_of([_of_kind(kind, schema, words) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def _of_kind(kind: str, schema: Schema, words: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    if kind == "object" and "properties" in schema:
        parts = {key: fitting(part, words) for key, part in schema["properties"].items()}
        needed = {key: parts.pop(key) for key in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=parts)
    plain: Mapping[str, st.SearchStrategy[Any]] = {
        "string": words,
        "boolean": st.booleans(),
        "null": st.none(),
        "integer": st.integers(schema.get("minimum", -99), 2**40),
        "object": st.dictionaries(words, words, max_size=2),
    }
    return st.lists(fitting(schema["items"], words), max_size=3) if kind == "array" else plain[kind]
