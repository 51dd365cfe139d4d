"""Every file that an inventory generates, as bytes: configuration, units, a page for people. Keys are not among them.

NAME.toml                 of each server
routes.json               the same for all servers
client-IDENTITY.toml      of each member
units/                    for systemd (units.py)
lan-routes-CLUSTER.sh     what no client can do: routes of routers in LANs whose gateways do not masquerade
fleet.md, topology.svg    for people (page.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rustun.ops.consent import host_config
from rustun.ops.filenames import SHARED_KEY, UNITS, client_file, lan_routes_file, server_file
from rustun.ops.fleet import Cluster, Inventory
from rustun.ops.keyring import Keyring
from rustun.ops.page import render_page, render_picture
from rustun.ops.templating import alone, render, render_routes, toml_value
from rustun.ops.units import units
from rustun.protocol.routing import like_default

METHODS: Final = {"auto": "aes256", "aes256": "aes256", "chacha20": "chacha20poly1305"}  # crypto_config by cipher


def artefacts(keyring: Keyring) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each file; the same fleet and keys give the same."""
    fleet = keyring.inventory
    shared = {"fleet": fleet, "method": METHODS[fleet.cipher], "shared_key": SHARED_KEY}
    for server in fleet.servers:
        own = {"shared": keyring.shared, "private_keys": keyring.server_files.get(server.name, ())}
        yield server_file(server.name), render("server.toml", server=server, **shared, **own).encode()
    yield "routes.json", render_routes(fleet)
    servers = {keyed: "\n".join(_server_lines(fleet, keyed=keyed)) for keyed in (True, False)}
    for member in fleet.members:
        private_keys = keyring.member_files.get(member.identity, ())
        own = {"settings": member.settings, "tier": fleet.tier_of(member), "private_keys": private_keys}
        own |= {"psk_file": keyring.psk_files.get(member.identity, "")}
        own |= {"servers": servers[bool(private_keys)], "consent": host_config(member)}
        text = render("client.toml", member=member, **shared, **own)
        yield client_file(member.identity), text.encode()
    for name, unit in units(keyring).items():
        yield f"{UNITS}/{name}", unit.encode()
    for cluster in fleet.clusters:
        if any(member.ciders and not member.settings.masquerade for member in cluster.members):
            yield lan_routes_file(cluster.name), _lan_routes(fleet, cluster)
    yield "fleet.md", render_page(fleet)
    yield "topology.svg", render_picture(fleet)


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
