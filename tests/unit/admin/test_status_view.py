"""Status for people: what stands where, plain text whatever a peer is called, and no wider than 100 columns."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from rustun.admin.member_table import MANY_ROWS
from rustun.admin.status_view import EXPLAINED_LINES, show_member, show_status
from rustun.backends.base import NOT_AN_EXIT

SERVER: dict[str, Any] = {
    "schema": 1,
    "role": "server",
    "version": "0.3.0",
    "pid": 7,
    "uptime_s": 3 * 86_400 + 4 * 3_600,
    "listen": ["0.0.0.0:8080", "[::]:8080"],
    "members": 3,
    "online": 2,
    "alarms": ["more than 3 takeovers of bj-dev in 60 s"],
    "routes": {"problems": ["routes.json:31: duplicate"], "not_in_force": ["bj-old"]},
    "drops": {"no-route": 3, "never": 0},
    "closes": {"goodbye": 9, "envelope": 4, "wrong-key": 2, "refused": 0},
    "sessions": [
        {
            "cluster": "beijing",
            "identity": "bj-office-gw",
            "address": "10.0.1.1",
            "state": "online",
            "tier": "shared",
            "proof_age_s": 1.4,
            "rtt_ms": 0.6,
            "received_bytes": 1_200_000_000,
            "sent_bytes": 830_000_000,
            "drops": {},
        },
        {
            "cluster": "beijing",
            "identity": "bj-dev",
            "address": "",
            "address6": "fd00:1::2",
            "state": "online",
            "tier": "legacy",
            "proof_age_s": 3,
            "rtt_ms": None,
            "drops": {"queue-full": 12, "source": 1},
        },
    ],
    "offline": [
        {
            "cluster": "shanghai",
            "identity": "sh-db",
            "address": "10.0.2.2",
            "last_seen_age_s": 7_300,
            "last_error": "refused: wrong key",
            "last_error_age_s": 20.4,
        }
    ],
}

CLIENT: dict[str, Any] = {
    "schema": 1,
    "role": "client",
    "version": "0.3.0",
    "uptime_s": 61,
    "identity": "bj-dev",
    "state": "online",
    "server": "vpn.example:8080",
    "remote": "198.18.0.1:8080",
    "tier": "shared",
    "cipher": "aes256",
    "proof_age_s": 0.2,
    "rtt_ms": 0.5,
    "tun": {"name": "rustun0", "mtu": 1500, "offloads": ["csum", "tso4"]},
    "addresses": ["10.0.1.2/24"],
    "routes": ["10.0.1.0/24"],
    "refused_routes": {"192.168.1.0/24": "is a network of eth0"},
    "warnings": ["nft is not installed"],
    "peers": [
        {
            "identity": "bj-office-gw",
            "name": "Beijing office",
            "address": "10.0.1.1",
            "ciders": ["192.168.1.0/24", "fd00:9::/64"],
            "online": False,
        }
    ],
    "received_bytes": 5_000,
    "received_packets": 10,
    "sent_bytes": 6_000,
    "sent_packets": 11,
    "drops": {"mtu": 2},
    "reconnects": 1,
    "last_error": "",
    "next_try_s": None,
}

HOSTILE = "a[/b][link=http://x]\x1b[31m\n\u202e" + "x" * 500


def shown(document: dict[str, Any], *, terminal: bool = False) -> str:
    stream = io.StringIO()
    show_status(document, Console(file=stream, width=100, highlight=False, force_terminal=terminal))
    return stream.getvalue()


def rows(text: str) -> list[list[str]]:
    """Split each line where two blanks part its cells."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def test_server_table() -> None:
    """An operator reads a member's state, age or traffic in the wrong column, or a loss stays unseen."""
    lines = rows(shown(SERVER))
    assert lines[0] == [
        "rustun server 0.3.0",
        "up 3 d 4 h",
        "0.0.0.0:8080, [::]:8080",
        "2 of 3 members online",
        "1 alarm",
    ]
    assert lines[1:] == [
        ["alarm: more than 3 takeovers of bj-dev in 60 s"],
        ["problem: routes.json:31: duplicate"],
        ["removal not in force: bj-old"],
        ["drops: 3 no-route"],
        ["cluster", "member", "address", "state", "proof", "rtt", "tier", "in", "out", "drops"],
        ["beijing", "bj-dev", "fd00:1::2", "online", "3 s ago", "-", "legacy", "0 B", "0 B", "12 queue-full,"],
        ["1 source"],
        ["beijing", "bj-office-gw", "10.0.1.1", "online", "1 s ago", "0.6 ms", "shared", "1.2 GB", "830 MB", "-"],
        ["shanghai", "sh-db", "10.0.2.2", "offline", "2 h ago", "-", "-", "-", "-", "-"],
        ["bj-dev (beijing): 12 packets dropped: the receiver takes less than it is sent (queue-full)"],
        ["bj-dev (beijing): 1 packet dropped: see docs/status.md (source)"],
        [
            "sh-db (shanghai): offline: wrong key, 20 s ago; its private key does not go with the public_key in"
            " routes.json; on its host `rustun keygen --public FILE` shows the one that does"
        ],
        ["closes: 4 envelope, 2 wrong-key"],
        [
            "turned away: 4 connections closed: meant for another server, or from strangers: has each client.toml this"
            " server's public_key? (envelope)"
        ],
    ]


