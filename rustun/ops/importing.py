"""`invoke inventory-import`: an existing routes.json, with or without its server.toml, becomes an inventory.

Rules of this module
  1. What the inventory generates is compared with what was imported, member by member. Where anything that decides
     about a packet would differ nothing is written; what nobody uses (the gateway, a name for people) may differ, and
     that is said.
  2. Who has no key pair yet keeps coming in as before: the tier of its entry, or legacy, since it may be the seed's own
     program. The server serves that tier until `tier` is taken out.
  3. The shared key moves from server.toml into secrets/, the server's own and pre-shared keys from their files, and
     none is ever printed. Methods that protect nothing (xor, plain) are not carried over.
  4. Nothing that is there is overwritten.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rustun.config.keys import Secret
from rustun.config.member import Member
from rustun.config.routes import read_routes
from rustun.config.server import ServerConfig, load_server_config
from rustun.config.toml import read_toml
from rustun.config.web import WebConfig
from rustun.durable import add_file
from rustun.errors import ConfigError, HostError
from rustun.ops.ending import InputError, guarded
from rustun.ops.exit_codes import OK
from rustun.ops.filenames import DASHBOARD_TOKEN, FIRST_SERVER, SHARED_KEY, psk_file, server_key_file
from rustun.ops.inventory import load_inventory
from rustun.ops.keyfiles import find_keys, write_key_files
from rustun.ops.templating import render_routes, toml_value
from rustun.ops.uninterrupted import uninterrupted
from rustun.printable import printable
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

CIPHERS: Final = {SeedMethod.AES256: "aes256", SeedMethod.CHACHA20POLY1305: "chacha20"}
# What decides about a packet, as routes.json has it.
DECIDING: Final = (
    "private_ip",
    "mask",
    "ciders",
    "cider_mapping",
    "private_ip6",
    "public_key",
    "psk_file",
    "enabled",
    "expires_at",
)

_KEY_STAYED: Final = (
    "the server's key pair did not come along, and members take no other server: name its server.toml, or put its"
    " private key to {file} before ./invoke gen-config makes a new one"
)
_LEFT_BEHIND: Final = (
    "no inventory says these keys of {file}; they did not come along, and a deployment takes them out: {keys}"
)
# What of a server.toml an inventory can say; of a table without keys here, all.
SAID: Final[Mapping[str, tuple[str, ...]]] = {
    "server_config": ("listen_addr",),
    "route_config": (),
    "crypto_config": (),
    "security_config": ("private_key_file", "minimum_tier", "cipher"),
    "admin_config": ("metrics_listen",),
    "dashboard_config": ("listen", "token_file", "hosts"),
}


class ImportRefused(InputError):
    """The deployment cannot be said in an inventory; nothing was written."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is imported.

    Attributes:
        name: of the fleet.
        address: where clients find the server, host:port.
        members: of routes.json.
        server: its server.toml, where one was given.
    """

    name: str
    address: str
    members: tuple[Member, ...]
    server: ServerConfig | None = None

    @property
    def method(self) -> SeedMethod | None:
        """The method of the shared key, where there is one."""
        return self.server.method if self.server is not None else None

    @property
    def server_keys(self) -> tuple[Secret, ...]:
        """The server's private keys, the one in use first."""
        return tuple(key.secret for key in self.server.security.private_keys) if self.server is not None else ()


def inventory_text(source: Source) -> str:
    """Return the inventory of a deployment. Raises: ImportRefused: it cannot be said in one."""
    lines = [f"# Imported from a routes.json with {len(source.members)} members. docs/inventory.md describes the form."]
    lines += ["", "[fleet]", *_assignments(_fleet(source))]
    clusters: dict[str, list[Member]] = {}
    for member in source.members:
        clusters.setdefault(member.cluster, []).append(member)
    for name, members in clusters.items():
        lines += ["", f"[cluster.{toml_value(name)}]", *_assignments(_cluster(name, members))]
        for member in members:
            lines += ["", f"[cluster.{toml_value(name)}.member.{toml_value(member.identity)}]"]
            lines += _assignments(_member(member))
    return "\n".join(lines) + "\n"


def _assignments(values: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key} = {value if key == 'expires_at' else toml_value(value)}" for key, value in values.items())


