"""Every file that an inventory generates, as bytes: configuration, units, a page for people. Keys are not among them.

NAME.toml                 of each server
routes.json               the same for all servers
client-IDENTITY.toml      of each member
units/                    for systemd (units.py)
lan-routes-CLUSTER.sh     what no client can do: routes of routers in LANs whose gateways do not masquerade
fleet.md, topology.svg    for people (page.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rustun.ops.consent import host_config
from rustun.ops.filenames import SHARED_KEY, UNITS, client_file, lan_routes_file, server_file
from rustun.ops.fleet import Cluster, Inventory, Member, Server
from rustun.ops.halves import in_halves
from rustun.ops.keyring import Keyring
from rustun.ops.page import render_page, render_picture
from rustun.ops.templating import alone, render, render_routes, toml_value
from rustun.ops.units import units
from rustun.protocol.routing import like_default

METHODS: Final = {"auto": "aes256", "aes256": "aes256", "chacha20": "chacha20poly1305"}  # crypto_config by cipher


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file to be made, and what makes it: about how long that takes for each member of the fleet, in microseconds."""

    name: str
    make: Callable[[], bytes]
    us_per_member: float = 0.0


def artefacts(keyring: Keyring) -> list[tuple[str, bytes]]:
    """Return the name and the bytes of each file; the same fleet and keys give the same."""

    def make(some: Sequence[Artefact]) -> list[tuple[str, bytes]]:
        return [(one.name, one.make()) for one in some]

    members = len(keyring.inventory.members)
    return in_halves(make, list(_artefacts(keyring)), lambda one: one.us_per_member * members)


def _artefacts(keyring: Keyring) -> Iterator[Artefact]:
    fleet = keyring.inventory
    for server in fleet.servers:
        yield Artefact(server_file(server.name), partial(_server, keyring, server))
    yield Artefact("routes.json", partial(render_routes, fleet), 20)
    servers = {keyed: "\n".join(_server_lines(fleet, keyed=keyed)) for keyed in (True, False)}
    members = fleet.members
    for member in members:
        yield Artefact(client_file(member.identity), partial(_client, keyring, servers, member), 15 / len(members))
    for name, unit in units(keyring).items():
        yield Artefact(f"{UNITS}/{name}", unit.encode)
    for cluster in fleet.clusters:
        if any(member.ciders and not member.settings.masquerade for member in cluster.members):
            yield Artefact(lan_routes_file(cluster.name), partial(_lan_routes, fleet, cluster))
    yield Artefact("fleet.md", partial(render_page, fleet), 16)
    yield Artefact("topology.svg", partial(render_picture, fleet), 4)


def _server(keyring: Keyring, server: Server) -> bytes:
    keys: dict[str, object] = {"token_file": keyring.token_file}
    keys |= {"shared": keyring.shared, "private_keys": keyring.server_files.get(server.name, ())}
    return render("server.toml", server=server, **_shared(keyring.inventory), **keys).encode()


def _client(keyring: Keyring, servers: Mapping[bool, str], member: Member) -> bytes:
    fleet, private_keys = keyring.inventory, keyring.member_files.get(member.identity, ())
    own = {"settings": member.settings, "tier": fleet.tier_of(member), "private_keys": private_keys}
    own |= {"psk_file": keyring.psk_files.get(member.identity, "")}
    own |= {"servers": servers[bool(private_keys)], "consent": host_config(member)}
    return render("client.toml", member=member, **_shared(fleet), **own).encode()


def _shared(fleet: Inventory) -> dict[str, object]:
    return {"fleet": fleet, "method": METHODS[fleet.cipher], "shared_key": SHARED_KEY}


def _server_lines(fleet: Inventory, *, keyed: bool) -> Iterator[str]:
    """Yield a line for each server, the same in all clients of the key tier, and in all others."""
    for server in fleet.servers:
        table: dict[str, object] = {"address": server.endpoint}
        if keyed:
            table["public_key"] = alone(server.public_keys)
        yield f"  {toml_value(table)},"


def _lan_routes(fleet: Inventory, cluster: Cluster) -> bytes:
    prefixes = [(member.identity, prefix) for member in cluster.members for prefix in member.ciders]
    narrow = [(identity, prefix) for identity, prefix in prefixes if not like_default(prefix)]
    name = lan_routes_file(cluster.name)
    return render("lan-routes.sh", fleet=fleet, cluster=cluster, prefixes=narrow, name=name).encode()
