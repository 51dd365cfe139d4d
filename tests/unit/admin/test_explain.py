"""Why a member is not there, or its packets do not arrive: the sentences that people read."""

from __future__ import annotations

from typing import Any

import pytest

from rustun.admin.explain import explain_client, explain_closes, explain_member, explain_peer

ONLINE: dict[str, Any] = {
    "cluster": "beijing",
    "identity": "bj-dev",
    "state": "online",
    "drops": {},
    "refused": {},
    "lost_to": "",
    "lost_packets": 0,
    "queued_packets": 0,
    "received_bytes_per_s": 0,
    "sent_bytes_per_s": 0,
}
ABSENT: dict[str, Any] = {**ONLINE, "state": "offline", "expires_at": "", "last_error": "", "last_error_age_s": None}
CLIENT: dict[str, Any] = {
    "state": "online",
    "drops": {},
    "refused": {},
    "refused_routes": {},
    "received_bytes_per_s": 0,
    "sent_bytes_per_s": 0,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "offline: it has not come since the server started"),
        (
            {"last_error": "refused: wrong key", "last_error_age_s": 121.0},
            "offline: wrong key, 2 min ago; its private key does not go with the public_key in routes.json; on its host"
            " `rustun keygen --public FILE` shows the one that does",
        ),
        ({"last_error": "goodbye", "last_error_age_s": 7200.0}, "offline: it was stopped, 2 h ago"),
        (
            {"last_error": "silent", "last_error_age_s": 30.0},
            "offline: silent, 30 s ago; nothing was heard of it any more: its host or its network is down",
        ),
        ({"last_error": "end-of-stream", "last_error_age_s": 1.0}, "offline: end-of-stream, 1 s ago"),
        ({"state": "disabled", "last_error": "disabled"}, "disabled: its entry in routes.json says enabled = false"),
        (
            {"state": "expired", "expires_at": "2026-01-31T00:00:00+00:00"},
            "expired: its entry's expires_at, 2026-01-31T00:00:00+00:00, has passed",
        ),
    ],
)
def test_who_is_not_there(changes: dict[str, Any], words: str) -> None:
    """An operator sees that a member is offline, and has to search a log for the reason."""
    assert explain_member({**ABSENT, **changes}) == [words]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        (
            {"drops": {"bad-source": 12}, "refused": {"bad-source": ["192.168.7.5", "10.0.1.1"]}},
            [
                "12 packets dropped: 192.168.7.5 is no address of its own and lies in none of its ciders"
                " (last to 10.0.1.1) (bad-source)"
            ],
        ),
        (
            {"drops": {"no-route": 1}, "refused": {"no-route": ["10.0.1.2", "10.9.9.9"]}},
            ["1 packet dropped: nobody in beijing has 10.9.9.9 (last from 10.0.1.2) (no-route)"],
        ),
        ({"drops": {"no-route": 3}}, []),
        (
            {"drops": {"offline": 1234}, "refused": {"offline": ["10.0.1.2", "10.0.1.3"]}},
            ["1,234 packets dropped: the member with 10.0.1.3 is offline (offline)"],
        ),
        (
            {"drops": {"queue-full": 5}, "lost_to": "sh-db"},
            ["5 packets dropped: sh-db takes less than it is sent (queue-full)"],
        ),
        (
            {"lost_packets": 5, "queued_packets": 3},
            ["5 packets for it lost: it takes less than it is sent; 3 wait now"],
        ),
        ({"drops": {"of-tomorrow": 1}}, ["1 packet dropped: see docs/status.md (of-tomorrow)"]),
        (
            {"sent_bytes_per_s": 84},
            [
                "packets go to it and none come back: its host gets them; `rustun status` there says whether its client"
                " drops them or its firewall does"
            ],
        ),
        ({"sent_bytes_per_s": 84, "received_bytes_per_s": 1}, []),
    ],
)
def test_who_is_there(changes: dict[str, Any], words: list[str]) -> None:
    """An operator reads a number of drops and does not know whose fault it is, or is alarmed by what is normal."""
    assert explain_member({**ONLINE, **changes}) == words


def test_who_did_not_come_in() -> None:
    """A client has another server's key, and the server shows a word that only its documents explain."""
    assert explain_closes({}) == explain_closes({"closes": {"goodbye": 3, "envelope": 0}}) == []
    closes = {"closes": {"refused": 1, "envelope": 1200}}
    envelope, refused = explain_closes(closes)
    assert envelope.startswith("1,200 connections closed: meant for another server, or from strangers")
    assert refused.startswith("1 connection closed: the key was right, and no entry has the identity")
    assert explain_closes({**closes, "offline": [{"last_error": "refused: this member is disabled"}]}) == [envelope]
    assert explain_closes({**closes, "offline": [{"last_error": "refused: wrong key"}]}) == [envelope, refused]


def test_a_client_tells_its_own_part() -> None:
    """A user whose firewall or configuration drops packets looks for the fault at the server."""
    drops = {"drops": {"bad-destination": 2, "no-session": 7}, "refused": {"bad-destination": ["10.0.1.1", "10.5.5.5"]}}
    assert explain_client(CLIENT) == []
    assert explain_client({**CLIENT, **drops}) == [
        "2 packets dropped: 10.5.5.5 is no address of this host, and no LAN that its [host_config] lets members reach"
        " (last from 10.0.1.1) (bad-destination)"
    ]
    [line] = explain_client({**CLIENT, "received_bytes_per_s": 84, "sent_bytes_per_s": 5})
    assert line.startswith("packets come in and nothing goes out")
    assert explain_client({**CLIENT, "received_bytes_per_s": 840, "sent_bytes_per_s": 84}) == []
    [line] = explain_client({**CLIENT, "state": "unproven"})
    assert line.startswith("the server owes an answer")


def test_a_peer_whose_prefix_is_not_routed_here() -> None:
    """A user cannot reach a LAN because this host refused its route, and nothing says so where the peer stands."""
    gateway = {"identity": "gw", "address": "10.0.1.1", "address6": "", "ciders": ["192.168.1.0/24"], "online": True}
    assert explain_peer(CLIENT, gateway) == []
    refused = {**CLIENT, "refused_routes": {"192.168.1.0/24": "outside accept_routes", "10.7.0.0/16": "another's"}}
    assert explain_peer(refused, gateway) == [
        "this host does not route 192.168.1.0/24 into the tunnel: outside accept_routes"
    ]
    lost = {**refused, "drops": {"bad-source": 3}, "refused": {"bad-source": ["192.168.1.7", "10.0.1.2"]}}
    assert explain_peer(lost, gateway)[1:] == [
        "3 packets from it dropped here, the last from 192.168.1.7 to 10.0.1.2 (bad-source)"
    ]
    assert explain_peer(lost, {**gateway, "ciders": []}) == [], "somebody else's"
    assert explain_peer(CLIENT, {**gateway, "online": False}) == ["offline; `rustun status` on the server says why"]


def test_a_document_of_an_older_process() -> None:
    """A new tool that asks an old process ends in a traceback."""
    assert explain_member({"state": "online"}) == explain_client({}) == explain_peer({}, {}) == []
    assert explain_member({}) == ["offline: it has not come since the server started"]
