"""What the inventory generates, compared with what is there: the lock file of addresses, and the files of a folder.

Where a policy is kept beside the inventory, nothing is prepared that would break it. The lock file is written before
the files that have its addresses: where a run is cut off in between, the next one goes on with the same addresses.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from rustun.errors import ConfigError, Problem
from rustun.ops.ending import PolicyBroken
from rustun.ops.filenames import SECRETS
from rustun.ops.fleet import Inventory
from rustun.ops.former_keys import former_keys
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import sealed_keys
from rustun.ops.policy.run import check, failures
from rustun.ops.recorded import lock_file, lock_text
from rustun.ops.render import PlannedFile, RenderPlan, plan_render, write_plan


@dataclass(frozen=True, slots=True)
class Prepared:
    """An inventory and what it generates.

    Attributes:
        inventory: file or folder.
        lock: the inventory's lock file where it has to change; its name is where it is.
        plan: of the other files.
        notes: warnings and notes, of the inventory and of what is in the folder.
    """

    inventory: Path
    fleet: Inventory
    lock: PlannedFile | None
    plan: RenderPlan
    notes: tuple[Problem, ...] = ()

    @property
    def current(self) -> bool:
        """Whether there is nothing to write."""
        return self.plan.current and not self.lock

    @property
    def changes(self) -> tuple[PlannedFile, ...]:
        """The files that differ from what is there."""
        return (self.lock, *self.plan.changes) if self.lock else self.plan.changes

    def write(self) -> None:
        """Put everything in place. Raises: ConfigError, HostError as `write_plan` does; the same for the lock file."""
        if self.lock:
            from rustun.ops.editing.files import InventoryFiles, editing, write_files  # slow to load

            file = Path(self.lock.name)
            before = {} if self.lock.present is None else {file: self.lock.present.decode()}
            with editing(self.inventory):
                write_files(InventoryFiles(self.inventory, before, {file: self.lock.wished.decode()}))
        write_plan(self.plan)


def prepare(inventory: Path, out: Path | None, checkout: Path) -> Prepared:
    """Load an inventory and compare what it generates with what is there; nothing is written.

    Args:
        inventory: a file or a folder.
        out: folder of the generated files; None for the usual one, build/NAME of the checkout.
    Raises:
        PolicyBroken: an assertion kept beside the inventory does not hold.
        ConfigError, HostError: as `load_inventory` and `plan_render` do; ConfigError too where a policy cannot be read,
            and where all keys are still sealed.
    """
    lock = lock_file(inventory)
    recorded = lock.read_bytes() if lock.exists() else None  # first: who edits meanwhile is noticed when it is written
    fleet = load_inventory(inventory)
    plan = plan_render(fleet, out or checkout / "build" / fleet.name)
    sealed = sealed_keys(inventory)
    if plan.new_secrets and sealed.exists() and not any((plan.folder / SECRETS).rglob("*.key")):
        remedy = "./invoke secrets-open; for new ones on purpose take that file away"
        raise ConfigError((Problem(str(sealed), 0, "", "holds the keys, and there is none outside it", remedy),))
    if broken := failures(check(inventory, fleet, plan.routes.wished, dt.datetime.now(dt.UTC))):
        raise PolicyBroken("\n".join(broken), "change the inventory or the policy: ./invoke policy-test")
    changed = fleet.to_record != fleet.recorded
    wished = PlannedFile(str(lock), recorded, lock_text(fleet.to_record).encode()) if changed else None
    return Prepared(inventory, fleet, wished, plan, (*fleet.notes, *former_keys(plan)))