def test_several_servers() -> None:
    """A user with two servers cannot see which of them is down, or why."""
    second = {"server": "vpn2.example:8080", "remote": "", "state": "waiting", "last_error": "no answer"}
    servers = [{**CLIENT, "last_error": ""}, {**second, "proof_age_s": None, "rtt_ms": None}]
    assert rows(shown({**CLIENT, "servers": servers}))[2:5] == [
        ["server", "at", "state", "proof", "rtt", "last error"],
        ["vpn.example:8080", "198.18.0.1:8080", "online", "0 s ago", "0.5 ms", "-"],
        ["vpn2.example:8080", "-", "waiting", "-", "-", "no answer"],
    ]
    assert shown({**CLIENT, "servers": servers[:1]}) == shown(CLIENT), "one server is told once"


def test_client() -> None:
    """A user cannot see whether the tunnel is up, what it routes, or which prefix was refused and why."""
    assert rows(shown(CLIENT)) == [
        ["rustun client 0.3.0", "up 1 min 1 s", "bj-dev online", "server vpn.example:8080 (198.18.0.1:8080)"],
        ["session: shared tier, aes256", "last proof of life 0 s ago", "round trip 0.5 ms"],
        ["not routed: 192.168.1.0/24: is a network of eth0"],
        ["warning: nft is not installed"],
        ["device: rustun0, MTU 1500, csum, tso4"],
        ["addresses: 10.0.1.2/24"],
        ["routes: 10.0.1.0/24"],
        ["traffic: received 5.0 kB in 10 packets", "sent 6.0 kB in 11 packets", "drops 2 mtu", "reconnects 1"],
        ["peer", "name", "address", "state", "prefixes"],
        ["bj-office-gw", "Beijing office", "10.0.1.1", "offline", "192.168.1.0/24, fd00:9::/64"],
        ["why: 2 packets dropped: see docs/status.md (mtu)"],
    ]


def test_a_client_shows_the_keys_of_its_session() -> None:
    """Nobody sees which of two keys a client uses while they are exchanged."""
    text = shown({**CLIENT, "public_key": "own=", "server_public_key": "servers="})
    assert "public key: own=   of the server servers=\n" in text
    assert "public key" not in shown(CLIENT)


def test_peers_stand_in_order_and_untold_presence_is_not_offline() -> None:
    """In a large cluster, where presence is not told, everybody looks gone; and nobody is found in the list."""
    peers = [{**CLIENT["peers"][0], "identity": name, "online": online} for name, online in (("b", None), ("a", True))]
    lines = rows(shown({**CLIENT, "peers": peers}))
    assert [(line[0], line[3]) for line in lines[-3:-1]] == [("a", "online"), ("b", "-")]