def _fleet(source: Source) -> dict[str, Any]:
    fleet: dict[str, Any] = {"name": source.name, "servers": [{"address": source.address}]}
    if source.server is not None:
        fleet["listen"] = [str(endpoint) for endpoint in source.server.listen]
        if len(source.server_keys) > 1:
            fleet["server_key"] = [1, 2]
        fleet |= _pages(source.server.web)
        if source.server.security.cipher:
            fleet["cipher"] = source.server.security.cipher
    if source.method is not None:
        if source.method not in CIPHERS:
            remedy = "choose aes256 or chacha20poly1305 there, deploy that, and import again"
            raise ImportRefused(f"server.toml uses {source.method}, which protects nothing", remedy)
        fleet["cipher"] = CIPHERS[source.method]
    tiers = {_tier(member) for member in source.members}
    if (lowest := min(tiers, default=Tier.KEY)) < Tier.KEY:
        fleet["minimum_tier"] = lowest
    return fleet


def _pages(web: WebConfig) -> dict[str, Any]:
    """Return what a server says of its dashboard and /metrics."""
    pages = {"dashboard": web.listen, "dashboard_hosts": web.hosts, "metrics": web.metrics_listen}
    return {key: list(map(str, values)) for key, values in pages.items() if values}


def _tier(member: Member) -> Tier:
    return Tier.KEY if member.public_keys else member.tier or Tier.LEGACY


def unsaid(values: Mapping[str, object]) -> Iterator[str]:
    """Yield the keys of a server.toml, as read, that no inventory has a word for."""
    for name, table in values.items():
        if isinstance(table, dict):
            yield from (f"{name}.{key}" for key in table if key not in SAID.get(name, ()) and SAID.get(name) != ())


def _has_psk(member: Member) -> bool:
    return member.psk is not None and _tier(member) is Tier.KEY


def _cluster(name: str, members: list[Member]) -> dict[str, Any]:
    networks = {member.interface.network for member in members}
    if len(networks) > 1:
        shown = ", ".join(map(str, sorted(networks)))
        remedy = "give its members one mask and one network, deploy that, and import again"
        raise ImportRefused(f"cluster {name} has members in several networks: {shown}", remedy)
    cluster: dict[str, Any] = {"network": networks.pop()}
    networks6 = {member.private_ip6.network for member in members if member.private_ip6 is not None}
    if len(networks6) > 1 or (networks6 and not all(member.private_ip6 for member in members)):
        remedy = "give all of its members an address in one IPv6 network, or none, deploy that, and import again"
        raise ImportRefused(
            f"cluster {name} has IPv6 addresses for some of its members, or in several networks", remedy
        )
    return cluster | ({"network6": networks6.pop()} if networks6 else {})


def _member(member: Member) -> dict[str, Any]:
    values: dict[str, Any] = {"name": member.name} if member.name else {}
    values["address"] = member.private_ip
    if member.private_ip6 is not None:
        values["address6"] = member.private_ip6.ip
    if member.ciders:
        values["ciders"] = member.ciders
    if member.cider_mapping:
        values["cider_mapping"] = dict(member.cider_mapping)
    if member.public_keys:
        keys = [base64.b64encode(key).decode() for key in member.public_keys]
        values["public_key"] = keys[0] if len(keys) == 1 else keys
    else:
        values["tier"] = _tier(member)
    if _has_psk(member):
        values["psk"] = True
    if not member.enabled:
        values["enabled"] = False
    if member.expires_at is not None:
        values["expires_at"] = _moment(member.expires_at)
    return values


def differences(source: Source, inventory: Path) -> Iterator[str]:
    """Yield what an inventory would generate otherwise than it was, a line each. Raises: ConfigError."""
    generated = {entry["identity"]: entry for entry in json.loads(render_routes(load_inventory(inventory)))}
    for member in source.members:
        entry = generated.pop(member.identity, None)
        if entry is None or entry["cluster"] != member.cluster:
            yield f"{member.label} is missing"
            continue
        wished = _entry(member)
        for key in DECIDING:
            if _plain(entry.get(key)) != _plain(wished.get(key)):
                yield f"{member.label}: {key} would be {entry.get(key)}, not {wished.get(key)}"
    yield from (f"{identity} would be new" for identity in generated)


def _moment(time: dt.datetime) -> str:
    """Return a time as inventories and routes.json write it."""
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(member: Member) -> dict[str, Any]:
    """Return the keys of an entry that decide about packets, as they were."""
    return {
        "private_ip": member.private_ip,
        "mask": member.mask,
        "ciders": list(member.ciders),
        "cider_mapping": dict(member.cider_mapping) or None,
        "private_ip6": member.private_ip6,
        "public_key": [base64.b64encode(key).decode() for key in member.public_keys] or None,
        "psk_file": psk_file(member.identity) if _has_psk(member) else None,  # its content moves there
        "enabled": None if member.enabled else False,
        "expires_at": _moment(member.expires_at) if member.expires_at else None,
    }


