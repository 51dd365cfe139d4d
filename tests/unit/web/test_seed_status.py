"""The seed client's pages, field for field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rustun.web.app import seed_app
from rustun.web.seed_status import seed_status
from rustun.web.source import Source
from tests.unit.web.talking import CONFIG, Heard, asking, client_document, run, server_document, tunnel

NOW = 1_800_000_000.5


def test_every_field_of_the_seed() -> None:
    """A tool that reads the seed's client finds a field missing, renamed or of another kind."""
    assert seed_status(client_document(), NOW) == {
        "self_info": {
            "identity": "bj-dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0", "gateway": "",
            "ciders": ["192.168.1.0/24"], "ipv6": "fd00:1::2", "port": 0, "stun_ip": "", "stun_port": 0,
        },
        "traffic": {
            "receive_bytes": 3 << 20, "receive_bytes_mb": 3.0, "send_bytes": 1 << 20, "send_bytes_mb": 1.0,
        },
        "relay": {"rx_frames": 30, "rx_errors": 2, "tx_frames": 10, "tx_errors": 1},
        "p2p": {"enabled": False, "peers": []},
        "cluster_peers": [
            {
                "name": "Gateway", "identity": "bj-gw", "private_ip": "10.0.1.1", "ciders": ["192.168.2.0/24"],
                "ipv6": "fd00:1::1", "ipv6_port": None, "stun_ip": None, "stun_port": None,
                "last_active": 1_800_000_000, "status": "online",
            }
        ],
    }  # fmt: skip


def peer(document: dict[str, Any]) -> tuple[object, object]:
    """Return last_active and status of the only peer."""
    peers: Any = seed_status(document, NOW)["cluster_peers"]
    return peers[0]["last_active"], peers[0]["status"]


@pytest.mark.parametrize(
    ("state", "proof_age_s", "online", "expected"),
    [
        ("online", 9.0, True, (1_800_000_000, "online")),
        ("unproven", 12.0, True, (1_799_999_988, "online")),
        ("unproven", 31.0, True, (1_799_999_969, "warning")),
        ("unproven", 121.0, True, (1_799_999_879, "inactive")),
        ("online", 1.0, False, (0, "offline")),
        ("online", 1.0, None, (0, "offline")),
        ("waiting", None, None, (0, "offline")),
    ],
)
def test_how_a_peer_is(state: str, proof_age_s: float | None, online: bool | None, expected: tuple[int, str]) -> None:
    """A peer is shown online although its server has been silent for minutes, or offline although it answers."""
    document = client_document(state=state, proof_age_s=proof_age_s)
    document["peers"][0]["online"] = online
    assert peer(document) == expected


def test_before_the_first_address_there_is_no_self() -> None:
    """A client that has no address yet shows an empty one, or fails."""
    assert seed_status(client_document(addresses=[]), NOW)["self_info"] is None


def test_the_pages_are_true_at_the_moment_of_asking(tmp_path: Path) -> None:
    """/status shows what was true a second ago, or /health says ok for a client that is gone."""
    state = {"received_bytes": 1}

    async def scenario() -> None:
        async with tunnel(tmp_path, lambda: client_document(**state)) as told:
            async with asking(seed_app(CONFIG, Source(told.path), Heard())) as client:
                for number in (1, 2, 3):
                    state["received_bytes"] = number
                    answer = await (await client.get("/status")).json()
                    assert answer["traffic"]["receive_bytes"] == number
                answer = await client.get("/health")
                assert await answer.json() == {"status": "ok", "service": "rustun-client"}
                assert (await client.get("/metrics")).status == 404
                told.path.unlink()
                assert (await client.get("/health")).status == 503
                assert (await client.get("/status")).status == 503

    run(scenario())


def test_a_server_has_no_such_page(tmp_path: Path) -> None:
    """A server's document is shown as a client's, with a traceback."""

    async def scenario() -> None:
        async with tunnel(tmp_path, server_document) as told:
            async with asking(seed_app(CONFIG, Source(told.path), Heard())) as client:
                answer = await client.get("/status")
                assert answer.status == 503
                assert "server" in (await answer.json())["message"]

    run(scenario())
