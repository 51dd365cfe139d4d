"""Would a packet pass this client, and by which server? Answered by what decides about real ones.

Rules of this module
  1. Out: what the host routes into the tunnel is what the kernel was told (`Peers.is_inside` follows it), the server is
     the one that `Ways.choose` takes. In: the verdict is that of `examine` and `Peers.judge`.
  2. What the servers do with it, only they know; this side says what they have told.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

from rustun.client.server_link import ServerLink
from rustun.errors import UsageError
from rustun.link.asked import as_address, unknown_member
from rustun.printable import quoted
from rustun.protocol.control import DirectoryEntry, parse_interface
from rustun.protocol.packet import MAX_PACKET_BYTES, DropReason, examine, flow_key
from rustun.protocol.probe import USUAL_BYTES, probe_packet

if TYPE_CHECKING:
    from rustun.client.client import TunnelClient

Address = IPv4Address | IPv6Address
Document = dict[str, object]


def trace(
    client: TunnelClient,
    source: str,
    destination: str,
    member: str = "",
    cluster: str = "",
    size: int = USUAL_BYTES,
) -> Document:
    """Return what would become of a packet, why, and what the counters say.

    Args:
        source, destination: addresses, or identities of members; one of them has to be of this host.
        member, cluster: empty; only a server knows who else sends, and where.
        size: of the packet, bytes.

    Raises: UsageError: no such member, no packet like that, or none that this host has to do with.
    """
    if member or cluster:
        raise UsageError("a client knows itself and its own cluster alone", "ask the server about other members")
    version = next((one.version for one in map(as_address, (source, destination)) if one is not None), 4)
    at, to = address_of(client, source, version), address_of(client, destination, version)
    try:
        packet = probe_packet(at, to, size)
    except ValueError as error:
        raise UsageError(str(error), "name another size, or two addresses of one IP version") from error
    if _is_ours(client, at):
        found = _outwards(client, at, to, packet)
    elif _is_ours(client, to):
        found = _inwards(client, at, to, packet)
    else:
        raise UsageError(f"neither {at} nor {to} is of this host", "ask its client, or the server")
    ends: Document = {"source": str(at), "destination": str(to), "size": size}
    return {"cluster": "", "member": client.config.identity, **ends, "back": None, **found}


def address_of(client: TunnelClient, text: str, version: int) -> Address:
    """Return the address of a member, or the one that a text is. Raises: UsageError."""
    own = [address.ip for address in client.host_report.addresses if address.version == version]
    if text == client.config.identity:
        if not own:
            raise UsageError(f"this host has no IPv{version} address in the tunnel yet", "rustun status tells why")
        return own[0]
    entry = client.members.get(text)
    if entry is not None:
        written = entry.address if version == 4 else entry.address6
        if not written:
            raise UsageError(f"{quoted(text)} has no IPv{version} address", "name its other one")
        return parse_interface(written).ip
    address = as_address(text)
    if address is None:
        raise unknown_member(text, client.members)
    return address


def link_to(client: TunnelClient, at: Address, to: Address) -> ServerLink | None:
    """Return the link whose session packets between two addresses take, None where there is no session."""
    links = [link for link in client.links if link.session is not None]
    if not links:
        return None
    uplink = client.ways.choose(flow_key(probe_packet(at, to), 0))
    return next((link for link in links if link.session is not None and link.session.uplink is uplink), None)


def why_not_routed(client: TunnelClient, address: Address) -> str:
    """Return why this host does not route an address into the tunnel, or nothing where it does."""
    number, version = int(address), address.version
    if any(link.peers.is_inside(number, version) for link in client.links):
        return ""
    report = client.host_report
    refused = {prefix: reason for prefix, reason in report.refused.items() if address in prefix}
    if refused:
        longest = max(refused, key=lambda prefix: prefix.prefixlen)
        return f"this host refused {longest}: {refused[longest]}"
    if address in report.local or any(address == own.ip for own in report.addresses):
        return f"{address} is this host's own"
    if any(address in prefix for prefix in report.elsewhere):
        return f"this host reaches {address} by another interface"
    if all(link.peers.owner(number, version) is None for link in client.links):
        return f"no member of the cluster has {address}, as far as the servers tell"
    return f"{address} is a member's, and this host has no route to it yet"


def _is_ours(client: TunnelClient, address: Address) -> bool:
    return any(link.peers.is_ours(int(address), address.version) for link in client.links)


def _owner(client: TunnelClient, address: Address) -> DirectoryEntry | None:
    for link in client.links:
        identity = link.peers.owner(int(address), address.version)
        if identity is not None:
            return link.peers.entries.get(identity)
    return None


# --- out -------------------------------------------------------------------------------------------------------------


def _outwards(client: TunnelClient, at: Address, to: Address, packet: bytes) -> Document:
    steps = [_step("sender", f"{at} is this host's, or behind it")]
    reason = why_not_routed(client, to)
    if reason:
        return _told("not-routed", "", reason, [*steps, _step("route", reason)], None, [])
    steps.append(_step("route", f"{_prefix(client, to)} leads into {client.tun_name}"))
    if len(packet) > client.config.tun_mtu:
        mtu = client.config.tun_mtu
        steps.append(_step("packet", f"{len(packet)} bytes are more than the MTU, {mtu}: the kernel cuts or refuses"))
    link = link_to(client, at, to)
    if link is None:
        text = f"there is no session: {client.first.last_error or client.state}"
        counter = {"member": client.config.identity, "counter": "drops no-session", "now": _drops(client, "no-session")}
        return _told("drop", "no-session", text, [*steps, _step("server", text)], counter, [])
    steps.append(_step("server", f"{link.server} has the session that it takes"))
    owner = _owner(client, to)
    otherwise = []
    if owner is not None:
        online = link.peers.online(owner)
        state = "online" if online else "not told" if online is None else "offline"
        steps.append(_step("receiver", f"{owner.identity}, {state} at that server"))
        if online is False:
            otherwise.append(f"{link.server} says that {owner.identity} is offline: it would drop the packet (offline)")
    otherwise += _losses(client)
    counter = {"member": client.config.identity, "counter": "sent_packets", "now": client.pump.sent_packets}
    return _told("pass", "", f"goes to the server {link.server}, which decides", steps, counter, otherwise)


def _prefix(client: TunnelClient, address: Address) -> str:
    """Return the prefix of its owner that holds an address; where nobody is told to have it, the address itself."""
    owner = _owner(client, address)
    prefixes = [ip_network(text) for text in owner.prefixes] if owner is not None else []
    holding = [prefix for prefix in prefixes if address in prefix]
    return str(max(holding, key=lambda prefix: prefix.prefixlen)) if holding else str(address)


# --- in --------------------------------------------------------------------------------------------------------------


def _inwards(client: TunnelClient, at: Address, to: Address, packet: bytes) -> Document:
    link = link_to(client, to, at) or client.first
    reason = examine(packet, 0, len(packet), 0, 0, MAX_PACKET_BYTES)
    verdict = DropReason(reason).label if reason else link.peers.judge(flow_key(packet, 0))
    steps = [_step("server", f"as {link.server} tells of the cluster")]
    steps.append(_step("source", why_not_routed(client, at) or f"{_prefix(client, at)} is routed into the tunnel"))
    if verdict != "bad-source":
        steps.append(_step("destination", f"{to} is this host's own in the tunnel, or lies behind it"))
    counter_name = f"drops {verdict}" if verdict else "received_packets"
    now = _drops(client, verdict) if verdict else client.pump.received_packets
    counter = {"member": client.config.identity, "counter": counter_name, "now": now}
    if verdict:
        text = why_not_routed(client, at) if verdict == "bad-source" else f"{to} is nothing that this host lets in"
        never = [f"nothing was dropped here as {verdict} yet: has such a packet come?"] if not now else []
        return _told("drop", verdict, text or f"{at} does not come by {link.server}", steps, counter, never)
    return _told("pass", "", f"goes to the kernel by {client.tun_name}", steps, counter, _losses(client))


def _drops(client: TunnelClient, reason: str) -> int:
    return client.pump.drops.get(reason, 0) if client.tun is not None else 0


def _losses(client: TunnelClient) -> list[str]:
    return [f"{count} packets were dropped here as {reason}" for reason, count in client.pump.drops.items() if count]


def _step(name: str, text: str) -> Document:
    return {"step": name, "text": text, "entry": ""}


def _told(
    verdict: str, reason: str, text: str, steps: list[Document], counter: Document | None, otherwise: list[str]
) -> Document:
    shown = {"verdict": verdict, "reason": reason, "text": text}
    return {**shown, "steps": steps, "counter": counter, "otherwise": otherwise}
