"""Status documents as text for people: the answer first, then one line per member or peer.

Everything in a document is shown as plain text: names come from peers and files, so each passes `printable`, and cells
are `Text`, in which rich reads no markup. A key that an older or newer process does not send is shown as "-".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rustun.admin.units import NOTHING, age, duration, round_trip, size
from rustun.errors import HostError
from rustun.printable import printable

Document = Mapping[str, Any]

STYLES: Final = {  # colour repeats the word, never replaces it
    **{"online": "green", "refused": "red", "unproven": "yellow"},
    **dict.fromkeys(("offline", "disabled", "expired"), "dim"),
}
MESSAGE_CHARACTERS: Final = 300
TURNED_AWAY: Final = frozenset(  # of `closes`: those that concern who did not come in
    ("connection-budget", "crowded-out", "handshake-budget", "handshake-failed", "handshake-timeout")
    + ("envelope", "wrong-key", "refused", "place-taken")
)
SESSION_COLUMNS: Final = ("cluster", "member", "address", "state", "proof", "rtt", "tier", "in", "out", "drops")
SERVER_COLUMNS: Final = ("server", "at", "state", "proof", "rtt", "last error")
PEER_COLUMNS: Final = ("peer", "name", "address", "state", "prefixes")
FOLDED_COLUMNS: Final = {  # least width, where a line would be too long; the others are short by nature
    "cluster": 8,
    "member": 12,
    "peer": 12,
    "name": 12,
    "address": 10,
    "drops": 14,
    "prefixes": 18,
    "server": 18,
    "last error": 24,
}


def show_status(document: Document, console: Console) -> None:
    """Print one status document: a headline, what needs attention, the details.

    Raises: HostError where a value is of another kind than this version knows; what was printed before stays.
    """
    try:
        (_show_server if document.get("role") == "server" else _show_client)(document, console)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        reason = f"a part of the status is not what this version knows: {printable(str(error), MESSAGE_CHARACTERS)}"
        raise HostError(reason, "use `rustun status --json`, or the version that runs there") from error


def _show_server(document: Document, console: Console) -> None:
    alarms = document.get("alarms") or []
    words = [
        ", ".join(_word(address) for address in document.get("listen") or [NOTHING]),
        f"{_word(document.get('online', 0))} of {_word(document.get('members', 0))} members online",
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
    _show_messages("drops", [_reasons(document["drops"])] if document.get("drops") else [], "", console)
    members = [(entry, _session_cells(entry)) for entry in document.get("sessions") or []]
    members += [(entry, _offline_cells(entry)) for entry in document.get("offline") or []]
    members.sort(key=lambda member: (str(member[0].get("cluster", "")), str(member[0].get("identity", ""))))
    if members:
        _show_table(SESSION_COLUMNS, [cells for _, cells in members], console)
    for member in document.get("offline") or []:
        if member.get("last_error"):
            title = f"last error of {_word(member.get('identity'))} ({_word(member.get('cluster'))})"
            when = f", {age(member['last_error_age_s'])}" if member.get("last_error_age_s") is not None else ""
            _show_messages(title, [f"{member['last_error']}{when}"], "", console)
    turned_away = {reason: count for reason, count in (document.get("closes") or {}).items() if reason in TURNED_AWAY}
    _show_messages("closes", [_reasons(turned_away)] if any(turned_away.values()) else [], "", console)


def _session_cells(session: Document) -> list[str]:
    return [
        _word(session.get("cluster")),
        _word(session.get("identity")),
        _word(session.get("address") or session.get("address6")),
        _word(session.get("state")),
        age(session.get("proof_age_s")),
        round_trip(session.get("rtt_ms")),
        _word(session.get("tier")),
        size(session.get("received_bytes") or 0),
        size(session.get("sent_bytes") or 0),
        _reasons(session.get("drops") or {}),
    ]


def _offline_cells(member: Document) -> list[str]:
    return [
        _word(member.get("cluster")),
        _word(member.get("identity")),
        _word(member.get("address") or member.get("address6")),
        _word(member.get("state") or "offline"),
        age(member.get("last_seen_age_s")),
        *([NOTHING] * 5),
    ]


def _show_client(document: Document, console: Console) -> None:
    state = _word(document.get("state"))
    remote = f" ({_word(document['remote'])})" if document.get("remote") else ""
    words = [f"{_word(document.get('identity'))} {state}", f"server {_word(document.get('server'))}{remote}"]
    _show_head(document, words, console)
    if state in ("online", "unproven"):
        _show_messages("session", [_session(document)], "", console)
    if document.get("public_key"):
        keys = f"{document['public_key']}   of the server {_word(document.get('server_public_key'))}"
        _show_messages("public key", [keys], "", console)
    if document.get("last_error"):
        next_try = document.get("next_try_s")
        when = f"; next try in {duration(next_try)}" if next_try is not None else ""
        _show_messages("last error", [f"{document['last_error']}{when}"], "bold red", console)
    servers = document.get("servers") or []
    if len(servers) > 1:
        _show_table(SERVER_COLUMNS, [_server_cells(server) for server in servers], console)
    refused = document.get("refused_routes") or {}
    _show_messages("not routed", [f"{prefix}: {reason}" for prefix, reason in refused.items()], "bold red", console)
    _show_messages("warning", document.get("warnings") or [], "bold red", console)
    tun = document.get("tun") or {}
    offloads = ", ".join(_word(name) for name in tun.get("offloads") or []) or "no offloads"
    _show_messages("device", [f"{_word(tun.get('name'))}, MTU {_word(tun.get('mtu'))}, {offloads}"], "", console)
    _show_messages("addresses", [_listed(document.get("addresses"))], "", console)
    _show_messages("routes", [_listed(document.get("routes"))], "", console)
    _show_messages("traffic", [_traffic(document)], "", console)
    peers = sorted(document.get("peers") or [], key=lambda peer: str(peer.get("identity", "")))
    if peers:
        _show_table(PEER_COLUMNS, [_peer_cells(peer) for peer in peers], console)


def _server_cells(server: Document) -> list[str]:
    return [
        _word(server.get("server")),
        _word(server.get("remote")),
        _word(server.get("state")),
        age(server.get("proof_age_s")),
        round_trip(server.get("rtt_ms")),
        printable(str(server.get("last_error") or NOTHING), MESSAGE_CHARACTERS),
    ]


def _peer_cells(peer: Document) -> list[str]:
    return [
        _word(peer.get("identity")),
        _word(peer.get("name")),
        _word(peer.get("address") or peer.get("address6")),
        NOTHING if peer.get("online") is None else "online" if peer["online"] else "offline",
        _listed(peer.get("ciders")),
    ]


def _session(document: Document) -> str:
    tier = f"{_word(document.get('tier'))} tier, {_word(document.get('cipher'))}"
    proof = f"last proof of life {age(document.get('proof_age_s'))}"
    return f"{tier}   {proof}   round trip {round_trip(document.get('rtt_ms'))}"


def _traffic(document: Document) -> str:
    directions = [
        f"{word} {size(document.get(f'{key}_bytes') or 0)} in {_word(document.get(f'{key}_packets') or 0)} packets"
        for word, key in (("received", "received"), ("sent", "sent"))
    ]
    reconnects = f"reconnects {_word(document.get('reconnects') or 0)}"
    return "   ".join([*directions, f"drops {_reasons(document.get('drops') or {})}", reconnects])


def _show_head(document: Document, words: list[str], console: Console) -> None:
    program = f"rustun {_word(document.get('role'))} {_word(document.get('version'))}"
    head = [program, f"up {duration(document.get('uptime_s') or 0, units=2)}", *words]
    console.print(Text("   ".join(head), style="bold"), soft_wrap=True)


def _show_messages(title: str, messages: list[str], style: str, console: Console) -> None:
    for message in messages:
        line = Text(f"{title}: ", style=style)
        line.append(printable(str(message), MESSAGE_CHARACTERS), style="default")
        console.print(line, soft_wrap=True)


def _show_table(columns: tuple[str, ...], rows: list[list[str]], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        if name in FOLDED_COLUMNS:
            table.add_column(name, overflow="fold", min_width=FOLDED_COLUMNS[name])
        else:
            table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console.print(table)


def _reasons(drops: Mapping[str, object]) -> str:
    return ", ".join(f"{_word(count)} {printable(reason)}" for reason, count in drops.items() if count) or NOTHING


def _listed(values: list[object] | None) -> str:
    return ", ".join(_word(value) for value in values or []) or NOTHING


def _word(value: object) -> str:
    return NOTHING if value is None or value == "" else printable(str(value))
