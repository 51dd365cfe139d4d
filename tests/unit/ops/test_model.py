"""rustun.ops.model and rustun.ops.schema: one list of keys, explained, and what editors are told of it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rustun.ops import model, schema
from rustun.ops.fleet import SETTING_NAMES
from rustun.ops.lab import tables as lab

CHECKOUT = Path(__file__).resolve().parents[3]
TABLES: list[type[BaseModel]] = [
    model.FleetTable, model.ServerTable, model.ClusterTable, model.TagTable, model.MemberTable,
    lab.LabTable, lab.LabHostTable, lab.LabNatTable, lab.LabLinkTable, lab.LabMatrixTable,
]  # fmt: skip
NESTED = {"member", "host", "nat", "link", "matrix"}  # tables of their own
KEYS = [(table, key) for table in TABLES for key in table.model_fields if key not in NESTED]
TYPES: dict[str, Any] = {
    "string": str, "boolean": bool, "integer": int, "number": int | float, "array": list, "object": dict,
}  # fmt: skip


def fits(value: object, rule: dict[str, Any], definitions: dict[str, Any]) -> bool:
    """Return whether a value is what a JSON Schema says; of the words of that language those that ours has."""
    if "$ref" in rule:
        return fits(value, definitions[rule["$ref"].removeprefix("#/$defs/")], definitions)
    if "anyOf" in rule:
        return any(fits(value, one, definitions) for one in rule["anyOf"])
    if not isinstance(value, TYPES[rule["type"]]) or (isinstance(value, bool) and rule["type"] != "boolean"):
        return False
    if isinstance(value, list):
        enough = rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value))
        return enough and all(fits(item, rule["items"], definitions) for item in value)
    if isinstance(value, dict):
        known, others = rule.get("properties", {}), rule["additionalProperties"]
        if not set(rule.get("required", ())) <= value.keys() or (others is False and value.keys() - known.keys()):
            return False
        return all(fits(item, known.get(key, others), definitions) for key, item in value.items())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(rule.get("minimum", value) <= value <= rule.get("maximum", value))
    return value in rule.get("enum", [value])


def inventory_fits(text: str) -> bool:
    """Return whether an editor takes an inventory; dates are texts to it."""
    whole = json.loads((CHECKOUT / schema.SCHEMA_FILE).read_text())
    values = json.loads(json.dumps(tomllib.loads(text), default=str))
    return fits(values, whole, whole["$defs"])


@pytest.mark.parametrize(("table", "key"), KEYS, ids=lambda part: getattr(part, "__name__", part))
def test_each_key_is_explained_and_its_examples_are_taken(table: type[BaseModel], key: str) -> None:
    """An editor, or the remedy of an error, would propose what is refused."""
    field = table.model_fields[key]
    assert re.search(r"\w.*\.$", field.description or "")
    assert field.examples
    needed = {name: (other.examples or [None])[0] for name, other in table.model_fields.items() if other.is_required()}
    for example in field.examples:
        table.model_validate({**needed, key: example})


@pytest.mark.parametrize(("table", "key"), KEYS, ids=lambda part: getattr(part, "__name__", part))
def test_each_key_is_documented(table: type[BaseModel], key: str) -> None:
    """A key would be known to those alone who read the code."""
    assert re.search(rf"[`{{ ,]{key}[`, }}]", (CHECKOUT / "docs" / "inventory.md").read_text()), table


def test_the_levels_share_the_settings_of_the_records() -> None:
    """A setting would be read and forgotten, or could be written at some levels only."""
    assert set(model.SettingsTable.model_fields) == set(SETTING_NAMES)
    for table in (model.FleetTable, model.ClusterTable, model.TagTable, model.MemberTable):
        assert issubclass(table, model.SettingsTable)


def test_the_schema_of_the_checkout_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """Editors would mark new keys as wrong."""
    assert schema.run(CHECKOUT, check=True) == 0, "run ./invoke schema"
    assert "is current" in capsys.readouterr().out


def test_editors_take_what_is_read_and_mark_slips() -> None:
    """Every good inventory would be underlined, or none that is wrong."""
    demo = (CHECKOUT / "inventory" / "demo.toml").read_text()
    assert demo.startswith("#:schema ./inventory.schema.json\n")
    more = '[cluster.more.member.m]\nexpires_at = 2027-06-30\nciders = "10.0.0.0/8"\n'
    assert inventory_fits(demo + more + "key = [1, 2]\n")
    for wrong in ("ciphr = 1", "enabled = 'yes'", "key = [1, 2, 3]", "mtu = 3", "names = 'dns'", "mtu = true"):
        assert not inventory_fits(demo + more + wrong), wrong
    assert not inventory_fits('[fleet]\nname = "f"\nservers = []\n')
    assert not inventory_fits('[fleet]\nname = "f"\n')


def test_the_schema_is_written_only_where_it_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check would write, or a run without a change would show one."""
    (tmp_path / "inventory").mkdir()
    file = tmp_path / schema.SCHEMA_FILE
    assert schema.run(tmp_path, check=True) == 3
    assert not file.exists()
    assert schema.run(tmp_path, check=False) == 0
    written = file.stat().st_ino
    assert schema.run(tmp_path, check=False) == 0
    assert file.stat().st_ino == written
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert capsys.readouterr().out.count("written") == 1
