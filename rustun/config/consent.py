"""[host_config] of client.toml: what this host lets a server and its cluster ask of it.

Rules of this module
  1. What is not written is not allowed. A server can take back what it told, never widen what stands here.
  2. What could not work as it is written is an error at the start, not a surprise in traffic: a mapping that leads
     nowhere, a kill switch without anything to guard.
  3. Keys are judged together once options lie over the file; what an option said is blamed on that option.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from rustun.backends.base import Endpoint, Prefix
from rustun.config.addresses import parse_prefix
from rustun.config.findings import Complaint
from rustun.config.mapping import parse_mapping
from rustun.config.names import parse_name
from rustun.config.toml import Table
from rustun.printable import quoted
from rustun.protocol.routing import like_default

NAME_CHOICES: Final = ("off", "hosts")


@dataclass(frozen=True, slots=True)
class HostConsent:
    """What this host allows a server to ask of it; nothing that is not written.

    Attributes:
        gateway: LAN prefixes that this host forwards for.
        masquerade: what is forwarded from the tunnel gets this host's own address as source.
        accept_routes: prefixes within which peers' prefixes may be routed into the tunnel; None: any.
        cider_mapping: pairs of the prefix that the cluster sees and the real one, address for address.
        offer_exit: others may use this host as exit node.
        exit_node: the member that is to be the default route, empty for none.
        kill_switch: nothing leaves this host beside the tunnel.
        names: "off" or "hosts".
        as_told: what the server names as LANs behind this host is let in as well, as by the seed's client; where there
            is neither a client.toml nor a `gateway`.
    """

    gateway: tuple[Prefix, ...] = ()
    masquerade: bool = False
    accept_routes: tuple[Prefix, ...] | None = None
    cider_mapping: tuple[tuple[Prefix, Prefix], ...] = ()
    offer_exit: bool = False
    exit_node: str = ""
    kill_switch: bool = False
    names: str = "off"
    as_told: bool = False


def parse_lan(text: str) -> Prefix:
    """Return a prefix that a gateway can stand in front of. Raises: Complaint: not a prefix, or a default route."""
    prefix = parse_prefix(text)
    if like_default(prefix):
        raise Complaint(f"{quoted(text)} is as wide as a default route", "offer_exit = true makes an exit node")
    return prefix


def within(prefix: Prefix, prefixes: Iterable[Prefix]) -> bool:
    """Tell whether one of `prefixes` is or holds all of `prefix`."""
    return any(
        prefix.version == other.version and prefix.subnet_of(other)  # type: ignore[arg-type]  # one version, as checked
        for other in prefixes
    )


def lets_in(consent: HostConsent, prefix: Prefix) -> bool:
    """Tell whether packets from the tunnel reach a prefix that this member is said to offer.

    Behind a mapping, what is offered is the prefix that the cluster sees, and the real one is within `gateway`.
    """
    if like_default(prefix):
        return consent.offer_exit
    return consent.as_told or within(prefix, (*consent.gateway, *(seen for seen, _ in consent.cider_mapping)))


def read_consent(table: Table) -> HostConsent:
    """Return what the table says; what is wrong with a single key is reported to it."""
    consent = HostConsent(
        gateway=table.texts("gateway", parse_lan),
        masquerade=table.flag("masquerade"),
        accept_routes=table.texts("accept_routes", parse_prefix) if "accept_routes" in table else None,
        cider_mapping=tuple(_read_mapping(table.table("cider_mapping"))),
        offer_exit=table.flag("offer_exit"),
        exit_node=table.text("exit_node", lambda text: text and parse_name(text), ""),
        kill_switch=table.flag("kill_switch"),
        names=table.choice("names", NAME_CHOICES, "off"),
    )
    table.known("accept_routes")
    table.close()
    return consent


def _read_mapping(mapping: Table) -> Iterator[tuple[Prefix, Prefix]]:
    for seen, real in mapping.values.items():
        try:
            yield parse_mapping(seen, real)
        except Complaint as complaint:
            mapping.report(seen, complaint.reason, complaint.remedy)


def judge_consent(consent: HostConsent, identity: str, servers: Iterable[Endpoint], top: Table) -> None:
    """Report what does not go together.

    Args:
        identity: of this member.
        servers: as they are written, names unresolved.
        top: the whole file, or an empty one for options alone; problems are reported to it.
    """
    table = top.table("host_config")
    if consent.masquerade and not (consent.gateway or consent.offer_exit):
        remedy = 'write gateway = ["192.168.1.0/24"], or type --gateway 192.168.1.0/24'
        table.blame("masquerade", True, "--masq", "hides nothing: this host forwards for nobody", remedy)
    if consent.exit_node and consent.exit_node == identity:
        table.report("exit_node", "is this member itself", "name the member that is the way out, or take it out")
    elif consent.exit_node and consent.offer_exit:
        reason = "stands beside exit_node: what leaves here would go back into the tunnel"
        table.report("offer_exit", reason, "keep one")
    if consent.kill_switch:
        if not consent.exit_node:
            table.report("kill_switch", "stands without exit_node", "name the member that everything goes through")
        for server in filter(_is_name, servers):
            reason = f"server {server} is a name, and host_config.kill_switch is on"
            remedy = "write its address: with a kill switch nobody can be asked for it"
            top.report("servers", reason, remedy, value=str(server))
    mapping = table.table("cider_mapping")
    for seen, real in consent.cider_mapping:
        if not within(real, consent.gateway):
            mapping.report(str(seen), f"{real} is not within gateway", f'add "{real}" to gateway')
    for reason in _overlaps(consent.cider_mapping):
        table.report("cider_mapping", reason, "each address needs one place on either side")


def _overlaps(mapping: tuple[tuple[Prefix, Prefix], ...]) -> Iterator[str]:
    """Yield pairs of prefixes in which an address has two meanings; each prefix beside the widest that holds it."""
    sides = [(prefix, side) for pair in mapping for prefix, side in zip(pair, ("seen", "real"), strict=True)]
    sides.sort(key=lambda entry: (entry[0].version, int(entry[0].network_address), entry[0].prefixlen))
    holder: tuple[Prefix, str] | None = None
    for prefix, side in sides:  # sorted so, what holds a prefix comes before it
        if holder is not None and holder[0].overlaps(prefix):
            yield f"{holder[0]} ({holder[1]}) and {prefix} ({side}) overlap"
        else:
            holder = (prefix, side)


def _is_name(server: Endpoint) -> bool:
    try:
        ip_address(server.host)
    except ValueError:
        return True
    return False
