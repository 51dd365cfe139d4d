"""The JSON Schema of the inventory, made of its models: editors complete keys, show what they mean and mark slips.

An editor takes it where a file begins with `#:schema ./inventory.schema.json` (Taplo, Even Better TOML). It says less
than loading does: conversions of texts and everything between two tables is left to `./invoke lint`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from rustun.durable import replace_file
from rustun.ops.exit_codes import DIFFERS, ENVIRONMENT, OK
from rustun.ops.lab.tables import LabTable
from rustun.ops.model import ClusterTable, FleetTable, TagTable, WrittenTable, may

SCHEMA_FILE: Final = Path("inventory", "inventory.schema.json")
DIALECT: Final = "http://json-schema.org/draft-07/schema#"  # what editors know best; `$defs` is an ordinary key to it


class InventoryFile(WrittenTable):
    """A rustun inventory, or one file of it: a folder's files are read as one."""

    fleet: FleetTable | None = may("Once in the inventory: what holds for the whole fleet.")
    cluster: dict[str, ClusterTable] = may("Tenants by name.", default_factory=dict)
    tag: dict[str, TagTable] = may("Settings of members that have a tag.", default_factory=dict)
    lab: LabTable | None = may("What only the laboratory reads.")


class _ForEditors(GenerateJsonSchema):
    """TOML has no null, and a key is its own title."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default", "") is None:
            del made["default"]
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema_text() -> str:
    """Return the schema as its file has it."""
    schema = InventoryFile.model_json_schema(schema_generator=_ForEditors)
    return json.dumps({"$schema": DIALECT, **schema}, indent=2) + "\n"


def run(checkout: Path, *, check: bool) -> int:
    """Write the schema's file, or with `check` only say whether it is current; return the exit code."""
    file, text = checkout / SCHEMA_FILE, schema_text()
    current = file.is_file() and file.read_text() == text
    if check or current:
        print(f"schema: {SCHEMA_FILE} is {'current' if current else 'not current: ./invoke schema'}")
        return OK if current else DIFFERS
    try:
        replace_file(file, text.encode())
    except OSError as error:
        print(f"schema: {error.filename}: cannot be written: {error.strerror}", file=sys.stderr)
        return ENVIRONMENT
    print(f"schema: {SCHEMA_FILE} written")
    return OK
