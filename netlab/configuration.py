"""Make a laboratory's configuration files from an inventory, exactly as `gen-config` makes them for real hosts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from netlab.errors import BadInput, EnvironmentLacks
from netlab.spec import lab_spec
from netlab.topology import LabSpec
from rustun.errors import ConfigError, RustunError
from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan


@dataclass(frozen=True, slots=True)
class Configured:
    """An inventory, what a laboratory is made from it, and where its generated files are."""

    source: Path
    inventory: Inventory
    spec: LabSpec
    folder: Path
    files: int
    seconds: float


def load(source: Path) -> Inventory:
    """Read an inventory. Raises BadInput with every problem of its files."""
    try:
        return load_inventory(source)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    except RustunError as error:
        raise BadInput(error.message, error.remedy) from error


def configure(source: Path, inventory: Inventory, folder: Path) -> Configured:
    """Generate the inventory's files into `folder`.

    Raises:
        BadInput: the inventory makes files that rustun would refuse.
        EnvironmentLacks: the folder cannot be written.
    """
    started = monotonic()
    try:
        plan = plan_render(inventory, folder)
        write_plan(plan)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    except RustunError as error:
        raise EnvironmentLacks(error.message, error.remedy) from error
    spec = lab_spec(inventory)
    return Configured(source, inventory, spec, folder, len(plan.files), monotonic() - started)
