"""What each host shall have: the inventory and its generated files, by host.

Rules of this module
  1. A host is what one `ssh` reaches; a server and some members may share one. Who has no `ssh` is deployed by hand.
  2. A host gets its own configuration, keys and units under /etc, and nothing of anybody else; a server the members'
     pre-shared keys as well, since two have to know them.
  3. What a change of a file means to a service is said here, beside the file: reload, restart, or a part that is read
     only at the start.
  4. Servers also keep which hosts the fleet has (hosts.json), so that one that has left the inventory is still found.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rustun import __version__
from rustun.ops.deploy.far.system import CONFIG, STATE, UNITS
from rustun.ops.deploy.records import HostWish, WishedFile, WishedFolder, WishedService
from rustun.ops.ending import InputError
from rustun.ops.filenames import PSKS, SECRETS, SHARED_KEY, client_file, server_file
from rustun.ops.fleet import Member, Server
from rustun.ops.render import RenderPlan
from rustun.ops.units import SERVER_UNIT, client_unit, client_units, keys_of, server_units

HOSTS_FILE: Final = f"{STATE}/hosts.json"
# Of server.toml; the rest at its start. Of [admin_config] there is metrics_listen alone.
SERVER_READS_AGAIN: Final = ("security_config", "crypto_config", "dashboard_config", "admin_config")
CLIENT_READS_ONCE: Final = ("identity", "tunnel_config")  # of client.toml; the rest again
GROUP: Final = "rustun"  # of the server's process: it reads its keys itself


@dataclass(slots=True)
class Draft:
    """A host's wish while it is put together; `contents` holds the bytes of its files by digest."""

    ssh: str
    names: list[str] = field(default_factory=list)
    files: dict[str, WishedFile] = field(default_factory=dict)
    services: dict[str, WishedService] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    web: bool = False
    contents: dict[str, bytes] = field(default_factory=dict)

    def add(self, path: str, data: bytes, wished: WishedFile) -> None:
        """Add a file; one that is there already is read by the units of both, and open to as many as either says."""
        digest = hashlib.sha256(data).hexdigest()
        self.contents[digest] = data
        there = self.files.get(path, wished)
        self.files[path] = replace(
            wished,
            digest=digest,
            mode=max(there.mode, wished.mode),
            group=there.group if there.group != "root" else wished.group,
            reload=tuple(dict.fromkeys((*there.reload, *wished.reload))),
            restart=tuple(dict.fromkeys((*there.restart, *wished.restart))),
        )


def wish_hosts(rendered: RenderPlan, now: float) -> dict[str, tuple[HostWish, Mapping[str, bytes]]]:
    """Return for each `ssh` of an inventory what its host shall have, and the bytes of its files by digest.

    Args:
        rendered: what the inventory generates; key files that are missing are not there yet.
        now: unix seconds; a member whose time is over is not expected to have a tunnel.
    Raises: InputError: two servers are on one host.
    """
    source = _Source(rendered)
    fleet = rendered.keyring.inventory
    drafts: dict[str, Draft] = {}
    for server in fleet.servers:
        if server.ssh:
            _add_server(drafts.setdefault(server.ssh, Draft(server.ssh)), server, source)
    for member in fleet.members:
        if member.ssh:
            _add_member(drafts.setdefault(member.ssh, Draft(member.ssh)), member, source, now)
    return {ssh: (_finish(draft), draft.contents) for ssh, draft in drafts.items()}


class _Source:
    """The bytes of the generated files and of the keys, by their names in the folder."""

    def __init__(self, rendered: RenderPlan) -> None:
        self.keyring = rendered.keyring
        self.files = {file.name: file.wished for file in rendered.files}
        self._folder = rendered.folder

    def key(self, name: str) -> bytes:
        """Return the bytes of a key file, of one that is still to be made as well."""
        missing = self.keyring.missing.get(name)
        return f"{missing.reveal()}\n".encode() if missing is not None else Path(self._folder, name).read_bytes()


def _add_server(draft: Draft, server: Server, source: _Source) -> None:
    fleet, unit, name = source.keyring.inventory, SERVER_UNIT, server_file(server.name)
    if unit in draft.services:
        both = f'servers "{draft.names[0]}" and "{server.name}"'
        raise InputError(f'{both} have one ssh, "{draft.ssh}"', "a host runs one server, on any number of addresses")
    draft.names.append(server.name)
    text = source.files[name]
    draft.add(f"{CONFIG}/{name}", text, WishedFile(reload=(unit,), fixed=_fixed_part(text, leave=SERVER_READS_AGAIN)))
    draft.add(f"{CONFIG}/routes.json", source.files["routes.json"], WishedFile(reload=(unit,)))
    keyring = source.keyring
    shared = [SHARED_KEY] if keyring.shared else []
    token = [keyring.token_file] if keyring.token_file else []
    keys = (*keyring.server_files.get(server.name, ()), *shared, *keyring.psk_files.values(), *token)
    _add_keys(draft, keys, source, WishedFile(mode="0640", group=GROUP, reload=(unit,)))
    for path, unit_text in server_units(fleet, server).items():
        draft.add(f"{UNITS}/{path}", unit_text.encode(), WishedFile(restart=(unit,)))
    draft.services[unit] = WishedService(runs=True, members=len(fleet.members))
    draft.web = fleet.has_web


