"""templates/*.j2 -> text: one environment, and the filters that write values as TOML and JSON.

Rules of this module
  1. A template has no logic beyond if and for; what is missing is an error, never an empty place.
  2. Every value goes through a filter that escapes it for the language of its file.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import jinja2

from rustun.ops.fleet import Inventory

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"


def render(template: str, **values: object) -> str:
    """Return what a template of templates/ makes of some values; its name there is `template` and .j2."""
    return _environment().get_template(f"{template}.j2").render(values)


def render_routes(inventory: Inventory) -> bytes:
    """Return the fleet's routes.json; public keys stand in it where the inventory has them."""
    return render("routes.json", fleet=inventory).encode()


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # TOML, JSON and units, not HTML: the filters below escape
    )
    environment.filters.update(toml=toml_value, json=json_value, alone=alone)
    return environment


def toml_value(value: object) -> str:
    """Return a value as TOML writes it: text, whole number, bool, sequence, or mapping (an inline table)."""
    match value:
        case bool() | int():
            return str(value).lower()
        case Mapping():
            return "{ " + ", ".join(f"{toml_key(str(k))} = {toml_value(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case _:  # JSON's escapes are TOML's, but TOML wants DEL escaped as well
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(name: str) -> str:
    """Return a key or a part of a header as TOML writes it: bare where it can be."""
    return name if _BARE.fullmatch(name) else toml_value(name)


def json_value(value: object) -> str:
    """Return a value as JSON writes it; what JSON does not know is written as its text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def alone(values: Sequence[str]) -> str | Sequence[str]:
    """Return the only value by itself, several as they are: how keys are written."""
    return values[0] if len(values) == 1 else values