def _plain(value: object) -> object:
    """Return a value as texts, so that what was read and what will be written can be compared."""
    match value:
        case dict():
            return {str(key): str(one) for key, one in value.items()}
        case [alone]:
            return str(alone)
        case list():
            return [str(one) for one in value]
        case None | bool():
            return value
        case _:
            return str(value)


def _write_keys(source: Source, folder: Path) -> None:
    """Write the keys that come along and are not there. Raises: ImportRefused: another is; nothing was written."""
    keys = {psk_file(member.identity): member.psk for member in source.members if member.psk and _has_psk(member)}
    if source.server is not None and source.server.key is not None:
        keys[SHARED_KEY] = source.server.key
    if source.server is not None and source.server.web.token is not None:
        keys[DASHBOARD_TOKEN] = source.server.web.token
    keys |= {server_key_file(FIRST_SERVER, number): key for number, key in enumerate(source.server_keys, start=1)}
    find_keys(folder)
    there = {name for name in keys if (folder / name).exists()}
    for name in sorted(there):
        if (folder / name).read_text(encoding="utf-8").strip() != keys[name].reveal():
            raise ImportRefused(f"{folder / name} holds another key", "nothing is overwritten: move it away")
    if missing := {name: key for name, key in keys.items() if name not in there}:
        folder.mkdir(parents=True, exist_ok=True)
        write_key_files(folder, missing)


def run(routes: Path, server_toml: Path | None, address: str, out: Path, build: Path, *, dry: bool = False) -> int:
    """Import a deployment; return the exit code.

    Args:
        routes: the routes.json.
        server_toml: for the shared key, the cipher and the listening addresses; None: without them.
        address: where clients find the server.
        out: the inventory to write; its name without the suffix is the fleet's.
        build: folder in which each fleet has its folder of generated files; shared and pre-shared keys go there.
        dry: print the inventory, and write nothing.
    """

    def work() -> int:
        server = load_server_config(server_toml) if server_toml is not None else None
        source = Source(out.stem, address, read_routes(routes).members, server)
        text = _judged_text(source, out)
        if dry:
            print(text, end="")
            print("inventory-import: nothing was written; leave --dry-run out to do it", file=sys.stderr)
            return OK
        _write(source, text, out, build / out.stem)
        _tell(source, out, build / out.stem)
        if server_toml is not None and (left := ", ".join(unsaid(read_toml(server_toml).values))):
            print(_LEFT_BEHIND.format(file=server_toml, keys=printable(left, 1000)), file=sys.stderr)
        return OK

    return guarded("inventory-import", work)


def _tell(source: Source, out: Path, folder: Path) -> None:
    clusters = len({member.cluster for member in source.members})
    counted = f"{_count(clusters, 'cluster')}, {_count(len(source.members), 'member')}"
    print(f"inventory-import: {out}: {counted}; it generates an equal routes.json")
    if any(_tier(member) is Tier.KEY for member in source.members) and not source.server_keys:
        print(_KEY_STAYED.format(file=folder / server_key_file(FIRST_SERVER, 1)), file=sys.stderr)
    print("next: write into it how `ssh` reaches each host that you want to deploy to, and look:")
    print(f"  ./invoke plan --inventory {out}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _judged_text(source: Source, out: Path) -> str:
    if out.exists():
        raise ImportRefused(f"{out} is there already", "name another file: nothing is overwritten")
    text = inventory_text(source)
    with tempfile.TemporaryDirectory(prefix="rustun-import-") as name:
        draft = Path(name) / out.name
        draft.write_text(text, encoding="utf-8")
        try:
            found = list(differences(source, draft))
        except ConfigError as error:  # its places are those of a draft that nobody will see
            first = error.problems[0]
            reason = f"an inventory cannot say it: {first.key}: {first.reason}"
            remedy = first.remedy or "change it in routes.json, deploy that, and import again"
            raise ImportRefused(reason, remedy) from None
        if found:
            raise ImportRefused(f"the inventory would not generate the same: {found[0]}", "nothing was written")
    return text


def _write(source: Source, text: str, out: Path, folder: Path) -> None:
    _write_keys(source, folder)
    try:
        with uninterrupted():
            add_file(out, text.encode())
    except OSError as error:
        remedy = "check the path, the owner and the room on the disk"
        raise HostError(f"{out}: cannot be written: {error.strerror}", remedy) from error
