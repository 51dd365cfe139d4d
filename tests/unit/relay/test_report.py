"""The server's status document against docs/status.md and against what really happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.relay import report
from rustun.relay.report import server_headline, server_status
from tests.simulation.world import World, entry, office

SERVER_KEYS = {
    "as_of", "state", "listen", "members", "online", "pending", "alarms", "routes", "received_bytes",
    "received_packets", "sent_bytes", "sent_packets", "received_bytes_per_s", "sent_bytes_per_s", "drops", "closes",
    "handshakes", "handshakes_waiting", "queued_bytes", "clusters", "sessions", "offline",
}  # fmt: skip
ENTRY_KEYS = {"number", "cluster", "identity", "name", "address", "address6", "ciders", "expires_at", "state"}
SESSION_KEYS = ENTRY_KEYS | {
    "remote", "version", "tier", "cipher", "age_s", "proof_age_s", "rtt_ms", "received_bytes", "received_packets",
    "sent_bytes", "sent_packets", "received_bytes_per_s", "sent_bytes_per_s", "drops", "refused", "lost_to",
    "lost_packets", "queued_bytes", "queued_packets", "offloads", "mtu", "public_key", "server_public_key",
}  # fmt: skip
OFFLINE_KEYS = ENTRY_KEYS | {"last_seen_age_s", "last_error", "last_error_age_s"}


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
    status = world.status()
    assert json.loads(json.dumps(status)) == status
    assert status.keys() == SERVER_KEYS
    sessions = status["sessions"]
    assert [session.keys() for session in sessions] == [SESSION_KEYS] * 2
    assert [member.keys() for member in status["offline"]] == [OFFLINE_KEYS] * 2
    assert (status["members"], status["online"], status["pending"], status["listen"]) == (4, 2, 0, ["192.0.2.1:8080"])


def test_sessions_tell_what_was_carried(world: World) -> None:
    """If this fails, an operator looks for lost packets in the wrong place."""
    first = world.hosts[0]
    packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100))
    first.send(*[packet] * 5, udp_packet("10.0.1.2", "172.16.0.1", (1, 2), b""))
    world.run(1.0)
    sessions = world.status()["sessions"]
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
    offline = world.status()["offline"]
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
    before = world.status()["drops"]
    world.hosts[0].client.stop("the test stops it", lambda: None)
    world.run(1.0)
    after = world.status()
    assert before == after["drops"] == {"offline": 1}
    assert after["closes"] == {"goodbye": 1}


def test_a_refused_file_is_an_alarm(world: World) -> None:
    """If this fails, an operator believes that a change is in force although the file was refused."""
    world.write_routes(b'[{"cluster": 5, "identity": "a"}]')
    world.run(2.0)
    status = world.status()
    routes = status["routes"]
    assert routes["members"] == 4
    assert routes["problems"]
    assert set(routes["not_in_force"]) == {"b", "never", "off"}
    alarms = status["alarms"]
    assert len(alarms) == 1
    assert "was refused" in alarms[0]
    assert alarms[0].endswith(f"; first: {routes['problems'][0]}")


def test_no_secret_is_told(world: World) -> None:
    """If this fails, whoever may read the status learns the key."""
    text = json.dumps(world.status()) + repr(world.server.config)
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


def test_a_dropped_packet_is_shown_with_its_addresses(world: World) -> None:
    """If this fails, an operator reads a count of drops and has to guess which network somebody forgot."""
    neighbours = udp_packet("10.0.1.2", "224.0.0.22", (1, 2), b"")
    foreign = udp_packet("192.168.9.7", "10.0.1.3", (1, 2), b"")
    world.hosts[0].send(foreign, udp_packet("10.0.1.2", "172.16.0.1", (1, 2), b""), neighbours)
    world.run(1.0)
    [session] = world.status(member="a")["sessions"]
    assert session["drops"] == {"bad-source": 1, "no-route": 2}
    assert session["refused"] == {"bad-source": ["192.168.9.7", "10.0.1.3"], "no-route": ["10.0.1.2", "172.16.0.1"]}


def test_one_member_or_cluster_is_told_alone(tmp_path: Path) -> None:
    """If this fails, who asks for one member of thousands is told of all, or of none, or of a namesake's cluster."""
    entries = [entry("a", "10.0.1.2"), entry("b", "10.0.1.3"), entry("c", "10.0.1.4", cluster="shanghai")]
    world = World(tmp_path, entries)
    world.online("a", "c")

    def told(cluster: str, member: str) -> tuple[list[str], list[str]]:
        status = world.status(cluster, member)
        assert (status["members"], status["online"]) == (3, 2), "sums are those of all"
        return [one["identity"] for one in status["sessions"]], [one["identity"] for one in status["offline"]]

    assert told("", "a") == (["a"], [])
    assert told("", "b") == ([], ["b"])
    assert told("beijing", "") == (["a"], ["b"])
    assert told("shanghai", "c") == (["c"], [])
    assert told("beijing", "c") == told("none", "") == told("", "none") == ([], [])


def test_sums_count_who_left(world: World) -> None:
    """If this fails, a graph of the relay's traffic falls whenever somebody goes."""
    packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100))
    world.hosts[0].send(*[packet] * 3)
    world.run(1.0)
    keys = ("received_bytes", "received_packets", "sent_bytes", "sent_packets")
    before = [world.status()[key] for key in keys]
    assert before == [3 * len(packet), 3, 3 * len(packet), 3]
    for host in world.hosts:
        host.client.stop("the test stops it", lambda: None)
    world.run(1.0)
    assert [world.status()[key] for key in keys] == before


def test_rates_are_those_of_the_last_seconds(world: World) -> None:
    """If this fails, a member that sent a gigabyte yesterday looks busy, or one that sends now looks idle."""
    packet = udp_packet("10.0.1.2", "10.0.1.3", (1, 2), bytes(100))
    for _ in range(200):  # ten packets a second
        world.hosts[0].send(packet)
        world.run(0.1)
    status = world.status()
    [session] = [one for one in status["sessions"] if one["identity"] == "a"]
    assert session["received_bytes_per_s"] == pytest.approx(10 * len(packet), rel=0.1)
    assert session["sent_bytes_per_s"] == 0
    assert status["received_bytes_per_s"] == status["sent_bytes_per_s"] == session["received_bytes_per_s"]
    world.run(15.0)
    assert world.status()["received_bytes_per_s"] == 0


def test_handshakes_are_counted_by_tier_and_outcome(tmp_path: Path) -> None:
    """If this fails, nobody sees in a graph that members of one tier cannot come in."""
    world = World(tmp_path, [entry("a", "10.0.1.2"), entry("off", "10.0.1.3", enabled=False)])
    world.online("a")
    world.host("off")
    world.host("a", key="not-the-key-of-this-server-at-all", method="aes256")
    world.run(1.0)
    found = world.status()["handshakes"]
    assert found["shared"]["proved"] == 1
    assert found["shared"]["refused"] == 1
    assert found["shared"]["handshake-failed"] >= 1, "it tries again"


def test_a_document_of_thousands_is_made_in_short_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, no packet moves for milliseconds whenever somebody asks a large relay how it does."""
    monkeypatch.setattr(report, "SUMMED_A_STEP", 4)
    monkeypatch.setattr(report, "LOOKED_AT_A_STEP", 4)
    world = World(tmp_path, office(24))
    world.online(*(f"m{number}" for number in range(20)))
    steps = 0
    for _ in server_status(world.server):
        steps += 1
    assert steps >= 20 // 4 + 24 // 4
