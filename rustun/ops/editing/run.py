"""`invoke add-member` and its kin: edit, read back, show what follows, write.

Exit codes as in tasks.py. Facts go to standard output, problems and the question whether to go on to standard error.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rustun.errors import ConfigError, Problem
from rustun.ops import ending
from rustun.ops.editing import edits
from rustun.ops.editing.changes import EditError
from rustun.ops.editing.edits import Assignment, assignment
from rustun.ops.editing.files import InventoryFiles, editing, read_back, read_files, write_files
from rustun.ops.exit_codes import BAD_INPUT, INTERRUPTED, OK
from rustun.ops.fleet import Inventory
from rustun.ops.former_keys import free_number
from rustun.ops.keyfiles import keeping_member_keys, keys_in_the_way
from rustun.ops.policy.run import check, failures, read_assertions
from rustun.ops.render import RenderPlan, plan_render
from rustun.ops.uninterrupted import uninterrupted
from rustun.printable import quoted

Edit = Callable[[InventoryFiles], InventoryFiles]


@dataclass(frozen=True, slots=True)
class Order:
    """How an edit is carried out.

    Attributes:
        inventory: a file or a folder.
        build: folder in which each fleet has its folder of generated files.
        out: folder of this one's; None for the usual one.
        dry: write nothing.
        as_json: print facts as JSON.
    """

    inventory: Path
    build: Path
    out: Path | None = None
    dry: bool = False
    as_json: bool = False


def add_cluster(order: Order, name: str, keys: Sequence[str]) -> int:
    """Add a cluster with `KEY=VALUE` keys."""
    return guarded(
        "add-cluster", lambda: carry_out("add-cluster", order, lambda f: edits.add_cluster(f, name, _sets(keys)))
    )


def add_member(order: Order, cluster: str, identity: str, keys: Sequence[str]) -> int:
    """Add a member with `KEY=VALUE` keys; one whose key file is there from before only with a `key` among them."""

    def edit(files: InventoryFiles) -> InventoryFiles:
        return edits.add_member(files, cluster, identity, _sets(keys))

    says_which = any(one.partition("=")[0].strip() == "key" for one in keys)
    return guarded("add-member", lambda: carry_out("add-member", order, edit, new="" if says_which else identity))


def edit_member(
    order: Order,
    identity: str,
    keys: Sequence[str],
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    unset: Sequence[str] = (),
) -> int:
    """Set keys of a member, add to and take from its lists, take keys out."""

    def edit(files: InventoryFiles) -> InventoryFiles:
        wished = [
            *_sets(keys),
            *(assignment(one, "add") for one in add),
            *(assignment(one, "remove") for one in remove),
        ]
        if not wished and not unset:
            raise EditError(f"nothing to change of {identity}", "as in --set mtu=1400, --add ciders=192.168.3.0/24")
        return edits.edit_member(files, identity, wished, unset)

    return guarded("edit-member", lambda: carry_out("edit-member", order, edit))


def enable_member(order: Order, identity: str, *, enabled: bool) -> int:
    """Switch a member on or off; it stays in the inventory."""
    keys = [Assignment("enabled", ("true" if enabled else "false",))]
    name = "enable-member" if enabled else "disable-member"
    return guarded(name, lambda: carry_out(name, order, lambda files: edits.edit_member(files, identity, keys)))


def remove_member(order: Order, identity: str, *, yes: bool) -> int:
    """Take a member out, once that is confirmed."""
    question = "" if yes else f"remove member {identity} from the inventory? its session ends with the next deploy"

    def edit(files: InventoryFiles) -> InventoryFiles:
        wished = edits.remove_member(files, identity)
        if named := sorted(edits.references(files, identity), key=lambda one: (one.file, one.line)):
            raise ConfigError((*named, *_policies_naming(order.inventory, read_back(files), identity)))
        return wished

    return guarded("remove-member", lambda: carry_out("remove-member", order, edit, question))


def rename_member(order: Order, identity: str, name: str) -> int:
    """Give a member another identity; addresses and keys stay."""

    def edit(files: InventoryFiles) -> InventoryFiles:
        return edits.rename_member(files, identity, name)

    return guarded("rename-member", lambda: carry_out("rename-member", order, edit, renamed=(identity, name)))


def _policies_naming(path: Path, inventory: Inventory, identity: str) -> tuple[Problem, ...]:
    """Return the lines of policies beside an inventory that cannot be read without one of its members."""
    clusters = (
        replace(one, members=tuple(member for member in one.members if member.identity != identity))
        for one in inventory.clusters
    )
    try:
        read_assertions(path, replace(inventory, clusters=tuple(clusters)))
    except ConfigError as error:
        return error.problems
    return ()


def _sets(keys: Sequence[str]) -> list[Assignment]:
    return [assignment(one) for one in keys]


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a task and return its exit code; tell its errors in words."""
    try:
        return ending.guarded(name, run)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the inventory is as it was, or as asked for: git diff shows it", file=sys.stderr)
        return INTERRUPTED


