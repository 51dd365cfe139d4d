"""`invoke rotate-keys`: where everybody stands, whose host does not have that yet, and the next step.

Rules of this module
  1. A step is taken when every host has all of the one before (rotation.py, rule 2). Hosts are asked, and it is a
     deployment that moves a rotation on. A server has to have it whoever's keys are exchanged.
  2. Of those that nobody can ask, by hand or because the operator said --offline, the operator has to know it: they are
     named in the question, which --yes answers.
  3. Who is switched off is out of it: a host that is gone for long does not hold up the others.
  4. A pre-shared key has no second one beside it, on neither side, so it cannot be exchanged without a gap. It is not
     touched, and that is said.
"""

from __future__ import annotations

import glob
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rustun.errors import HostError
from rustun.ops.deploy.looking import Target, everybody, look
from rustun.ops.editing import rotation
from rustun.ops.editing.files import InventoryFiles, read_back, read_files
from rustun.ops.editing.rotation import Stage, Stand
from rustun.ops.editing.run import Order, carry_out, guarded
from rustun.ops.exit_codes import DIFFERS, OK
from rustun.ops.fleet import Inventory
from rustun.ops.generation import Prepared

SHOWN: Final = 5  # names in a line; of more only how many
MEANS: Final[Mapping[Stage, str]] = {  # the step from a stage
    "settled": "prepare: with the next deploy everybody knows a second key pair, and uses the first",
    "prepared": "switch: with the next deploy everybody uses the second key pair, and knows the first",
    "switched": "retire: with the next deploy the first key pair is worth nothing",
}


@dataclass(frozen=True, slots=True)
class Pending:
    """Who may not have the present step.

    Attributes:
        behind: who does not, or does not answer, and why.
        unasked: of whom only the operator can know.
    """

    behind: Mapping[str, str]
    unasked: tuple[str, ...]


def rotate_keys(order: Order, members: Sequence[str], target: Target | None, *, show: bool, yes: bool) -> int:
    """Show where everybody stands in a rotation of keys, and take the next step once that is confirmed.

    Args:
        members: whose keys; empty: everybody's, and the servers'.
        target: the hosts to ask; None: no host is asked.
        show: show alone.
    """

    def run() -> int:
        files = read_files(order.inventory)
        inventory = read_back(files)
        found = rotation.chosen(inventory, members)
        psks = _psks(inventory, found)
        pending = _pending(inventory, members, target)
        if order.as_json and (show or pending.behind):
            print(json.dumps(_facts(found, pending, psks), indent=2))
        elif not order.as_json:
            _print_stands(found)
            if psks:
                print(f"  psk        {_some(psks)}: stay as they are; a new one: docs/inventory.md, Keys")
            for name, reason in pending.behind.items() if show else ():
                print(f"  waits      for {name}: {reason}")
        if show:
            return OK
        if pending.behind:
            _refuse(pending.behind)
            return DIFFERS
        question = "" if yes or order.dry else _question(found, pending)

        def edit(present: InventoryFiles) -> InventoryFiles:
            if present != files:
                raise HostError("somebody changed the inventory meanwhile", "run it again on what is there now")
            return rotation.step(present, inventory, members)

        return carry_out("rotate-keys", order, edit, question)

    return guarded("rotate-keys", run)


def _psks(inventory: Inventory, found: Sequence[Stand]) -> tuple[str, ...]:
    """Return those of whom a rotation is about who have a pre-shared key besides."""
    owners = {one.owner for one in found}
    return tuple(one.identity for one in inventory.members if one.identity in owners and inventory.has_psk(one))


def _pending(inventory: Inventory, members: Sequence[str], target: Target | None) -> Pending:
    """Ask the hosts of those that a step is about, and of the servers."""
    on = [one.identity for one in inventory.members if one.settings.enabled]
    names = [*(server.name for server in inventory.servers), *(name for name in on if not members or name in members)]
    if target is None:
        return Pending({}, tuple(names))
    pattern = ",".join(map(glob.escape, names)) if members and "," not in "".join(names) else ""
    aimed = replace(target, limit=pattern)
    prepared = aimed.prepare()
    behind = {name: reason for name, reason in _behind(aimed, prepared) if name in names}
    by_hand = tuple(name for _, name, ssh in everybody(prepared) if not ssh and name in names)
    return Pending(behind, by_hand)


def _behind(target: Target, prepared: Prepared) -> Iterator[tuple[str, str]]:
    """Yield everybody whose host is not as the inventory says, or does not answer, and why."""
    found = look(target, prepared, target.connect, target.wheels())
    found.close()
    for visit in found.visits:
        yield from ((name, "not deployed") for name in visit.known.wish.names)
    for ssh, why in found.unreachable.items():
        yield from ((name, why.reason) for name in found.roster.hosts.get(ssh, ()))


def _refuse(behind: Mapping[str, str]) -> None:
    print(f"rotate-keys: {len(behind)} of them do not have the present step yet; nothing was written", file=sys.stderr)
    for name, reason in list(behind.items())[:SHOWN]:
        print(f"  {name}: {reason}", file=sys.stderr)
    if len(behind) > SHOWN:
        print(f"  and {len(behind) - SHOWN} more", file=sys.stderr)
    print("  run ./invoke deploy first; who is gone for long: ./invoke disable-member NAME", file=sys.stderr)


def _question(found: Sequence[Stand], pending: Pending) -> str:
    stage = rotation.due(found)
    if stage is None:
        return ""
    known = f"only you know whether {_some(pending.unasked)} got the present step\n" if pending.unasked else ""
    return f"{known}{MEANS[stage]}; go on?"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _facts(found: Sequence[Stand], pending: Pending, psks: Sequence[str]) -> dict[str, object]:
    owners = [{"owner": one.owner, "keys": list(one.keys), "stage": one.stage or "own key"} for one in found]
    return {
        "schema": 1,
        "owners": owners,
        "psks": list(psks),
        "behind": dict(pending.behind),
        "unasked": list(pending.unasked),
    }


def _print_stands(found: Sequence[Stand]) -> None:
    count = Counter((one.stage, one.keys) for one in found)
    for stage, keys in sorted(count, key=str):
        shown = _some([one.owner for one in found if (one.stage, one.keys) == (stage, keys)])
        if stage is None:
            print(f"  own key    {shown}: their owners exchange them")
            continue
        pairs = f"key pair {keys[0]}" if len(keys) == 1 else f"key pair {keys[0]} in use, {keys[1]} valid too"
        print(f"  {stage:<9}  {shown}: {pairs}; next: {rotation.STEPS[stage]}")
