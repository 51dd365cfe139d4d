"""Status documents as text for people: the answer first, then one line per member or peer, then why something is not.

Everything in a document is shown as plain text: names come from peers and files, so each passes `printable`. A key that
an older or newer process does not send is shown as "-".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from rustun.admin.explain import explain_client, explain_closes, explain_member, explain_peer
from rustun.admin.member_table import PEERS, SERVERS, columns_for, listed, presence, reasons, rows_of, show_rows, word
from rustun.admin.units import NOTHING, age, duration, rate, round_trip, size
from rustun.backends.base import NOT_AN_EXIT
from rustun.errors import HostError
from rustun.printable import printable

Document = Mapping[str, Any]

MESSAGE_CHARACTERS: Final = 300
EXPLAINED_LINES: Final = 50  # of all members together; who asks for a cluster or a member is told the rest
TURNED_AWAY: Final = frozenset(  # of `closes`: those that concern who did not come in
    ("connection-budget", "crowded-out", "handshake-budget", "handshake-failed", "handshake-timeout")
    + ("envelope", "wrong-key", "refused", "place-taken")
)


def show_status(document: Document, console: Console, *, now: bool = False) -> None:
    """Print one status document: a headline, what needs attention, the details.

    Args:
        now: show rates in the place of sums since sessions began.
    Raises: HostError where a value is of another kind than this version knows; what was printed before stays.
    """

    def show() -> None:
        if document.get("role") == "server":
            _show_server(document, console, now)
        else:
            _show_client(document, console, now)

    _told_apart(show)


def show_member(document: Document, console: Console) -> None:
    """Print all that a process knows of one member, and what stands between it and the others.

    Args:
        document: that was asked for the member alone.
    Raises: as `show_status`.
    """

    def show() -> None:
        _show_head(document, [], console)
        if document.get("role") == "server":
            for member in _members(document):
                _show_facts(_member_facts(member), console)
                _show_why(explain_member(member), console)
        else:
            for peer in document.get("peers") or []:
                _show_facts(_peer_facts(peer), console)
                _show_why([*explain_peer(document, peer), *explain_client(document)], console)

    _told_apart(show)


def _told_apart(show: Callable[[], None]) -> None:
    try:
        show()
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        reason = f"a part of the status is not what this version knows: {printable(str(error), MESSAGE_CHARACTERS)}"
        raise HostError(reason, "use `rustun status --json`, or the version that runs there") from error


# --- a server --------------------------------------------------------------------------------------------------------


def _show_server(document: Document, console: Console, now: bool) -> None:
    alarms = document.get("alarms") or []
    words = [
        listed(document.get("listen")),
        f"{word(document.get('online', 0))} of {word(document.get('members', 0))} members online",
        *([f"{rate(document['sent_bytes_per_s'])} now"] if document.get("sent_bytes_per_s") else []),
        f"{len(alarms)} {'alarm' if len(alarms) == 1 else 'alarms'}",
    ]
    _show_head(document, words, console)
    routes = document.get("routes") or {}
    for title, messages in (
        ("alarm", alarms),
        ("problem", routes.get("problems") or []),
        ("removal not in force", routes.get("not_in_force") or []),
    ):
        _show_messages(title, messages, "bold red", console)
    _show_messages("drops", [reasons(document["drops"])] if document.get("drops") else [], "", console)
    members = _members(document)
    if members:
        columns = columns_for(console.width, now=now)
        show_rows(columns, rows_of(columns, members), console)
    _show_explanations(members, console)
    turned_away = {reason: count for reason, count in (document.get("closes") or {}).items() if reason in TURNED_AWAY}
    _show_messages("closes", [reasons(turned_away)] if any(turned_away.values()) else [], "", console)
    _show_messages("turned away", explain_closes(document), "bold", console)


def _members(document: Document) -> list[Document]:
    """Return sessions and absent members together, in the order in which people look for them."""
    members = [*(document.get("sessions") or []), *(document.get("offline") or [])]
    return sorted(members, key=lambda member: (str(member.get("cluster", "")), str(member.get("identity", ""))))


def _keys(session: Document) -> str:
    own, servers = session.get("public_key"), session.get("server_public_key")
    return f"{word(own)}   of the server {word(servers)}" if own else NOTHING


def _show_explanations(members: Sequence[Document], console: Console) -> None:
    lines = [(member, text) for member in members for text in explain_member(member)]
    for member, text in lines[:EXPLAINED_LINES]:
        _show_messages(f"{word(member.get('identity'))} ({word(member.get('cluster'))})", [text], "bold", console)
    rest = len(lines) - EXPLAINED_LINES
    if rest > 0:
        _show_messages(f"{rest:,} more like these", ["rustun status CLUSTER, or MEMBER, tells them"], "", console)


def _member_facts(member: Document) -> list[tuple[str, str]]:
    when = age(member.get("proof_age_s") if "proof_age_s" in member else member.get("last_seen_age_s"))
    facts = [
        ("member", f"{word(member.get('identity'))}   cluster {word(member.get('cluster'))}"),
        ("name", word(member.get("name"))),
        ("addresses", listed(filter(None, (member.get("address"), member.get("address6"))))),
        ("ciders", listed(member.get("ciders"))),
        ("expires", word(member.get("expires_at"))),
        ("state", f"{word(member.get('state') or 'offline')}   last sign of life {when}"),
    ]
    if member.get("state") != "online":
        return facts
    return [
        *facts,
        ("session", f"{_session(member)}   up {duration(member.get('age_s') or 0, units=2)}"),
        ("client", f"version {word(member.get('version'))} at {word(member.get('remote'))}"),
        ("keys", _keys(member)),
        ("traffic", _traffic(member)),
        ("device", f"MTU {word(member.get('mtu'))}, {listed(member.get('offloads'))}"),
        ("queue", f"{_packets(member.get('queued_packets'))}, {size(member.get('queued_bytes') or 0)} wait for it"),
    ]


# --- a client --------------------------------------------------------------------------------------------------------


def _show_client(document: Document, console: Console, now: bool) -> None:
    state = word(document.get("state"))
    remote = f" ({word(document['remote'])})" if document.get("remote") else ""
    words = [f"{word(document.get('identity'))} {state}", f"server {word(document.get('server'))}{remote}"]
    _show_head(document, words, console)
    if state in ("online", "unproven"):
        _show_messages("session", [_session(document)], "", console)
    if document.get("public_key"):
        keys = f"{document['public_key']}   of the server {word(document.get('server_public_key'))}"
        _show_messages("public key", [keys], "", console)
    if document.get("last_error"):
        next_try = document.get("next_try_s")
        when = f"; next try in {duration(next_try)}" if next_try is not None else ""
        _show_messages("last error", [f"{document['last_error']}{when}"], "bold red", console)
    servers = document.get("servers") or []
    if len(servers) > 1:
        show_rows(SERVERS, rows_of(SERVERS, servers), console)
    for prefix, reason in (document.get("refused_routes") or {}).items():
        style = "" if reason == NOT_AN_EXIT else "bold red"
        _show_messages("not routed", [f"{prefix}: {reason}"], style, console)
    _show_messages("warning", document.get("warnings") or [], "bold red", console)
    tun = document.get("tun") or {}
    offloads = listed(tun.get("offloads")) if tun.get("offloads") else "no offloads"
    _show_messages("device", [f"{word(tun.get('name'))}, MTU {word(tun.get('mtu'))}, {offloads}"], "", console)
    _show_messages("addresses", [listed(document.get("addresses"))], "", console)
    _show_messages("routes", [listed(document.get("routes"))], "", console)
    traffic = _now(document) if now else _traffic(document)
    reconnects = f"reconnects {word(document.get('reconnects') or 0)}"
    _show_messages("traffic", [f"{traffic}   {reconnects}"], "", console)
    peers = sorted(document.get("peers") or [], key=lambda peer: str(peer.get("identity", "")))
    if peers:
        show_rows(PEERS, rows_of(PEERS, peers), console)
    _show_messages("why", explain_client(document), "bold", console)


def _peer_facts(peer: Document) -> list[tuple[str, str]]:
    return [
        ("peer", word(peer.get("identity"))),
        ("name", word(peer.get("name"))),
        ("addresses", listed(filter(None, (peer.get("address"), peer.get("address6"))))),
        ("ciders", listed(peer.get("ciders"))),
        ("state", presence(peer.get("online"))),
    ]


# --- both ------------------------------------------------------------------------------------------------------------


def _session(session: Document) -> str:
    tier = f"{word(session.get('tier'))} tier, {word(session.get('cipher'))}"
    proof = f"last proof of life {age(session.get('proof_age_s'))}"
    return f"{tier}   {proof}   round trip {round_trip(session.get('rtt_ms'))}"


def _traffic(counted: Document) -> str:
    directions = [
        f"{key} {size(counted.get(f'{key}_bytes') or 0)} in {_packets(counted.get(f'{key}_packets') or 0)}"
        for key in ("received", "sent")
    ]
    return "   ".join([*directions, f"drops {reasons(counted.get('drops'))}"])


def _packets(count: object) -> str:
    return "1 packet" if count == 1 else f"{word(count)} packets"


def _now(counted: Document) -> str:
    directions = [f"{key} {rate(counted.get(f'{key}_bytes_per_s') or 0)}" for key in ("received", "sent")]
    return "   ".join([*directions, f"drops {reasons(counted.get('drops'))}"])


def _show_head(document: Document, words: list[str], console: Console) -> None:
    program = f"rustun {word(document.get('role'))} {word(document.get('version'))}"
    head = [program, f"up {duration(document.get('uptime_s') or 0, units=2)}", *words]
    console.print(Text("   ".join(head), style="bold"), soft_wrap=True)


def _show_facts(facts: list[tuple[str, str]], console: Console) -> None:
    for name, value in facts:
        if value != NOTHING:
            _show_messages(name, [value], "", console)


def _show_why(lines: list[str], console: Console) -> None:
    nothing = ["nothing known here: look at the other end, and at `rustun trace`"]
    _show_messages("why not", lines or nothing, "bold", console)


def _show_messages(title: str, messages: Sequence[object], style: str, console: Console) -> None:
    for message in messages:
        line = Text(f"{title}: ", style=style)
        line.append(printable(str(message), MESSAGE_CHARACTERS), style="default")
        console.print(line, soft_wrap=True)
