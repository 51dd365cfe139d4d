"""Tasks on the hosts of a fleet: look, deploy, go back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from rustun.ops.tasks.arguments import INVENTORY, INVENTORY_HELP, JSON_HELP, OUT_HELP, ROOT, SSH_HELP, end, number, task

if TYPE_CHECKING:
    from rustun.ops.deploy.looking import Target

LIMIT_HELP = "only hosts of these servers and members: names or patterns, by comma"
FORGET_HELP = "hosts that have left the inventory and never come back (names or patterns, by comma): not cleared"
FAILURES_HELP = "begin with no new host when so many have failed (1)"


def _target(inventory: str, out: str, limit: str, ssh_config: str, forget: str = "") -> Target:
    from rustun.ops.deploy.looking import Target

    files = [Path(file) if file else None for file in (out, ssh_config)]
    return Target(Path(inventory), files[0], ROOT, limit, files[1], forget)


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "limit": LIMIT_HELP,
        "ssh_config": SSH_HELP,
        "offline": "compare with the generated files alone; no host is asked",
        "diff": "show the lines that change; of secrets only that they do",
        "check": "exit 3 where something differs",
        "json": JSON_HELP,
    }
)
def plan(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    limit: str = "",
    ssh_config: str = "",
    offline: bool = False,
    diff: bool = False,
    check: bool = False,
    json: bool = False,
) -> None:
    """Show what a deployment would change on the hosts, and who will notice. Changes nothing.

    Examples:
        ./invoke plan
        ./invoke plan --diff --limit 'bj-*,server'
        ./invoke plan --offline --check
    """
    from rustun.ops.deploy import plan as work

    target = _target(inventory, out, limit, ssh_config)
    end(work.run(target, as_json=json, diff=diff, offline=offline, check=check))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "limit": LIMIT_HELP,
        "ssh_config": SSH_HELP,
        "forget": FORGET_HELP,
        "yes": "do not ask",
        "max_failures": FAILURES_HELP,
        "json": f"{JSON_HELP}; needs --yes",
    }
)
def deploy(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    limit: str = "",
    ssh_config: str = "",
    forget: str = "",
    yes: bool = False,
    max_failures: str = "1",
    json: bool = False,
) -> None:
    """Make the hosts what the inventory says, over ssh. A host that fails runs again what it ran before.

    Examples:
        ./invoke deploy
        ./invoke deploy --yes --limit bj-dev
        ./invoke deploy --yes --max-failures 3 --json
    """
    most = int(number("--max-failures", max_failures, 1, 10_000))

    from rustun.ops.deploy import deploying

    manner = deploying.Manner(as_json=json, yes=yes, max_failures=most)
    end(deploying.deploy(_target(inventory, out, limit, ssh_config, forget), manner))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "to": "number of the deployment to go back to (default: the one before the last)",
        "dry_run": "show what would change, and do nothing",
        "limit": LIMIT_HELP,
        "ssh_config": SSH_HELP,
        "yes": "do not ask",
        "max_failures": FAILURES_HELP,
        "json": f"{JSON_HELP}; needs --yes or --dry-run",
    }
)
def rollback(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    to: str = "",
    limit: str = "",
    ssh_config: str = "",
    yes: bool = False,
    max_failures: str = "1",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Bring the hosts back to what they were after an earlier deployment.

    Examples:
        ./invoke rollback --dry-run
        ./invoke rollback
        ./invoke rollback --to 7 --limit server
    """
    earlier = int(number("--to", to, 1, 1_000_000)) if to else None
    most = int(number("--max-failures", max_failures, 1, 10_000))

    from rustun.ops.deploy import deploying

    manner = deploying.Manner(as_json=json, yes=yes, max_failures=most, dry=dry_run)
    end(deploying.rollback(_target(inventory, out, limit, ssh_config), manner, earlier))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "limit": LIMIT_HELP,
        "ssh_config": SSH_HELP,
        "json": JSON_HELP,
    }
)
def status(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    limit: str = "",
    ssh_config: str = "",
    json: bool = False,
) -> None:
    """Show every host's service, version, session, and what differs from the inventory.

    Examples:
        ./invoke status
        ./invoke status --limit 'bj-*' --json
    """
    from rustun.ops.deploy import status as work

    end(work.run(_target(inventory, out, limit, ssh_config), as_json=json))
