"""The server's status document against docs/status.md and against what really happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.relay.report import server_headline, server_status
from tests.simulation.world import World, entry

SERVER_KEYS = {"listen", "members", "online", "pending", "alarms", "routes", "drops", "closes", "queued_bytes",
               "sessions", "offline"}  # fmt: skip
SESSION_KEYS = {
    "cluster", "identity", "name", "address", "address6", "remote", "state", "tier", "cipher", "age_s", "proof_age_s",
    "rtt_ms", "received_bytes", "received_packets", "sent_bytes", "sent_packets", "drops", "queued_bytes",
    "queued_packets", "offloads", "mtu", "public_key", "server_public_key",
}  # fmt: skip


def whole_status(world: World) -> dict[str, object]:
    """Return the document with its lists made."""
    return {
        key: list(value) if isinstance(value, Iterator) else value for key, value in server_status(world.server).items()
    }


@pytest.fixture
def world(tmp_path: Path) -> World:
    entries = [
        entry("a", "10.0.1.2", name="Anna", private_ip6="fd00::2/64"),
        entry("b", "10.0.1.3"),
        entry("never", "10.0.1.4"),
        entry("off", "10.0.1.5", enabled=False),
    ]
    made = World(tmp_path, entries)
    made.online("a", "b")
    return made


def test_the_document_has_every_key_and_survives_json(world: World) -> None:
    """If this fails, monitoring and `rustun status` stumble over a server that works."""
    status = whole_status(world)
    assert json.loads(json.dumps(status)) == status
    assert status.keys() == SERVER_KEYS
    sessions = status["sessions"]
    assert isinstance(sessions, list)
    assert [session.keys() for session in sessions] == [SESSION_KEYS] * 2
    assert (status["members"], status["online"], status["pending"], status["listen"]) == (4, 2, 0, ["192.0.2.1:8080"])


def test_sessions_tell_what_was_carried(world: World) -> None:
    """If this fails, an operator looks for lost packets in the wrong place."""
    first = world.hosts[0]
    packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100))
    first.send(*[packet] * 5, udp_packet("10.0.1.2", "172.16.0.1", (1, 2), b""))
    world.run(1.0)
    sessions = whole_status(world)["sessions"]
    assert isinstance(sessions, list)
    a, b = sorted(sessions, key=lambda session: session["identity"])
    assert (a["name"], a["address"], a["address6"], a["tier"], a["cipher"]) == (
        "Anna", "10.0.1.2", "fd00::2", "shared", "chacha20",
    )  # fmt: skip
    assert (a["received_packets"], a["received_bytes"], a["sent_packets"]) == (5, 5 * len(packet), 0)
    assert (b["sent_packets"], b["sent_bytes"], b["received_packets"]) == (5, 5 * len(packet), 0)
    assert a["drops"] == {"no-route": 1}
    assert a["remote"].startswith("198.18.0.")
    assert 0 <= a["proof_age_s"] <= a["age_s"]


def test_who_is_not_there_is_told_with_the_reason(world: World) -> None:
    """If this fails, nobody sees that a site is down, or why."""
    world.hosts[0].client.stop("the test stops it", lambda: None)
    world.run(3.0)
    offline = whole_status(world)["offline"]
    assert isinstance(offline, list)
    known = {each["identity"]: (each["last_seen_age_s"], each["last_error"]) for each in offline}
    assert known.keys() == {"a", "never", "off"}
    assert known["never"] == (None, "")
    assert known["off"] == (None, "disabled")
    assert 2.0 < known["a"][0] <= 3.0
    assert known["a"][1] == "goodbye"


def test_counters_outlive_their_session(world: World) -> None:
    """If this fails, the drops of a member that left vanish from the totals."""
    world.hosts[0].send(udp_packet("10.0.1.2", "10.0.1.4", (1, 2), b""))
    world.run(1.0)
    before = whole_status(world)["drops"]
    world.hosts[0].client.stop("the test stops it", lambda: None)
    world.run(1.0)
    after = whole_status(world)
    assert before == after["drops"] == {"offline": 1}
    assert after["closes"] == {"goodbye": 1}


def test_a_refused_file_is_an_alarm(world: World) -> None:
    """If this fails, an operator believes that a change is in force although the file was refused."""
    world.write_routes(b'[{"cluster": 5, "identity": "a"}]')
    world.run(2.0)
    status = whole_status(world)
    routes = status["routes"]
    assert isinstance(routes, dict)
    assert routes["members"] == 4
    assert routes["problems"]
    assert set(routes["not_in_force"]) == {"b", "never", "off"}
    alarms = status["alarms"]
    assert isinstance(alarms, list)
    assert len(alarms) == 1
    assert "was refused" in alarms[0]
    assert alarms[0].endswith(f"; first: {routes['problems'][0]}")


def test_no_secret_is_told(world: World) -> None:
    """If this fails, whoever may read the status learns the key."""
    text = json.dumps(whole_status(world)) + repr(world.server.config)
    assert "marked-secret" not in text
    shared = world.core.policy.shared
    assert shared is not None
    assert shared.psk.hex() not in text


def test_the_line_for_the_service_manager(world: World) -> None:
    """If this fails, `systemctl status` does not tell who is there, or that something is wrong."""
    assert server_headline(world.server) == "2 of 4 members online"
    world.routes_file.write_text("[")
    world.server.reload()
    world.run(1.0)
    first, alarm = server_headline(world.server).split("; ", 1)
    assert first == "2 of 4 members online"
    assert alarm.startswith(f"{world.routes_file} was refused")
