"""Tasks of the laboratory: demo, and namespaces that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from invoke import Context

from rustun.ops.tasks.arguments import (
    INVENTORY,
    INVENTORY_HELP,
    JSON_HELP,
    ROOT,
    end,
    number,
    refuse,
    task,
)

REFERENCE: Final = str(ROOT / "inventory" / "reference.toml")
LAB_NAME_HELP: Final = "the laboratory's name (default: the fleet's)"
LIMIT_HELP: Final = "these alone: members, clusters, tags by pattern; a number: so many of each cluster; by comma"


@task(
    help={
        "inventory": INVENTORY_HELP,
        "seconds": "length of each measurement (2)",
        "limit": LIMIT_HELP,
        "json": JSON_HELP,
    }
)
def demo(
    _context: Context, inventory: str = INVENTORY, seconds: str = "2", limit: str = "", json: bool = False
) -> None:
    """Show the whole thing: generate, bring up, probe who reaches whom, measure, take down.

    Nothing leaves this machine, and nothing is made in its own network namespace. Needs root, or a kernel that allows
    unprivileged user namespaces.

    Examples:
        ./invoke demo
        ./invoke demo --seconds 5 --json
        ./invoke demo --inventory inventory/example --limit 'hq,retail'
    """
    length = number("--seconds", seconds, 0.2, 3600)

    from netlab import api

    end(api.demo(Path(inventory), seconds=length, limit=limit, as_json=json))


@task(
    help={
        "inventory": "inventory to take (inventory/reference.toml)",
        "seed": "another number, another slip (1)",
        "out": "folder for the report (build/lab-demo)",
        "json": JSON_HELP,
    }
)
def lab_demo(_context: Context, inventory: str = REFERENCE, seed: str = "1", out: str = "", json: bool = False) -> None:
    """Show what the laboratory finds: prove who reaches whom, break something, and let it say what.

    The relay of the reference laboratory gets a routes.json with a slip of the pen in it, of the kind that no check of
    its form can find. Packets do: the cells that turn red are explained down to the line, in a report with pictures.
    Takes a quarter of a minute. Ends with 5 where something is not found, not explained or not mended.

    Examples:
        ./invoke lab-demo
        ./invoke lab-demo --seed 7 --json
        ./invoke lab-demo --inventory my-fleet.toml --out report
    """
    number_of_slip = int(number("--seed", seed, 0, 1 << 31))

    from netlab import api

    folder = Path(out).absolute() if out else None
    end(api.lab_demo(Path(inventory), seed=number_of_slip, out=folder, as_json=json))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "live": "try it with packets as well, in a lab made from the same inventory",
        "json": JSON_HELP,
    }
)
def policy_test(_context: Context, inventory: str = INVENTORY, live: bool = False, json: bool = False) -> None:
    """Check the assertions kept beside the inventory (*.policy) against what is generated from it.

    Examples:
        ./invoke policy-test
        ./invoke policy-test --inventory inventory/acme --json
        ./invoke policy-test --live
    """
    from rustun.ops.policy import run

    if not live:
        end(run.run(Path(inventory), as_json=json))
        return

    from netlab import api

    end(api.policy(Path(inventory), as_json=json))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "name": LAB_NAME_HELP,
        "limit": LIMIT_HELP,
        "matrix": "a laboratory for each combination of [lab.matrix], beside each other",
        "machines": "real Debian systems, with SSH; as root",
        "json": JSON_HELP,
    }
)
def lab_up(
    _context: Context,
    inventory: str = INVENTORY,
    name: str = "",
    limit: str = "",
    matrix: bool = False,
    machines: bool = False,
    json: bool = False,
) -> None:
    """Bring up a laboratory of network namespaces from an inventory; it stays until lab-down.

    With --machines: a real Debian for each host that the inventory's `ssh` names, booted and empty, to rehearse on what
    will be done to the real ones. They have no way out of this machine, and `ssh` reaches them from the node "control".

    Examples:
        ./invoke lab-up
        ./invoke lab-up --inventory my-fleet.toml --name rehearsal
        ./invoke lab-up --inventory my-fleet --limit 'beijing,gateway,2'
        ./invoke lab-up --inventory my-fleet.toml --machines
    """
    if machines and (limit or matrix):
        refuse("lab-up: --machines takes the whole fleet", "leave --limit and --matrix out")

    from netlab import api

    end(api.up(Path(inventory), name=name, limit=limit, matrix=matrix, machines=machines, as_json=json))
