"""What a ping from this client measures: the round trip to a server, and where packets for a member go."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from rustun.backends.base import Callback
from rustun.client.noise_session import ClientNoiseSession
from rustun.client.server_link import ServerLink
from rustun.client.trace import address_of, link_to, why_not_routed
from rustun.errors import UsageError

if TYPE_CHECKING:
    from rustun.client.client import TunnelClient

Address = IPv4Address | IPv6Address
UNKNOWN_SOURCE: Final[dict[int, Address]] = {4: IPv4Address(0), 6: IPv6Address(0)}


def ping_target(client: TunnelClient, member: str) -> tuple[dict[str, object], Callable[[Callback], None] | None]:
    """Return what is told of a member, and what sends the server a ping; None where "why_not" says why there is none.

    Args:
        member: an identity, or an address of a member or behind one; empty for the server alone.

    Raises: UsageError: there is no such member, or it is this host.
    """
    if not member:
        return _of_server({"member": "", "name": "", "address": "", "not_routed": ""}, client.first)
    if member == client.config.identity:
        raise UsageError("this host itself was named", "name another member; rustun status shows them")
    entry = client.members.get(member)
    address = address_of(client, member, 6 if entry is not None and not entry.address else 4)
    owner = _owner(client, address)
    own: list[Address] = [one.ip for one in client.host_report.addresses if one.version == address.version]
    at = own[0] if own else UNKNOWN_SOURCE[address.version]
    facts: dict[str, object] = {
        "member": owner,
        "name": client.members[owner].name if owner in client.members else "",
        "address": str(address),
        "not_routed": why_not_routed(client, address),
    }
    return _of_server(facts, link_to(client, at, address) or client.first)


def _owner(client: TunnelClient, address: Address) -> str:
    owners = (link.peers.owner(int(address), address.version) for link in client.links)
    return next((owner for owner in owners if owner is not None), "")


def _of_server(
    facts: dict[str, object], link: ServerLink
) -> tuple[dict[str, object], Callable[[Callback], None] | None]:
    session = link.session
    told = {
        **facts,
        "server": str(link.server),
        "remote": str(link.remote) if link.remote is not None else "",
        "tier": session.tier.value if session is not None else "",
    }
    if session is None:
        return {**told, "why_not": f"no session: {link.last_error or link.state}"}, None
    if not isinstance(session, ClientNoiseSession):
        return {**told, "why_not": "the seed's wire answers no ping by itself"}, None
    return told, session.echo
