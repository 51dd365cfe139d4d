"""Inventory -> units for systemd: one for servers, one for clients, and drop-ins where a host differs from the fleet.

    rustun-server.service                        reads /etc/rustun/server.toml
    rustun-server.service.d/NAME.conf            on the host of a server of another name: reads NAME.toml
    rustun-client@.service                       reads /etc/rustun/client-INSTANCE.toml
    rustun-client@INSTANCE.service.d/rustun.conf   for a member with other keys than most, or with a name of its own

Rules of this module
  1. Names are the same in build/FLEET/units/ and in /etc/systemd/system/; a host gets those that are its own.
  2. A unit depends on minimum_tier and psk of [fleet] and on what servers bind, so that no member's change touches the
     unit of all others.
  3. A client's keys come to it as credentials (systemd.exec(5), LoadCredential=) under the names that their files have.
     Their order in a drop-in does not tell which is in use: a client that has both exchanges them without a restart.
  4. The name of a file may hold % and ~, that of a unit may not: an instance has : and @ there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from rustun.ops.filenames import (
    FIRST_SERVER,
    PSKS,
    SECRETS,
    SHARED_KEY,
    client_file,
    member_key_file,
    psk_file,
    server_file,
)
from rustun.ops.fleet import Inventory, Member, Server
from rustun.ops.keyring import Keyring
from rustun.ops.templating import render
from rustun.protocol.tiers import Tier

SERVER_UNIT: Final = "rustun-server.service"
CLIENT_UNIT: Final = "rustun-client@.service"
PROGRAM: Final = "/opt/rustun/current/bin/rustun"
CONFIG: Final = "/etc/rustun"
FIRST_FREE_PORT: Final = 1024  # ip_unprivileged_port_start of a host that nobody changed
_FILE_TO_UNIT: Final = str.maketrans("%~", ":@")


def units(keyring: Keyring) -> dict[str, str]:
    """Return all units and drop-ins of a fleet, name -> text, the same for the same inventory."""
    fleet = keyring.inventory
    return {
        **dict(_server_units(fleet)),
        **{name: text for server in fleet.servers for name, text in _server_drop_ins(fleet, server)},
        **dict(_client_units(fleet)),
        **{name: text for member in fleet.members for name, text in _client_drop_ins(keyring, member)},
    }


def server_units(fleet: Inventory, server: Server) -> dict[str, str]:
    """Return what of `units` belongs on the host of one of its servers."""
    return {**dict(_server_units(fleet)), **dict(_server_drop_ins(fleet, server))}


def client_units(keyring: Keyring, member: Member) -> dict[str, str]:
    """Return what of `units` belongs on the host of one of its members."""
    return {**dict(_client_units(keyring.inventory)), **dict(_client_drop_ins(keyring, member))}


def client_unit(identity: str) -> str:
    """Return the name of the unit that runs a member: what `systemctl start` takes."""
    return f"rustun-client@{instance(identity)}.service"


def instance(identity: str) -> str:
    """Return what stands behind the @ in the name of a member's unit."""
    return client_file(identity).removeprefix("client-").removesuffix(".toml").translate(_FILE_TO_UNIT)


def _server_units(fleet: Inventory) -> Iterator[tuple[str, str]]:
    bound = (endpoint for server in fleet.servers for endpoint in fleet.listen_of(server))
    low = any(0 < endpoint.port < FIRST_FREE_PORT for endpoint in bound)
    capability = "CAP_NET_BIND_SERVICE" if low else ""
    yield SERVER_UNIT, render(SERVER_UNIT, fleet=fleet, program=PROGRAM, folder=CONFIG, capability=capability)


def _client_units(fleet: Inventory) -> Iterator[tuple[str, str]]:
    usual = map(_credential, _usual_keys(fleet, f"{SECRETS}/members/%i.key", f"{PSKS}/%i.psk"))
    yield CLIENT_UNIT, render(CLIENT_UNIT, fleet=fleet, program=PROGRAM, folder=CONFIG, credentials=usual)


def _server_drop_ins(fleet: Inventory, server: Server) -> Iterator[tuple[str, str]]:
    if server.name != FIRST_SERVER:
        start = f"{PROGRAM} serve {CONFIG}/{server_file(server.name)}"
        yield f"{SERVER_UNIT}.d/{server.name}.conf", _drop_in(fleet, {"ExecStart": [start]})


def _client_drop_ins(keyring: Keyring, member: Member) -> Iterator[tuple[str, str]]:
    fleet, identity, settings = keyring.inventory, member.identity, {}
    keys = keys_of(keyring, member)
    file = client_file(identity)
    named_as_unit = file == f"client-{instance(identity)}.toml"
    usual = _usual_keys(fleet, member_key_file(identity, 1), psk_file(identity))
    if not named_as_unit:
        settings["ExecStart"] = [f"{PROGRAM} connect --config {_literal(f'{CONFIG}/{file}')} --retry-refused"]
    if keys != usual or not named_as_unit:
        settings["LoadCredential"] = [_credential(_literal(key)) for key in sorted(keys)]
    if settings:
        yield f"{client_unit(identity)}.d/rustun.conf", _drop_in(fleet, settings)


def _usual_keys(fleet: Inventory, key: str, psk: str) -> tuple[str, ...]:
    """Return which keys a client has that is like most of the fleet."""
    if fleet.minimum_tier is not Tier.KEY:
        return (SHARED_KEY,)
    return (key, psk) if fleet.psk else (key,)


def keys_of(keyring: Keyring, member: Member) -> tuple[str, ...]:
    """Return the names of all key files that a member's client reads."""
    psk = keyring.psk_files.get(member.identity)
    return (*keyring.member_files.get(member.identity, (SHARED_KEY,)), *([psk] if psk else []))


def _credential(key_file: str) -> str:
    return f"{key_file.rpartition('/')[2]}:{CONFIG}/{key_file}"


def _literal(name: str) -> str:
    """Return a file's name as a unit writes it; % begins what systemd replaces (systemd.unit(5), "Specifiers")."""
    return name.replace("%", "%%")


def _drop_in(fleet: Inventory, settings: Mapping[str, list[str]]) -> str:
    return render("unit-drop-in.conf", fleet=fleet, settings=settings)