def carry_out(
    name: str,
    order: Order,
    edit: Edit,
    question: str = "",
    renamed: tuple[str, str] | None = None,
    new: str = "",
) -> int:
    """Edit an inventory, show what follows, and write it once the question is answered; return the exit code.

    Args:
        edit: from the files as they are to the files as wished.
        question: has to be answered with yes; empty: nobody is asked.
        renamed: a member's identity, and its new one.
        new: identity of a member that shall not come by the key of an earlier one; empty: none.
    Raises: RustunError: nothing was written.
    """
    with editing(order.inventory):
        present = read_files(order.inventory)
        before = read_back(present)  # an inventory that is broken already is mended by hand first
        wished = edit(present)
        inventory = read_back(wished)
        folder = order.out or order.build / inventory.name
        plan = plan_render(inventory, folder)
        kept = _keys_of(inventory, renamed[1]) if renamed else ()
        if new:
            _refuse_old_key(plan, new)
        if renamed:
            _refuse_keys_in_the_way(folder, *renamed, kept)
        warnings = [*_new_warnings(before, inventory), *_broken_policies(order.inventory, plan)]
        if not order.as_json:
            _print_diff(wished)
            _print_consequences(plan, () if renamed else plan.new_secrets)
            print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
        written = not order.dry and bool(wished.after)
        if written and question and not _confirmed(question):
            print(f"{name}: nothing was written", file=sys.stderr)
            return BAD_INPUT
        if written:
            # Keys before anybody knows the new name: without them new ones would be made.
            keeping = keeping_member_keys(folder, *renamed, kept) if renamed else contextlib.nullcontext()
            with uninterrupted(), keeping:
                write_files(wished)
    if order.as_json:
        print(json.dumps(_facts(wished, plan, warnings, written=written), indent=2))
    else:
        done = "written; next: ./invoke plan, then ./invoke deploy"
        undone = "nothing was written; leave --dry-run out to do it"
        print(f"{name}: {'nothing to change' if not wished.after else done if written else undone}")
    return OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        print(f"{question}\n  nobody can be asked here: write --yes", file=sys.stderr)
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_diff(files: InventoryFiles) -> None:
    for file, text in files.after.items():
        before = files.before.get(file, "").splitlines(keepends=True)
        name = file.name
        print("".join(difflib.unified_diff(before, text.splitlines(keepends=True), f"a/{name}", f"b/{name}")), end="")


def _keys_of(inventory: Inventory, identity: str) -> tuple[int, ...]:
    """Return the numbers of a member's generated key pairs."""
    member = next(one for one in inventory.members if one.identity == identity)
    return () if member.public_keys else member.settings.key or ()


def _refuse_old_key(plan: RenderPlan, identity: str) -> None:
    """Raise EditError where a new member would get a key that is there already: whoever has that comes in by it."""
    names = plan.keyring.member_files.get(identity, ())
    there = [name for name in names if name not in plan.keyring.missing and name not in plan.keyring.kept_by_owners]
    if there:
        raise EditError(
            f"{plan.folder / there[0]} is there from an earlier {quoted(identity)}: whoever has that key would come in",
            f"--set key={free_number(plan.folder, identity)} makes a new one, --set key=1 takes the old one again",
        )


def _refuse_keys_in_the_way(folder: Path, identity: str, name: str, numbers: Sequence[int]) -> None:
    """Raise EditError where a renamed member would get another key than it has, that of an earlier member."""
    if found := keys_in_the_way(folder, identity, name, numbers):
        raise EditError(
            f"{found[0]} is there from an earlier {quoted(name)}: {quoted(identity)} would lose its own key",
            "choose another name, or move that file away",
        )


def _print_consequences(plan: RenderPlan, new_secrets: Sequence[str]) -> None:
    for name in new_secrets:
        print(f"  + {name}  will be generated")
    for file in plan.changes:
        print(f"  {'+' if file.kind == 'new' else '~'} {file.name}")
    for name in plan.unknown:
        print(f"  ? {name}  not generated from this inventory any more")


def _new_warnings(before: Inventory, inventory: Inventory) -> list[str]:
    """Return what is to be said of an inventory as wished, and was not of the one before."""
    known = {(note.key, note.reason) for note in before.notes}
    return ["\n".join(note.lines()) for note in inventory.notes if (note.key, note.reason) not in known]


def _broken_policies(path: Path, plan: RenderPlan) -> list[str]:
    """Return what is wrong with the policies beside an inventory once it says what is wished."""
    try:
        broken = failures(check(path, plan.keyring.inventory, plan.routes.wished, dt.datetime.now(dt.UTC)))
    except ConfigError as error:
        broken = [error.message]
    remedy = "  gen-config and deploy stop there: mend the policy too, or the inventory otherwise"
    return [*broken, remedy] if broken else []


def _facts(files: InventoryFiles, plan: RenderPlan, warnings: Sequence[str], *, written: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "inventory": str(files.path),
        "changed": [str(file) for file in files.after],
        "written": written,
        "generated": [{"name": file.name, "kind": file.kind} for file in plan.changes],
        "new_secrets": list(plan.new_secrets),
        "unknown": list(plan.unknown),
        "warnings": list(warnings),
    }
