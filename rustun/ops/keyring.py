"""Which keys a fleet needs, in which files they are, and what is public of them.

Rules of this module
  1. Private and shared keys are in secrets/, one a file. What is there is used; what is missing is made in memory and
     becomes a file only when the plan is carried out. Nothing there is ever overwritten or removed, and what is
     missing although somebody knows it already is not made anew (lost_keys.py).
  2. Each server has key pairs, and so has each member of the key tier: one, or the old and the new one in a rotation.
     The inventory says their numbers (`key`, `server_key`).
  3. Whoever brought a public key keeps the private one: none is made, and the configuration names the place beside
     itself where it has to be.
  4. There is a shared key where a member or `minimum_tier` lies below the key tier.
  5. A pre-shared key is made for each member that shall have one, also for those that brought a public key: two have
     to know it anyway.
  6. Where the servers have a dashboard or /metrics there is one token that lets read, the same for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

from rustun.config.findings import Complaint
from rustun.config.keys import Secret, new_key_pair, new_psk, read_private_key, read_psk
from rustun.config.web import read_token
from rustun.errors import ConfigError, Problem
from rustun.ops.filenames import (
    DASHBOARD_TOKEN,
    PSKS,
    SECRETS,
    SHARED_KEY,
    member_key_file,
    own_member_key_file,
    own_server_key_file,
    psk_file,
    server_key_file,
)
from rustun.ops.fleet import Inventory, Member, Server
from rustun.ops.halves import in_halves
from rustun.ops.keyfiles import new_shared_key, new_token
from rustun.ops.lost_keys import Traces
from rustun.protocol.tiers import Tier

KEY_US: Final = 60.0  # to read a private key and to derive the public one


@dataclass(frozen=True, slots=True)
class Keyring:
    """A fleet's keys.

    Attributes:
        inventory: the fleet with the public keys of everybody who has some.
        shared: whether it has a shared key.
        server_files: names of each server's private keys, by its name; none without a key tier.
        member_files: the same for each member of the key tier, by identity.
        psk_files: name of the pre-shared key of each member that has one, by identity.
        token_file: name of the token with which the dashboard and /metrics are read; empty where there are none.
        missing: key files to be made, and what they will hold.
    """

    inventory: Inventory
    shared: bool
    server_files: Mapping[str, tuple[str, ...]]
    member_files: Mapping[str, tuple[str, ...]]
    psk_files: Mapping[str, str]
    token_file: str
    missing: Mapping[str, Secret]

    @property
    def kept_by_owners(self) -> frozenset[str]:
        """Names of private keys whose owners brought public ones; nothing here makes these files."""
        names = chain.from_iterable((*self.server_files.values(), *self.member_files.values()))
        return frozenset(filter(_kept_by_owner, names))


def gather(inventory: Inventory, folder: Path) -> Keyring:
    """Return the keys of a fleet whose files are, or will be, in `folder`; nothing is written.

    Raises:
        ConfigError: key files cannot be used, or are gone although generated files know them; all of them.
        OSError: the folder of keys, or a generated file, cannot be looked into.
    """
    keys = _Keys(folder)
    tiers = {inventory.minimum_tier, *(inventory.tier_of(member) for member in inventory.members)}
    if shared := min(tiers) < Tier.KEY:
        keys.need_shared_key()
    token_file = DASHBOARD_TOKEN if inventory.has_web else ""
    if token_file:
        keys.need_token(token_file)
    keyed_servers = inventory.servers if Tier.KEY in tiers else ()
    server_files = {server.name: _server_files(server, inventory.server_key) for server in keyed_servers}
    keyed = (member for member in inventory.members if inventory.tier_of(member) is Tier.KEY)
    member_files = {member.identity: _member_files(member) for member in keyed}
    psk_files = {one.identity: psk_file(one.identity) for one in inventory.members if inventory.has_psk(one)}
    keys.need_psks(psk_files.values())
    pairs = chain.from_iterable((*server_files.values(), *member_files.values()))
    keys.need_pairs([name for name in pairs if not _kept_by_owner(name)])

    def with_keys(server: Server) -> Server:
        files = server_files.get(server.name, ())
        return server if server.public_keys else replace(server, public_keys=keys.public_keys(files))

    def with_own_keys(member: Member) -> Member:
        if member.public_keys or member.identity not in member_files:
            return member
        return replace(member, public_keys=keys.public_keys(member_files[member.identity]))

    servers = tuple(map(with_keys, inventory.servers))
    clusters = tuple(replace(one, members=tuple(map(with_own_keys, one.members))) for one in inventory.clusters)
    complete = replace(inventory, servers=servers, clusters=clusters)
    keyring = Keyring(complete, shared, server_files, member_files, psk_files, token_file, keys.missing)
    if problems := [*keys.problems, *_lost(keyring, Traces(folder, inventory, keys.there))]:
        raise ConfigError(tuple(problems))
    return keyring


def _lost(keyring: Keyring, traces: Traces) -> Iterator[Problem]:
    fleet = keyring.inventory
    members = {name: one for one in fleet.members for name in keyring.member_files.get(one.identity, ())}
    servers = {name: one for one in fleet.servers for name in keyring.server_files.get(one.name, ())}
    psks = {name: identity for identity, name in keyring.psk_files.items()}
    for name in keyring.missing:
        if name in members:
            problem = traces.of_member(name, members[name])
        elif name in psks:
            problem = traces.of_psk(name, psks[name])
        elif name == keyring.token_file:
            continue
        elif name in servers:
            problem = traces.of_server(name, servers[name])
        else:
            problem = traces.of_shared_key()
        if problem is not None:
            yield problem


def _kept_by_owner(name: str) -> bool:
    return not name.startswith(f"{SECRETS}/")


def _server_files(server: Server, numbers: Iterable[int]) -> tuple[str, ...]:
    if server.public_keys:
        return tuple(own_server_key_file(server.name, number) for number, _ in enumerate(server.public_keys, 1))
    return tuple(server_key_file(server.name, number) for number in numbers)


def _member_files(member: Member) -> tuple[str, ...]:
    if member.public_keys:
        return tuple(own_member_key_file(member.identity, number) for number, _ in enumerate(member.public_keys, 1))
    return tuple(member_key_file(member.identity, number) for number in member.settings.key or ())


class _Keys:
    """Reads the keys that are in a folder and makes those that are not; always usable."""

    def __init__(self, folder: Path) -> None:
        self.missing: dict[str, Secret] = {}
        self.problems: list[Problem] = []
        self._folder = folder
        self._judged: set[str] = set()
        self._public: dict[str, str] = {}
        self.there = frozenset(_names_below(folder, (SECRETS, f"{SECRETS}/members", PSKS)))

    def need_shared_key(self) -> None:
        if SHARED_KEY not in self.there:
            self.missing[SHARED_KEY] = new_shared_key()

    def need_token(self, name: str) -> None:
        if name not in self.there:  # who has lost it makes another one: nothing but people and scrapers know it
            self.missing[name] = new_token()
            return
        try:
            read_token(self._folder / name)
        except Complaint as complaint:
            remedy = f"{complaint.remedy}; or delete it, and gen-config makes another one"
            self.problems.append(self._problem(name, Complaint(complaint.reason, remedy)))

    def need_psks(self, files: Iterable[str]) -> None:
        for name in files:
            if name not in self.there:
                self.missing[name] = new_psk()
                continue
            try:
                read_psk(self._folder / name, self._judged)
            except Complaint as complaint:
                self.problems.append(self._problem(name, complaint))

    def need_pairs(self, files: Sequence[str]) -> None:
        there = [name for name in files if name in self.there]
        for name, found in zip(there, in_halves(self._read_pairs, there, lambda _: KEY_US), strict=True):
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                self._public[name] = found
        for name in files:
            if name not in self.there:
                self.missing[name], self._public[name] = new_key_pair()

    def public_keys(self, files: Sequence[str]) -> tuple[str, ...]:
        """Return the public key of each file; of those that cannot be used none."""
        return tuple(self._public[name] for name in files if name in self._public)

    def _read_pairs(self, files: Sequence[str]) -> list[str | Problem]:
        """Return the public key of each file, a problem where it cannot be used."""
        found: list[str | Problem] = []
        for name in files:
            try:
                found.append(read_private_key(self._folder / name, self._judged).public)
            except Complaint as complaint:
                found.append(self._problem(name, complaint))
        return found

    def _problem(self, name: str, complaint: Complaint) -> Problem:
        return Problem(str(self._folder / name), 0, "", complaint.reason, complaint.remedy)


def _names_below(folder: Path, below: Iterable[str]) -> Iterable[str]:
    for name in below:
        if (folder / name).is_dir():
            yield from (f"{name}/{path.name}" for path in (folder / name).iterdir())