def test_a_waiting_client_says_why_and_when() -> None:
    """A client that cannot connect shows neither its reason nor that it will try again."""
    waiting = {**CLIENT, "state": "waiting", "last_error": "closed without a word: wrong key?", "next_try_s": 4.2}
    assert "last error: closed without a word: wrong key?; next try in 4 s\n" in shown(waiting)
    assert "session:" not in shown(waiting)


def test_what_a_peer_is_called_is_only_text() -> None:
    """A member's name is read as markup (an exception, a link, hidden text) or steers the operator's terminal."""
    for document in (
        {**SERVER, "sessions": [{"identity": HOSTILE, "cluster": HOSTILE, "state": HOSTILE, "drops": {HOSTILE: 1}}]},
        {**SERVER, "alarms": [HOSTILE], "offline": [{"identity": HOSTILE, "last_error": HOSTILE}]},
        {**CLIENT, "peers": [{"identity": HOSTILE, "name": HOSTILE, "ciders": [HOSTILE]}], "last_error": HOSTILE},
    ):
        text = shown(document)
        assert text.replace("\n", "").isprintable()
        assert "[/b]" in text


def test_tables_fit_100_columns() -> None:
    """Long names push losses or traffic out of sight."""
    session = {**SERVER["sessions"][0], "identity": "i" * 60, "cluster": "c" * 60, "address6": "fd00:" * 7 + "1"}
    wide = {**SERVER, "sessions": [{**session, "address": "", "drops": {"queue-full": 123_456_789}}]}
    wide |= {"alarms": [], "offline": [], "closes": {}}
    lines = [line for line in shown(wide).splitlines() if "dropped:" not in line]
    assert max(len(line) for line in lines) <= 100
    text = " ".join(line.rstrip() for line in lines)
    for cell in ("0.6 ms", "1.2 GB", "830 MB", "online"):
        assert cell in text


