"""Why a member is not there, or why its packets do not arrive: a status document in sentences.

Rules of this module
  1. A sentence says what was found, the word by which docs/status.md knows it, and where to look next. It is made of
     the document alone: what stands here is what the process really counted.
  2. The relay sees who may come in and where packets go, a member's client what its host does with them. So each says
     its part, and names the other where that is the one to ask.
  3. What is normal is not said: a kernel that looks for routers, a member that was stopped in order.
  4. Texts of peers and files stand in sentences as they are; whoever shows one makes it `printable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final

from rustun.admin.units import age

Document = Mapping[str, Any]

REFUSED: Final = "refused: "
QUIET_BYTES_PER_S: Final = 48  # what a kernel says by itself, looking for routers: no answer to anybody
BUSY_BYTES_PER_S: Final = 64  # a ping each second is 84: less is no traffic that waits for an answer
NEVER: Final = "never"  # in HINTS, of who has no `last_error`
GOODBYE: Final = "goodbye"
HINTS: Final = {  # by the beginning of `last_error`; the dashboard has them in its languages (web/pages/words)
    "wrong key": "its private key does not go with the public_key in routes.json; on its host"
    " `rustun keygen --public FILE` shows the one that does",
    "this member has to use": "its client uses another tier than its entry asks for",
    "the server has no public key": "its entry in routes.json needs the public_key that, on its host,"
    " `rustun keygen --public FILE` shows",
    "silent": "nothing was heard of it any more: its host or its network is down",
    "connection-lost": "its network is down, or something on the way cut the connection",
    "stalled": "it took nothing any more: its host hangs, or its line is full",
    "superseded": "another host took its place: two hosts may use this identity",
    "place-taken": "another host has its place: two hosts may use this identity",
    "key-expired": "its keys were not renewed in time: its host slept",
    "protocol-error": "its software and this server do not understand each other; the log says what came",
    GOODBYE: "it was stopped",
    NEVER: "it has not come since the server started",
}
DROPS: Final = {  # by reason; {source} and {destination} are those of the latest packet, {cluster}, {lost_to} words
    "bad-source": "{source} is no address of its own and lies in none of its ciders (last to {destination})",
    "no-route": "nobody in {cluster} has {destination} (last from {source})",
    "to-sender": "{destination} is its own: its host sends into the tunnel what it should deliver",
    "offline": "the member with {destination} is offline",
    "queue-full": "{lost_to} takes less than it is sent",
}
CLIENT_DROPS: Final = {
    "bad-source": "they came from {source}, where this host routes nothing into the tunnel (last to {destination})",
    "bad-destination": "{destination} is no address of this host, and no LAN that its [host_config] lets members reach"
    " (last from {source})",
    "kernel-refused": "the kernel did not take them: is the device up?",
    "queue-full": "a server takes less than this host sends",
}
CLOSES: Final = {  # before anybody is known by name; what concerns a member stands at it
    "envelope": "meant for another server, or from strangers: has each client.toml this server's public_key?",
    "handshake-failed": "with another key string or cipher, by a tier that is not served, or from strangers",
    "refused": "the key was right, and no entry has the identity: the log's event `refused` has it",
}
ALWAYS_WITH_ADDRESSES: Final = frozenset(("no-route", "bad-source"))  # without: what a kernel says to all neighbours
NORMAL: Final = frozenset(("no-session", "closed"))  # waited when a session began or ended


def explain_member(member: Document) -> list[str]:
    """Return what stands between a member and the others, as its server sees it; nothing where all is well.

    Args:
        member: an object of `sessions` or `offline` of a server's document.
    """
    if member.get("state") == "online":
        return list(_of_session(member))
    return list(_of_absent(member))


def hint_of(member: Document) -> str:
    """Return which of HINTS says more of an absent member; empty where none does, or its state says all."""
    if member.get("state") in ("disabled", "expired"):
        return ""
    error = str(member.get("last_error") or NEVER).removeprefix(REFUSED)
    return next((beginning for beginning in HINTS if error.startswith(beginning)), "")


def explain_closes(document: Document) -> list[str]:
    """Return what a server makes of those whom it let in under no name; nothing where there were none."""
    counted = dict(document.get("closes") or {})
    if any(_is_refused(member) for member in document.get("offline") or ()):
        counted.pop("refused", None)  # it is told there
    found = ((reason, why, counted.get(reason)) for reason, why in CLOSES.items())
    return [f"{_counted(count, 'connection')} closed: {why} ({reason})" for reason, why, count in found if count]


def explain_client(document: Document) -> list[str]:
    """Return what stands between this host and the others, as its client sees it; nothing where all is well."""
    lines = []
    if document.get("state") == "unproven":
        lines.append("the server owes an answer: nobody knows whether packets arrive")
    lines.extend(_drops(document, CLIENT_DROPS))
    if _rate(document, "received") > BUSY_BYTES_PER_S and _rate(document, "sent") < QUIET_BYTES_PER_S:
        lines.append(
            "packets come in and nothing goes out: this host was given them and does not answer;"
            " look at its firewall (nft list ruleset)"
        )
    return lines


def explain_peer(document: Document, peer: Document) -> list[str]:
    """Return what stands between this host and one peer, as this client sees it; nothing where all is well.

    Args:
        document: of the client.
        peer: an object of its `peers`.
    """
    lines = []
    if peer.get("online") is False:
        lines.append("offline; `rustun status` on the server says why")
    refused: Mapping[str, str] = document.get("refused_routes") or {}
    own = (peer.get("address"), peer.get("address6"))
    for prefix in (*(peer.get("ciders") or ()), *(_host_prefix(address) for address in own if address)):
        if prefix in refused:
            lines.append(f"this host does not route {prefix} into the tunnel: {refused[prefix]}")
    for reason, (source, destination) in _latest(document).items():
        lost = (document.get("drops") or {}).get(reason)
        if lost and reason == "bad-source" and _holds(peer.get("ciders") or [], source):
            lines.append(
                f"{_counted(lost, 'packet')} from it dropped here, the last from {source} to {destination} ({reason})"
            )
    return lines


def _of_absent(member: Document) -> Iterator[str]:
    state = member.get("state") or "offline"
    if state == "disabled":
        yield "disabled: its entry in routes.json says enabled = false"
        return
    if state == "expired":
        yield f"expired: its entry's expires_at, {member.get('expires_at') or 'a time that is over'}, has passed"
        return
    error = str(member.get("last_error") or "").removeprefix(REFUSED)
    when = age(member.get("last_error_age_s"))
    found = hint_of(member)
    hint = HINTS.get(found, "")
    if found == NEVER:
        yield f"offline: {hint}"
    elif found == GOODBYE:
        yield f"offline: {hint}, {when}"
    else:
        yield f"offline: {error}, {when}" + (f"; {hint}" if hint else "")


def _of_session(session: Document) -> Iterator[str]:
    yield from _drops(session, DROPS)
    lost = session.get("lost_packets") or 0
    if lost:
        waiting = session.get("queued_packets") or 0
        yield f"{_counted(lost, 'packet')} for it lost: it takes less than it is sent; {waiting} wait now"
    if _rate(session, "sent") > BUSY_BYTES_PER_S and not _rate(session, "received"):
        yield (
            "packets go to it and none come back: its host gets them;"
            " `rustun status` there says whether its client drops them or its firewall does"
        )


def _drops(counted: Document, sentences: Mapping[str, str]) -> Iterator[str]:
    latest = _latest(counted)
    words = {
        "cluster": counted.get("cluster") or "the cluster",
        "lost_to": counted.get("lost_to") or "the receiver",
    }
    for reason, count in (counted.get("drops") or {}).items():
        addresses = latest.get(reason)
        if not count or reason in NORMAL or (addresses is None and reason in ALWAYS_WITH_ADDRESSES):
            continue
        source, destination = addresses or ("it", "its destination")
        sentence = sentences.get(reason)
        why = sentence.format(source=source, destination=destination, **words) if sentence else "see docs/status.md"
        yield f"{_counted(count, 'packet')} dropped: {why} ({reason})"


def _latest(counted: Document) -> dict[str, tuple[str, str]]:
    refused: Mapping[str, list[str]] = counted.get("refused") or {}
    return {reason: (str(source), str(destination)) for reason, (source, destination) in refused.items()}


def _rate(counted: Document, direction: str) -> float:
    return float(counted.get(f"{direction}_bytes_per_s") or 0)


def _counted(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _is_refused(member: Document) -> bool:
    """Tell whether the policy refused a member; a wrong key is counted by a word of its own."""
    error = str(member.get("last_error") or "")
    return error.startswith(REFUSED) and error != f"{REFUSED}wrong key"


def _host_prefix(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _holds(prefixes: list[str], address: str) -> bool:
    """Tell whether an address lies in one of these prefixes; both as a process wrote them."""
    try:
        found = ip_address(address)
        return any(found in ip_network(prefix) for prefix in prefixes)
    except ValueError:
        return False
