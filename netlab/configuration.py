"""Make a laboratory's configuration files from an inventory, as `gen-config` makes them for real hosts.

With some exceptions, and then all files go to a folder of the laboratory's own, since they are not those of the real
hosts: members and servers that brought a public key keep the private one, so the laboratory makes key pairs for them;
there is one relay, which is all servers of the inventory at once; and a laboratory may be made of a part of the fleet,
or of a combination of its matrix.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.errors import BadInput, EnvironmentLacks
from netlab.matrix import combinations
from netlab.sampling import Sample, sample
from netlab.spec import lab_spec
from netlab.topology import SERVER, LabSpec
from rustun.errors import ConfigError, RustunError
from rustun.ops.fleet import Inventory, Member
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render, write_plan
from rustun.protocol.tiers import Tier

SUFFIX_CHARACTERS: Final = 40  # of a limit and a combination, in the name of a folder
DIGEST_CHARACTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Configured:
    """An inventory, what a laboratory is made from it, and its generated files: where they are, what is in each."""

    source: Path
    inventory: Inventory
    spec: LabSpec
    folder: Path
    generated: Mapping[str, bytes]
    seconds: float

    @property
    def files(self) -> int:
        """How many files were generated."""
        return len(self.generated)


def load(source: Path) -> Inventory:
    """Read an inventory. Raises BadInput with every problem of its files."""
    try:
        return load_inventory(source)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    except RustunError as error:
        raise BadInput(error.message, error.remedy) from error


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a fleet a laboratory is made of: the members that `limit` names, and a `combination` of its matrix."""

    limit: str = ""
    combination: str = ""

    def of(self, inventory: Inventory) -> Sample:
        """Return the part of the fleet as it is to be. Raises BadInput: there is no such member or combination."""
        if not self.combination:
            return sample(inventory, self.limit)
        found = {one.name: one.inventory for one in combinations(inventory)}
        if self.combination not in found:
            known = ", ".join(filter(None, found)) or "none"
            raise BadInput(f'no combination "{self.combination}" of [lab.matrix]', f"known: {known}")
        return sample(found[self.combination], self.limit)

    @property
    def suffix(self) -> str:
        """What tells its generated files from those of other choices, in what a folder may be called."""
        plain = "-".join(filter(None, (self.limit, self.combination)))
        if not plain or (re.fullmatch(r"[A-Za-z0-9_-]+", plain) and len(plain) <= SUFFIX_CHARACTERS):
            return plain and f"-{plain}"
        words = "-".join(re.findall(r"[A-Za-z0-9]+", plain))[:SUFFIX_CHARACTERS]
        return f"-{words}-{hashlib.sha256(plain.encode()).hexdigest()[:DIGEST_CHARACTERS]}"


ALL: Final = Choice()


def configure(source: Path, inventory: Inventory, folder: Path, choice: Choice = ALL) -> Configured:
    """Generate the inventory's files into `folder`, or beside it where they are the laboratory's own.

    Raises:
        BadInput: the inventory makes files that rustun would refuse, or has nothing of the choice.
        EnvironmentLacks: the folder cannot be written.
    """
    if (rehearsed := _rehearsed(inventory, choice)) != inventory:
        inventory, folder = rehearsed, folder.with_name(f"{folder.name}-lab{choice.suffix}")
    return _generate(source, inventory, folder, write=True)


def configure_again(before: Configured, choice: Choice, *, write: bool) -> Configured:
    """Generate the files of a laboratory that is up from its inventory as it is now, or only see what they would be.

    Raises:
        BadInput: the inventory has problems, or needs files of its own now; nothing is written.
        EnvironmentLacks: the folder cannot be written.
    """
    inventory = load(before.source)
    rehearsed = _rehearsed(inventory, choice)
    if rehearsed != inventory and before.folder.name == inventory.name:
        words = "what the laboratory would need is not what real hosts get any more, and it uses their files"
        raise BadInput(f"{before.source}: {words}", "./invoke lab-down, then ./invoke lab-up")
    return _generate(before.source, rehearsed, before.folder, write=write)


def _rehearsed(inventory: Inventory, choice: Choice) -> Inventory:
    return with_one_relay(with_keys_of_its_own(choice.of(inventory).inventory))


def _generate(source: Path, inventory: Inventory, folder: Path, *, write: bool) -> Configured:
    started = monotonic()
    try:
        plan = plan_render(inventory, folder)
        if write:
            write_plan(plan)
    except ConfigError as error:
        raise BadInput(str(error)) from error
    except RustunError as error:
        raise EnvironmentLacks(error.message, error.remedy) from error
    generated = {file.name: file.wished for file in plan.files}
    return Configured(source, inventory, lab_spec(inventory), folder, generated, monotonic() - started)


def with_keys_of_its_own(inventory: Inventory) -> Inventory:
    """Return a fleet for which every key pair is generated: nobody in it brought a public key."""

    def anew(member: Member) -> Member:
        if not member.public_keys:
            return member
        return replace(member, public_keys=(), settings=replace(member.settings, tier=Tier.KEY))

    servers = tuple(replace(server, public_keys=()) for server in inventory.servers)
    clusters = tuple(replace(one, members=tuple(map(anew, one.members))) for one in inventory.clusters)
    return replace(inventory, servers=servers, clusters=clusters)


def with_one_relay(inventory: Inventory) -> Inventory:
    """Return a fleet whose servers are one relay: it has one name, one key pair, and listens where any of them does."""
    listen = dict.fromkeys(endpoint for server in inventory.servers for endpoint in inventory.listen_of(server))
    servers = tuple(replace(server, name=SERVER) for server in inventory.servers)
    return replace(inventory, servers=servers, listen=tuple(listen) if len(servers) > 1 else inventory.listen)