def test_colour_only_on_a_terminal() -> None:
    """Status in a pipe is full of terminal codes; on a terminal colour is missing, or carries meaning alone."""
    plain, coloured = shown(SERVER), shown(SERVER, terminal=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == plain.split()


def test_a_document_of_another_version() -> None:
    """A process that sends fewer or no details ends `rustun status` in a traceback."""
    assert shown({"schema": 1, "role": "server"}).startswith("rustun server -   up 0 s")
    assert shown({"schema": 1, "role": "client"}).startswith("rustun client -   up 0 s")


def member_shown(document: dict[str, Any]) -> str:
    stream = io.StringIO()
    show_member(document, Console(file=stream, width=100, highlight=False))
    return stream.getvalue()


def test_one_packet_is_one() -> None:
    """A reader stumbles over "1 packets" in the line that he compares with what he has just sent."""
    [gateway, _] = SERVER["sessions"]
    shown = member_shown({**SERVER, "sessions": [{**gateway, "sent_packets": 1, "queued_packets": 1}], "offline": []})
    assert "in 1 packet   drops" in shown
    assert "queue: 1 packet, 0 B wait for it" in shown


def test_a_member_is_told_with_all_that_is_known() -> None:
    """Who asks why one member is not reached is shown a line of a table, and has to know what to look for."""
    [gateway, _] = SERVER["sessions"]
    told = {"name": "Office", "ciders": ["192.168.1.0/24"], "version": "0.1.0", "age_s": 7_260, "mtu": 1500}
    lines = rows(member_shown({**SERVER, "sessions": [{**gateway, **told}], "offline": []}))
    assert lines[1:] == [
        ["member: bj-office-gw", "cluster beijing"],
        ["name: Office"],
        ["addresses: 10.0.1.1"],
        ["ciders: 192.168.1.0/24"],
        ["state: online", "last sign of life 1 s ago"],
        ["session: shared tier, -", "last proof of life 1 s ago", "round trip 0.6 ms", "up 2 h 1 min"],
        ["client: version 0.1.0 at -"],
        ["traffic: received 1.2 GB in 0 packets", "sent 830 MB in 0 packets", "drops -"],
        ["device: MTU 1500, -"],
        ["queue: - packets, 0 B wait for it"],
        ["why not: nothing known here: look at the other end, and at `rustun trace`"],
    ]
    text = member_shown({**SERVER, "sessions": []})
    assert "state: offline   last sign of life 2 h ago\n" in text
    assert "why not: offline: wrong key, 20 s ago;" in text
    assert "session:" not in text
    refused = {**CLIENT, "refused_routes": {"192.168.1.0/24": "outside accept_routes"}}
    text = member_shown(refused)
    assert "why not: offline; `rustun status` on the server says why\n" in text
    assert "why not: this host does not route 192.168.1.0/24 into the tunnel: outside accept_routes\n" in text


def test_an_exit_that_nobody_chose_is_no_alarm() -> None:
    """Every client of a cluster with an exit node shows a red line, and nobody looks at the red lines any more."""
    refused = {"0.0.0.0/0": NOT_AN_EXIT, "::/0": f"accept_routes has it, but {NOT_AN_EXIT}", "10.2.0.0/16": "is a LAN"}
    lines = shown({**CLIENT, "refused_routes": refused}, terminal=True).splitlines()
    found = [line for line in lines if "not routed" in line]
    assert NOT_AN_EXIT in found[0]
    assert [line.startswith("\x1b[1;31mnot routed: ") for line in found] == [False, True, True]


def test_thousands_of_members_are_plain_lines() -> None:
    """The table of a large server takes many seconds, and its columns do not stand below each other."""
    names = ["東京", *(f"member-{number:04}" for number in range(MANY_ROWS))]
    sessions = [{**SERVER["sessions"][0], "identity": name, "cluster": "c", "lost_packets": 1} for name in names]
    lines = shown({**SERVER, "sessions": sessions, "offline": [], "alarms": [], "closes": {}}).splitlines()
    [head] = [line for line in lines if line.startswith("cluster")]
    at = head.index("address")
    table = [line for line in lines if "10.0.1.1" in line]
    assert len(table) == MANY_ROWS + 1
    assert {line.index("10.0.1.1") for line in table[:-1]} == {at}
    assert table[-1].index("10.0.1.1") == at - 2, "two characters, each as wide as two"
    explained = [line for line in lines if "for it lost" in line]
    assert len(explained) == EXPLAINED_LINES
    rest = MANY_ROWS + 1 - EXPLAINED_LINES
    assert lines[-1] == f"{rest} more like these: rustun status CLUSTER, or MEMBER, tells them"


def test_a_wide_terminal_shows_more() -> None:
    """Who has the room still has to ask for age, cipher and version."""
    heads = {}
    for width in (80, 100, 150):
        stream = io.StringIO()
        show_status(SERVER, Console(file=stream, width=width, highlight=False))
        heads[width] = next(line for line in stream.getvalue().splitlines() if line.startswith("cluster")).split()
    assert {"age", "cipher", "version"} <= set(heads[150])
    assert not {"age", "cipher", "version"} & set(heads[100])
    assert heads[80] == [head for head in heads[100] if head not in ("proof", "tier")]


def test_rates_in_the_place_of_sums() -> None:
    """Who watches sees sums grow, and has to reckon how fast."""
    stream = io.StringIO()
    session = {**SERVER["sessions"][0], "received_bytes_per_s": 125_000, "sent_bytes_per_s": 0}
    console = Console(file=stream, width=100, highlight=False)
    show_status({**SERVER, "sessions": [session], "offline": []}, console, now=True)
    lines = rows(stream.getvalue())
    assert lines[5][-3:] == ["in now", "out now", "drops"]
    assert lines[6][-3:] == ["1.0 Mbit/s", "0 bit/s", "-"]
    stream.truncate(0)
    show_status({**CLIENT, "received_bytes_per_s": 125_000, "sent_bytes_per_s": 0}, console, now=True)
    assert "traffic: received 1.0 Mbit/s   sent 0 bit/s   drops 2 mtu   reconnects 1\n" in stream.getvalue()
