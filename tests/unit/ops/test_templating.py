"""rustun.ops.templating: values as TOML and JSON write them."""

from __future__ import annotations

import json
import tomllib
from ipaddress import ip_network

import pytest

from rustun.ops.templating import json_value, toml_key, toml_value


@pytest.mark.parametrize(
    "value",
    ["", 'a"b\\c', "tab\there", "\x00\x1f\x7f", "é😀", "a\nb", True, 0, -5, ["a", 1, False], {'k"': "v", "b": "w"}],
)
def test_toml_values_read_back_as_they_were(value: object) -> None:
    """A name with a quote in it could add a key to a generated file."""
    assert tomllib.loads(f"x = {toml_value(value)}\n") == {"x": value}


def test_json_values_are_the_texts_of_what_json_does_not_know() -> None:
    """A prefix in routes.json would end in a traceback."""
    assert json.loads(json_value(ip_network("10.0.0.0/8"))) == "10.0.0.0/8"


@pytest.mark.parametrize("name", ["bj-dev", "a.b", "", "é", 'a"b', "1"])
def test_keys_are_one_part_each(name: str) -> None:
    """An identity with a dot in it would become a table in a table."""
    assert tomllib.loads(f"{toml_key(name)} = 1\n[t.{toml_key(name)}]\n") == {name: 1, "t": {name: {}}}
    assert (toml_key(name) == name) is (name in ("bj-dev", "1"))
