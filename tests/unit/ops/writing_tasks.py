"""A fleet on the disk for trying every task that writes: what it holds before and after, and how a task is run in it.

Keys are random, and so are the bytes of a sealed file: they are compared by their being there, and by what is sealed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyrage
from invoke import Program

import tasks
from rustun.config.keys import new_private_key, public_key_of
from rustun.ops import exit_codes, generate, sealing
from rustun.ops.tasks import arguments, editing, fleet, hosts, project

KEY: Final = re.compile("[A-Za-z0-9+/]{43}=")
TASKS: Final = {
    "gen-config": "gen-config --inventory inventory/acme",
    "add-cluster": "add-cluster blue --inventory inventory/acme --set network=10.0.2.0/24",
    "add-member": "add-member red carol --inventory inventory/acme --set mtu=1400",
    "edit-member": "edit-member bob --inventory inventory/acme --set mtu=1400",
    "disable-member": "disable-member bob --inventory inventory/acme",
    "remove-member": "remove-member bob --yes --inventory inventory/acme",
    "rename-member": "rename-member alice ally --inventory inventory/acme",
    "rotate-keys": "rotate-keys --offline --yes --inventory inventory/acme",
    "lint --accept": "lint --accept --inventory inventory/acme",
    "secrets-seal": "secrets-seal --inventory inventory/acme",
    "secrets-open": "secrets-open --inventory inventory/acme --identity identity",
    "inventory-import": "inventory-import routes.json --server-toml server.toml --address 192.0.2.9:80 --out new.toml",
    "schema": "schema",
}

FLEET: Final = """\
[fleet]
name = "acme"
servers = [{ address = "198.18.0.1:8080" }]
"""
RED: Final = """\
[cluster.red]
network = "10.0.1.0/24"

[cluster.red.member.alice]
ciders = ["8.8.8.0/24"]

[cluster.red.member.bob]
address = "10.0.1.9"
"""
MORE: Final = '\n[cluster.red.member.dave]\nciders = ["192.168.7.0/24"]\n\n[cluster.red.member.erin]\n'
ROUTES: Final = [
    {"cluster": "red", "identity": "alice", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "10.0.1.254"}
]
SERVER: Final = """\
[server_config]
listen_addr = "0.0.0.0:8080"

[crypto_config]
aes256 = "0123456789abcdef0123456789abcdef"

[route_config]
routes_file = "routes.json"
"""
# What comes before the rest, one behind the other, each whole: nobody notices before the rest comes.
AHEAD: Final = {
    "gen-config": ("inventory/acme/inventory.lock", "secrets/"),
    "inventory-import": ("build/new/secrets", "secrets/"),
}


def without_keys(world: Path) -> None:
    """Leave the keys of a world in their sealed file alone."""
    inventory, build = world / "inventory" / "acme", world / "build"
    assert sealing.run_seal(inventory, build, None) == exit_codes.OK
    for name in ("server.key", "members/bob.key"):
        (world / "secrets" / "acme" / name).unlink()


def with_more_members(world: Path) -> None:
    """Let there be something to generate, addresses and keys among it."""
    with (world / "inventory" / "acme" / "red.toml").open("a") as file:
        file.write(MORE)


PREPARED: Final[dict[str, Callable[[Path], None]]] = {
    "gen-config": with_more_members,
    "secrets-open": without_keys,
}


def make_world(world: Path, task: str) -> None:
    """Make a fleet with generated files, and what a task needs beside it, in a folder that is not there yet."""
    inventory = world / "inventory" / "acme"
    inventory.mkdir(parents=True)
    (inventory / "fleet.toml").write_text(FLEET)
    (inventory / "red.toml").write_text(RED)
    assert generate.run(inventory, None, world, check=False, diff=False, as_json=False) == exit_codes.OK
    identity = pyrage.x25519.Identity.generate()
    (world / "identity").write_text(str(identity))
    (inventory / "recipients").write_text(f"{identity.to_public()}\n")
    entry = {**ROUTES[0], "ciders": [], "public_key": public_key_of(new_private_key())}
    (world / "routes.json").write_text(json.dumps([entry]))
    (world / "server.toml").write_text(SERVER)
    if prepare := PREPARED.get(task):
        prepare(world)


def fronts(task: str, wished: set[str]) -> list[set[str]]:
    """Return what may have changed where a task did not come to its end, nothing being the first of these sets."""
    first = AHEAD.get(task, ())
    return [{name for name in wished if name.startswith(first[:count])} for count in range(len(first) + 1)]


def files(folder: Path) -> dict[str, str]:
    """Return every file and link below a folder, and what it holds."""
    found = {}
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for path in (Path(place, name) for name in (*names, *links)):
            found[str(path.relative_to(folder))] = held_by(path)
    return found


def visible(found: Mapping[str, str]) -> dict[str, str]:
    """Return the files that anybody looks at: a draft of a process that was killed is overwritten by the next."""
    return {name: held for name, held in found.items() if not any(part.startswith(".") for part in Path(name).parts)}


def held_by(path: Path) -> str:
    """Return what a file holds, keys only by their being some; or where a link leads; or what is sealed in it."""
    if path.is_symlink():
        return f"-> {path.readlink()}"
    data = path.read_bytes()
    if ".age" in path.suffixes:  # its bytes are random
        identity = pyrage.x25519.Identity.from_str((path.parents[2] / "identity").read_text())
        try:
            data = pyrage.decrypt(data, [identity])
        except pyrage.DecryptError:
            return "not sealed"
    return KEY.sub("KEY", data.decode())


def keys(folder: Path) -> dict[str, str]:
    """Return every private key below a folder, as it is."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.key")}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Return the names of files that differ."""
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}


def run(world: Path, words: str) -> int:
    """Run a task, given as one types it, in a world as ./invoke would, in this process; return its exit code."""
    for module in (arguments, editing, fleet, hosts, project):
        vars(module)["ROOT"] = world
    os.chdir(world)
    try:
        Program(namespace=tasks.namespace).run(["invoke", *words.split()])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