def _add_member(draft: Draft, member: Member, source: _Source, now: float) -> None:
    unit, name = client_unit(member.identity), client_file(member.identity)
    draft.names.append(member.identity)
    text = source.files[name]
    draft.add(f"{CONFIG}/{name}", text, WishedFile(reload=(unit,), fixed=_fixed_part(text, take=CLIENT_READS_ONCE)))
    _add_keys(draft, keys_of(source.keyring, member), source, WishedFile(mode="0600", restart=(unit,)))
    for path, unit_text in client_units(source.keyring, member).items():
        own = WishedFile(reload=(unit,), fixed=_fixed_settings(unit_text))
        wished = own if path.startswith(f"{unit}.d/") else WishedFile(restart=(unit,))
        draft.add(f"{UNITS}/{path}", unit_text.encode(), wished)
    until = member.settings.expires_at
    is_over = until is not None and until.timestamp() <= now
    runs = bool(member.settings.enabled)
    draft.services[unit] = WishedService(runs=runs, identity=member.identity, verify=runs and not is_over)


def _add_keys(draft: Draft, names: Iterable[str], source: _Source, wished: WishedFile) -> None:
    for name in names:
        if name.startswith(f"{SECRETS}/"):
            draft.add(f"{CONFIG}/{name}", source.key(name), wished)
        else:
            draft.needs.append(f"{CONFIG}/{name}")


def _fixed_part(text: bytes, take: Iterable[str] | None = None, leave: Iterable[str] = ()) -> str:
    """Return a digest of some top-level tables and keys of a TOML file: those of `take`, or all without `leave`."""
    document = tomllib.loads(text.decode())
    wanted = set(document if take is None else take) - set(leave)
    kept = {key: value for key, value in document.items() if key in wanted}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()


def _fixed_settings(drop_in: str) -> str:
    """Return a digest of a drop-in's settings, but for those that hand out keys: a new key tells of itself."""
    kept = (line for line in drop_in.splitlines() if not line.startswith("#") and f":{CONFIG}/{SECRETS}/" not in line)
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def _finish(draft: Draft) -> HostWish:
    serves = SERVER_UNIT in draft.services
    return HostWish(
        ssh=draft.ssh,
        names=tuple(draft.names),
        version=__version__,
        user=serves,
        files=draft.files,
        folders=dict(_folders(draft.files, serves=serves)),
        services=draft.services,
        needs=tuple(draft.needs),
        web=draft.web,
    )


def _folders(paths: Iterable[str], *, serves: bool) -> Iterator[tuple[str, WishedFolder]]:
    """Yield the folders that files need, each after the one that it is in."""
    secrets = WishedFolder("0750", group=GROUP) if serves else WishedFolder("0700")
    usual = {
        f"{CONFIG}/{SECRETS}": secrets,
        f"{CONFIG}/{SECRETS}/members": WishedFolder("0700"),
        f"{CONFIG}/{PSKS}": secrets,
    }
    needed = {CONFIG}
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder.startswith((f"{CONFIG}/", f"{UNITS}/")):
            needed.add(folder)
            folder = folder.rpartition("/")[0]
    yield from ((folder, usual.get(folder, WishedFolder("0755"))) for folder in sorted(needed))


@dataclass(frozen=True, slots=True)
class Roster:
    """Which hosts a fleet has, as its servers keep it.

    Attributes:
        hosts: names on each host, by how it is reached; those too that have left the inventory and are not cleared yet.
        leaving: those that are being cleared.
    """

    hosts: Mapping[str, Iterable[str]]
    leaving: frozenset[str] = frozenset()

    def document(self, *, all_left: bool) -> bytes:
        """Return the list as servers have it; when all of `leaving` have left, without them."""
        hosts = {ssh: sorted(names) for ssh, names in self.hosts.items() if not (all_left and ssh in self.leaving)}
        return (json.dumps({"schema": 1, "hosts": hosts}, indent=1, sort_keys=True) + "\n").encode()

    def on(self, wish: HostWish, *, all_left: bool) -> HostWish:
        """Return a server's wish with the list."""
        file = WishedFile(hashlib.sha256(self.document(all_left=all_left)).hexdigest(), mode="0600")
        return replace(wish, files={**wish.files, HOSTS_FILE: file})

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of both lists, by digest."""
        lists = (self.document(all_left=all_left) for all_left in (False, True))
        return {hashlib.sha256(data).hexdigest(): data for data in lists}
