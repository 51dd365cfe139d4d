"""What this client wants of its host: a pure function of its configuration and of what the servers tell.

Rules of this module
  1. The server's word narrows, configuration widens: forwarding, mapping, exits and names are wished as far as
     [host_config] says so, and then only for what the cluster really has.
  2. What is configured and cannot be had, or is told and was never agreed to, is a warning, never an error: the rest
     of the tunnel works.
  3. Before the first word of a server there is nothing to wish but a kill switch, which cannot wait. Without one an
     exit is no exit until then, and that is said.
  4. A member's name is made of its identity, letters a-z, digits and hyphens. Two that would become one are left out
     both: nobody takes another's name by choosing an identity like it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Final

from rustun.backends.base import Address, Endpoint, Forwarding, HostState, Prefix
from rustun.client.peers import OwnEntry
from rustun.config.client import ClientConfig
from rustun.config.consent import HostConsent, lets_in
from rustun.printable import quoted
from rustun.protocol.control import DirectoryEntry
from rustun.protocol.routing import like_default, never_inside

MAX_NAME_CHARACTERS: Final = 63  # of one label (RFC 1035, section 2.3.4)
MAX_NAMES: Final = 10_000  # each look-up of any name reads the whole file: about 0.5 ms for so many
SHOWN: Final = 3  # of those that a warning names; the others are counted
Names = dict[str, tuple[Address, ...]]


@dataclass(frozen=True, slots=True)
class HostWish:
    """What is wanted, and what of it cannot be had; a line each."""

    state: HostState
    warnings: tuple[str, ...] = ()


def host_wish(
    config: ClientConfig,
    device: str,
    own: OwnEntry | None,
    entries: Mapping[str, DirectoryEntry] | None,
    routes: tuple[Prefix, ...],
    servers: tuple[Endpoint, ...],
) -> HostWish:
    """Return the wish.

    Args:
        device: name of the TUN device.
        own: this member's entry; None before a server told it.
        entries: the other members by identity; None before a server told of them, and so of nothing to warn of.
        routes: their addresses and prefixes, as they should be routed into the tunnel.
        servers: numeric addresses and ports in use or tried; those that are configured so count anyway.
    """
    consent = config.host
    outside = tuple(dict.fromkeys((*servers, *_numeric(config))))
    if own is None:
        state = HostState(device, config.tun_mtu, outside=outside, kill_switch=consent.kill_switch)
        return HostWish(state, _no_exit_yet(consent))
    exits, no_exit = _exits(consent, entries or {})
    names, not_named = _names(consent, config.identity, own, entries or {})
    state = HostState(
        device,
        config.tun_mtu,
        addresses=own.addresses,
        routes=tuple(prefix for prefix in routes if prefix not in exits),
        outside=outside,
        accept=consent.accept_routes,
        exits=exits,
        kill_switch=consent.kill_switch,
        forwarding=Forwarding(consent.gateway, consent.masquerade, consent.cider_mapping, consent.offer_exit),
        names=tuple(sorted(names.items())),
    )
    if entries is None:
        return HostWish(state, _no_exit_yet(consent))
    return HostWish(
        state,
        (
            *no_exit,
            *_mapping_warnings(consent, own),
            *_gateway_warnings(consent, own),
            *_lan_warnings(consent, own),
            *not_named,
        ),
    )


def _numeric(config: ClientConfig) -> Iterator[Endpoint]:
    """Yield the configured servers that are addresses: with a kill switch all of them are."""
    for server in config.servers:
        try:
            ip_address(server.endpoint.host)
        except ValueError:
            continue
        yield server.endpoint


def _no_exit_yet(consent: HostConsent) -> tuple[str, ...]:
    if not consent.exit_node or consent.kill_switch:
        return ()
    name = quoted(consent.exit_node)
    return (f"kill_switch is off: until a server has told of exit_node {name} all traffic goes in clear",)


def _exits(consent: HostConsent, entries: Mapping[str, DirectoryEntry]) -> tuple[tuple[Prefix, ...], list[str]]:
    """Return the default routes of the chosen exit node, and what is wrong with it."""
    if not consent.exit_node:
        return (), []
    name = quoted(consent.exit_node)
    leak = "nothing leaves this host" if consent.kill_switch else "all traffic beside the cluster goes in clear"
    chosen = entries.get(consent.exit_node)
    offered = _defaults(chosen)
    if not offered:
        reason = "is no member of this cluster" if chosen is None else "offers no default route"
        return (), [f"exit_node {name} {reason}: {leak}"]
    warnings = []
    for identity, entry in entries.items():
        twice = [str(prefix) for prefix in _defaults(entry) if prefix in offered]
        if twice and identity != consent.exit_node:
            message = f"{quoted(identity)} offers {' and '.join(twice)} as {name} does: the relay takes neither"
            warnings.append(f"{message}; its operator has to take one out")
    return offered, warnings[:SHOWN]


def _defaults(entry: DirectoryEntry | None) -> tuple[Prefix, ...]:
    texts = entry.prefixes if entry is not None else ()
    return tuple(sorted((ip_network(text) for text in texts if text.endswith("/0")), key=lambda prefix: prefix.version))


def _mapping_warnings(consent: HostConsent, own: OwnEntry) -> Iterator[str]:
    ours = {str(seen): str(real) for seen, real in consent.cider_mapping}
    for seen, real in own.mapping:
        if ours.get(seen) != real:
            told = f"the server says that {quoted(seen)} is {quoted(real)} behind this host"
            yield f"{told}, cider_mapping in client.toml does not: nothing is translated on the server's word"


def _gateway_warnings(consent: HostConsent, own: OwnEntry) -> Iterator[str]:
    told = {str(prefix) for prefix in own.offered}
    missing = "among this member's ciders in routes.json"
    for seen, real in consent.cider_mapping:
        if str(seen) not in told:
            yield f"cider_mapping: nobody is told of {seen} ({real}): it is not {missing}"
    reached = (*own.offered, *(real for _, real in consent.cider_mapping))
    idle = [str(lan) for lan in consent.gateway if not any(lan.overlaps(prefix) for prefix in reached)]
    if idle:
        yield f"gateway: nobody is told of {_some(idle)}: nothing of it is {missing}"
    if consent.offer_exit and not any(map(like_default, own.offered)):
        yield f"offer_exit: nobody is told of it: neither 0.0.0.0/0 nor ::/0 is {missing}"


def _lan_warnings(consent: HostConsent, own: OwnEntry) -> Iterator[str]:
    shut = [str(prefix) for prefix in own.offered if not lets_in(consent, prefix)]
    if shut:
        told = f"the server says that {_some(shut)} is behind this host: nothing is let in there, since [host_config]"
        yield f"{told} does not name it (gateway, or cider_mapping; offer_exit = true for the internet)"
    believed = [str(prefix) for prefix in own.offered if not like_default(prefix)] if consent.as_told else []
    if believed:
        told = f"members reach {_some(believed)}, as the server says, where this host forwards"
        yield f"{told}: there is no client.toml, and no --gateway, to say what they may"


def _names(
    consent: HostConsent, identity: str, own: OwnEntry, entries: Mapping[str, DirectoryEntry]
) -> tuple[Names, list[str]]:
    """Return the names of all members with their addresses, and who has none."""
    if consent.names != "hosts":
        return {}, []
    addresses = {identity: tuple(interface.ip for interface in own.addresses)}
    for entry in entries.values():
        texts = (text for text in (entry.address, entry.address6) if text)
        addresses[entry.identity] = tuple(ip_interface(text).ip for text in texts)
    holders: dict[str, list[str]] = {}
    for member in addresses:
        holders.setdefault(host_name(member), []).append(member)
    nameless = holders.pop("", [])
    warnings = [f"names: {_some(nameless)}: no letter a-z and no digit to make a name of"] if nameless else []
    for name in [name for name, members in holders.items() if len(members) > 1]:
        warnings.append(f"names: {_some(holders.pop(name))} would all be {name}: none of them has a name")
    if len(holders) > MAX_NAMES:
        return {}, [f"names: {len(holders):,} members, over {MAX_NAMES:,}: none is written"]
    found = ((name, tuple(filter(_usable, addresses[members[0]]))) for name, members in holders.items())
    return {name: usable for name, usable in found if usable}, _first(warnings)


def host_name(identity: str) -> str:
    """Return the label that an identity becomes: a-z, 0-9 and single hyphens inside; empty when nothing is left."""
    label = re.sub(r"[^a-z0-9]+", "-", identity.lower()).strip("-")
    return label[:MAX_NAME_CHARACTERS].strip("-")


def _usable(address: Address) -> bool:
    return not never_inside(int(address), address.version)


def _some(identities: list[str]) -> str:
    shown = ", ".join(quoted(identity) for identity in identities[:SHOWN])
    return shown if len(identities) <= SHOWN else f"{shown} and {len(identities) - SHOWN:,} more"


def _first(warnings: list[str]) -> list[str]:
    rest = len(warnings) - SHOWN
    return warnings if rest <= 0 else [*warnings[:SHOWN], f"names: {rest:,} more like these"]
