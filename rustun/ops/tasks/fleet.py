"""Tasks on the inventory and on what is generated from it."""

from __future__ import annotations

from pathlib import Path

from invoke import Context

from rustun.ops.tasks.arguments import INVENTORY, INVENTORY_HELP, JSON_HELP, OUT_HELP, ROOT, end, refuse, task


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "check": "write nothing; exit 3 when the files are not current",
        "diff": "show what changes, line by line",
        "json": JSON_HELP,
    }
)
def gen_config(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    check: bool = False,
    diff: bool = False,
    json: bool = False,
) -> None:
    """Write server.toml, routes.json and one client file per member from the inventory.

    Only what changed is written; keys are generated once and kept.

    Examples:
        ./invoke gen-config
        ./invoke gen-config --inventory my-fleet.toml --out /etc/rustun --diff
        ./invoke gen-config --check
    """
    from rustun.ops import generate

    end(generate.run(Path(inventory), Path(out) if out else None, ROOT, check=check, diff=diff, as_json=json))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "strict": "warnings end with exit code 3",
        "accept": "write all findings but errors into the baseline beside the inventory",
        "json": JSON_HELP,
    }
)
def lint(
    _context: Context, inventory: str = INVENTORY, strict: bool = False, accept: bool = False, json: bool = False
) -> None:
    """Judge the inventory: what contradicts itself, what is legal and seldom meant, who comes in too easily.

    Examples:
        ./invoke lint
        ./invoke lint --inventory inventory/acme --strict --json
        ./invoke lint --accept
    """
    from rustun.ops.linting import run

    end(run.run(Path(inventory), ROOT / "build", strict=strict, accepting=accept, as_json=json))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "passphrase_file": "file whose first line is the passphrase (default: ask)",
        "dry_run": "say which keys and for whom; ask and write nothing",
    }
)
def secrets_seal(
    _context: Context, inventory: str = INVENTORY, out: str = "", passphrase_file: str = "", dry_run: bool = False
) -> None:
    """Put the fleet's keys into one encrypted file (age) that may go under version control.

    Where a file of recipients stands beside the inventory, each of them can open it; else who has the passphrase.

    Examples:
        ./invoke secrets-seal
        ./invoke secrets-seal --inventory inventory/acme --passphrase-file passphrase.txt
    """
    from rustun.ops import sealing

    files = [Path(file) if file else None for file in (passphrase_file, out)]
    end(sealing.run_seal(Path(inventory), ROOT / "build", *files, dry=dry_run))


@task(
    help={
        "inventory": INVENTORY_HELP,
        "out": OUT_HELP,
        "identity": "file with the private key of a recipient: of age, or OpenSSH's",
        "passphrase_file": "file whose first line is the passphrase (default: ask)",
        "dry_run": "open it and say which keys are missing; write nothing",
    }
)
def secrets_open(
    _context: Context,
    inventory: str = INVENTORY,
    out: str = "",
    identity: str = "",
    passphrase_file: str = "",
    dry_run: bool = False,
) -> None:
    """Write the fleet's keys that are missing here from the encrypted file; what is there stays.

    Examples:
        ./invoke secrets-open
        ./invoke secrets-open --out /mnt/stick/acme
        ./invoke secrets-open --identity ~/.ssh/id_ed25519
        ./invoke secrets-open --dry-run
    """
    from rustun.ops import sealing

    files = [Path(file) if file else None for file in (identity, passphrase_file, out)]
    end(sealing.run_open(Path(inventory), ROOT / "build", *files, dry=dry_run))


@task(
    positional=["routes"],
    help={
        "routes": "the routes.json of the deployment",
        "address": "where clients find its server, HOST:PORT",
        "server_toml": "its server.toml: for the shared key, the cipher and the addresses it listens on",
        "out": "inventory to write (default: inventory/imported.toml); its name becomes the fleet's",
        "dry_run": "print the inventory, and write nothing",
    },
)
def inventory_import(
    _context: Context, routes: str, address: str = "", server_toml: str = "", out: str = "", dry_run: bool = False
) -> None:
    """Turn an existing deployment, the seed's too, into an inventory that generates an equal routes.json.

    Examples:
        ./invoke inventory-import /etc/rustun/routes.json --address vpn.example.org:8080
        ./invoke inventory-import routes.json --server-toml server.toml --address 192.0.2.9:8080 --out acme.toml
    """
    if not address:
        refuse("inventory-import: no --address", "--address HOST:PORT: where clients find the server; no file says it")

    from rustun.ops import importing

    target = Path(out) if out else ROOT / "inventory" / "imported.toml"
    server = Path(server_toml) if server_toml else None
    end(importing.run(Path(routes), server, address, target, ROOT / "build", dry=dry_run))
