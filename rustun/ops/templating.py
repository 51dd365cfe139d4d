"""templates/*.j2 -> text: one environment, and the filters that write values in the language of each file.

Rules of this module
  1. A template has no logic beyond if and for; what is missing is an error, never an empty place.
  2. Every value goes through a filter that escapes it for the language of its file.
"""

from __future__ import annotations

import functools
import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rustun.ops.filenames import psk_file
from rustun.ops.fleet import Inventory

if TYPE_CHECKING:
    import jinja2

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MARKUP: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>|#!~"})  # Markdown's
_AS_TEXT: Final = json.encoder.encode_basestring
_AS_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str).encode  # json.dumps makes an encoder each time
TEMPLATES: Final = Path(__file__).resolve().parents[2] / "templates"


def render(template: str, **values: object) -> str:
    """Return what a template of templates/ makes of some values; its name there is `template` and .j2."""
    compiled = _compiled(f"{template}.j2")
    context = compiled.new_context(values, shared=True)  # without jinja2's globals: copying them takes time
    return "".join(compiled.root_render_func(context))


def render_routes(inventory: Inventory) -> bytes:
    """Return the fleet's routes.json; public keys stand in it where the inventory has them."""
    return render("routes.json", fleet=inventory, psk_file=psk_file).encode()


@functools.cache
def _compiled(name: str) -> jinja2.Template:
    return _environment().get_template(name)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # slow to load, and many tasks want the filters alone

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        optimized=False,  # a third of the time of compiling, for a handful of constants
        undefined=jinja2.StrictUndefined,
        auto_reload=False,  # a template does not change in one run; looking each time costs more than rendering
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # TOML, JSON and units, not HTML: the filters below escape
    )
    environment.filters.update(toml=toml_value, json=json_value, alone=alone)
    environment.filters.update(cell=cell, label=label, xml=xml, shell=shell)
    return environment


def toml_value(value: object) -> str:
    """Return a value as TOML writes it: text, whole number, bool, sequence, or mapping (an inline table)."""
    match value:
        case str():  # JSON's escapes are TOML's, but TOML wants DEL escaped as well
            return _AS_TEXT(value).replace("\x7f", "\\u007f")
        case bool() | int():
            return str(value).lower()
        case Mapping():
            return "{ " + ", ".join(f"{toml_key(str(k))} = {toml_value(v)}" for k, v in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case _:
            return toml_value(str(value))


def toml_key(name: str) -> str:
    """Return a key or a part of a header as TOML writes it: bare where it can be."""
    return name if _BARE.fullmatch(name) else toml_value(name)


def json_value(value: object) -> str:
    """Return a value as JSON writes it; what JSON does not know is written as its text."""
    match value:
        case str():
            return _AS_TEXT(value)
        case bool() | int() | float() | dict() | None:
            return _AS_JSON(value)
        case list() | tuple():
            return "[" + ", ".join(json_value(item) for item in value) + "]"
        case _:  # here and not in the encoder, which is slow where it has to ask
            return _AS_TEXT(str(value))


def alone(values: Sequence[str]) -> str | Sequence[str]:
    """Return the only value by itself, several as they are: how keys are written."""
    return values[0] if len(values) == 1 else values


def cell(value: object) -> str:
    """Return a text for a table of Markdown: on one line, nothing of it taken for markup."""
    return " ".join(str(value).split()).translate(_MARKUP)


def label(value: object) -> str:
    """Return a text for a quoted label of Mermaid, which takes HTML's entities by number."""
    line = " ".join(str(value).split())
    return "".join(c if c.isalnum() or c in " .:/-_()" else f"#{ord(c)};" for c in line)


def xml(value: object) -> str:
    """Return a text for XML; what XML cannot hold becomes a question mark."""
    line = "".join(c if c.isprintable() else "?" for c in str(value))
    return html.escape(line)


def shell(value: object) -> str:
    """Return a text as one word of a shell, on one line."""
    return shlex.quote(" ".join(str(value).split()))
