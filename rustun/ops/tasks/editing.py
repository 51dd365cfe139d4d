"""Tasks that edit the inventory: each shows what follows, and writes unless it is a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from invoke import Context

from rustun.ops.tasks.arguments import INVENTORY, INVENTORY_HELP, JSON_HELP, OUT_HELP, ROOT, SSH_HELP, end, task

if TYPE_CHECKING:
    from rustun.ops.editing.run import Order

DRY_HELP: Final = "show what would change, and write nothing"
SET_HELP: Final = "KEY=VALUE, as often as needed; lists with commas: ciders=192.168.1.0/24,192.168.2.0/24"


@task(
    positional=["cluster", "identity"],
    iterable=["set"],
    help={
        "cluster": "where it belongs",
        "identity": "its name for the protocol, unique in the fleet",
        "set": SET_HELP,
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def add_member(
    _context: Context,
    cluster: str,
    identity: str,
    set: list[str] | None = None,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Add a member to the inventory, and show what follows from it.

    Examples:
        ./invoke add-member beijing bj-nas
        ./invoke add-member beijing bj-store --set ciders=192.168.3.0/24 --set ssh=root@store.example --dry-run
    """
    from rustun.ops.editing import run

    end(run.add_member(_order(inventory, out, dry_run, json), cluster, identity, set or []))


@task(
    positional=["name"],
    iterable=["set"],
    help={
        "name": "of the cluster",
        "set": SET_HELP,
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def add_cluster(
    _context: Context,
    name: str,
    set: list[str] | None = None,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Add a cluster, one tenant, to the inventory.

    Examples:
        ./invoke add-cluster wuhan --set network=10.0.3.0/24 --set network6=fd00:3::/64
    """
    from rustun.ops.editing import run

    end(run.add_cluster(_order(inventory, out, dry_run, json), name, set or []))


@task(
    positional=["identity"],
    iterable=["set", "add", "remove", "unset"],
    help={
        "identity": "of the member",
        "set": SET_HELP,
        "add": "KEY=VALUE: more for a list, such as ciders=192.168.3.0/24",
        "remove": "KEY=VALUE: less of a list",
        "unset": "KEY to take out, so that its default counts",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def edit_member(
    _context: Context,
    identity: str,
    set: list[str] | None = None,
    add: list[str] | None = None,
    remove: list[str] | None = None,
    unset: list[str] | None = None,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Change a member in the inventory; comments and layout stay.

    Examples:
        ./invoke edit-member bj-dev --set mtu=1400 --unset expires_at
        ./invoke edit-member bj-office-gw --add ciders=192.168.3.0/24 --dry-run
    """
    from rustun.ops.editing import run

    order = _order(inventory, out, dry_run, json)
    end(run.edit_member(order, identity, set or [], add or [], remove or [], unset or []))


@task(
    positional=["identity"],
    help={
        "identity": "of the member",
        "yes": "do not ask",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def remove_member(
    _context: Context,
    identity: str,
    yes: bool = False,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Take a member out of the inventory; with the next deploy its session ends.

    Examples:
        ./invoke remove-member bj-old
        ./invoke remove-member bj-old --yes
    """
    from rustun.ops.editing import run

    end(run.remove_member(_order(inventory, out, dry_run, json), identity, yes=yes))


@task(
    positional=["identity", "name"],
    help={
        "identity": "as it is",
        "name": "as it will be",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def rename_member(
    _context: Context,
    identity: str,
    name: str,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Give a member another identity; its addresses and keys stay.

    Examples:
        ./invoke rename-member bj-dev bj-lab
    """
    from rustun.ops.editing import run

    end(run.rename_member(_order(inventory, out, dry_run, json), identity, name))


@task(
    positional=["identity"],
    help={
        "identity": "of the member",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def disable_member(
    _context: Context,
    identity: str,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Switch a member off: it stays in the inventory, with its address and keys, and may not come in.

    Examples:
        ./invoke disable-member bj-dev
    """
    from rustun.ops.editing import run

    end(run.enable_member(_order(inventory, out, dry_run, json), identity, enabled=False))


@task(
    positional=["identity"],
    help={
        "identity": "of the member",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def enable_member(
    _context: Context,
    identity: str,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Switch a member on again.

    Examples:
        ./invoke enable-member bj-dev
    """
    from rustun.ops.editing import run

    end(run.enable_member(_order(inventory, out, dry_run, json), identity, enabled=True))


@task(
    iterable=["member"],
    help={
        "member": "whose keys, as often as needed (default: everybody's, and the servers')",
        "show": "show where everybody stands, and change nothing",
        "offline": "ask no host whether it has the present step; that is for you to know then",
        "ssh_config": SSH_HELP,
        "yes": "do not ask",
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "dry_run": DRY_HELP,
        "json": JSON_HELP,
    },
)
def rotate_keys(
    _context: Context,
    member: list[str] | None = None,
    show: bool = False,
    offline: bool = False,
    ssh_config: str = "",
    yes: bool = False,
    inventory: str = INVENTORY,
    out: str = "",
    dry_run: bool = False,
    json: bool = False,
) -> None:
    """Exchange key pairs without cutting anybody off: take the next of three steps, prepare, switch, retire.

    Each step changes the inventory. Deploy it before you call this again: while a host does not have the present step
    there is no next one.

    Examples:
        ./invoke rotate-keys --show
        ./invoke rotate-keys --member bj-dev --yes
        ./invoke rotate-keys
    """
    from rustun.ops.deploy.looking import Target
    from rustun.ops.editing import rotating

    order = _order(inventory, out, dry_run, json)
    aim = Target(order.inventory, order.out, ROOT, "", Path(ssh_config) if ssh_config else None)
    end(rotating.rotate_keys(order, member or [], None if offline else aim, show=show, yes=yes))


def _order(inventory: str, out: str, dry: bool, as_json: bool) -> Order:
    from rustun.ops.editing.run import Order

    return Order(Path(inventory), ROOT / "build", Path(out) if out else None, dry, as_json)
