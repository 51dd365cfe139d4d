"""Who may join on what tier, what a refusal does, and how a client comes back."""

from __future__ import annotations

from typing import Any

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.client.backoff import FIRST_SECONDS, GROWTH, LAST_SECONDS
from rustun.errors import RefusedError
from rustun.protocol.handshake import Refusal, Welcome
from rustun.protocol.records import Cipher
from rustun.relay import server as relay_server
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, NoiseServer, RawPeer, hello
from tests.simulation.seed_peer import SeedClient, SeedServer
from tests.simulation.world import KEY, SERVER, Host, World, entry, office

PUBLIC_KEY = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
POLICY = [
    # minimum_tier, what the entry says, shared may, legacy may
    ("shared", {}, True, False),
    ("shared", {"tier": "shared"}, True, False),
    ("shared", {"tier": "legacy"}, True, True),
    ("shared", {"public_key": PUBLIC_KEY}, False, False),
    ("legacy", {}, True, True),
    ("legacy", {"tier": "shared"}, True, False),
    ("legacy", {"tier": "legacy"}, True, True),
    ("legacy", {"public_key": PUBLIC_KEY}, False, False),
]


@pytest.mark.parametrize(("minimum", "says", "shared_may", "legacy_may"), POLICY)
def test_the_tier_that_a_member_has_to_use(
    make_world: MakeWorld, minimum: str, says: dict[str, Any], shared_may: bool, legacy_may: bool
) -> None:
    """If this fails, somebody joins with less proof than configuration asks for, or with as much is refused."""
    world = make_world([entry("m0", "10.0.1.1", **says)], security={"minimum_tier": minimum})
    peer = NoisePeer(world, "m0", connected=False)
    answer = peer.shake_hands()
    assert isinstance(answer, Welcome) == shared_may
    if isinstance(answer, Refusal):
        assert answer.code == "tier"
        assert "key tier" in answer.reason
    peer.close()
    seed = SeedClient(world, "m0", world.method, KEY)
    assert (seed.shake_hands() is not None) == legacy_may
    assert seed.ended == (not legacy_may)


@pytest.mark.parametrize("method", ["xor", "plain"])
def test_testing_modes_are_the_seeds_wire_and_nothing_else(make_world: MakeWorld, method: str) -> None:
    """If this fails, a key of a testing mode opens the shared tier, or an entry with a key joins without it."""
    world = make_world([*office(1), entry("keyed", "10.0.9.9", public_key=PUBLIC_KEY)], method=method)
    peer = NoisePeer(world, "m0", connected=False)
    peer.send(peer.initiator.first_frame)
    assert (peer.ended, bytes(peer.received)) == ("reset", b"")
    assert SeedClient(world, "m0", method, KEY).shake_hands() is not None
    assert SeedClient(world, "keyed", method, KEY).shake_hands() is None


def refusals() -> dict[str, tuple[list[dict[str, Any]], str]]:
    return {
        "unknown-identity": ([entry("somebody", "10.0.1.9")], "chacha20poly1305"),
        "disabled": ([entry("m0", "10.0.1.1", enabled=False)], "chacha20poly1305"),
        "tier": ([entry("m0", "10.0.1.1", public_key=PUBLIC_KEY)], "chacha20poly1305"),
        "expired": ([entry("m0", "10.0.1.1", expires_at="2020-01-01")], "chacha20poly1305"),
        "method": ([entry("m0", "10.0.1.1")], "aes256"),
    }


@pytest.mark.parametrize("code", refusals())
def test_a_sealed_refusal_ends_a_client_that_never_was_online(make_world: MakeWorld, code: str) -> None:
    """If this fails, a mistyped identity is retried for ever, or somebody is told nothing."""
    entries, server_method = refusals()[code]
    world = make_world(entries, method=server_method)
    host = world.host("m0", method="chacha20poly1305")
    world.run()
    (error,) = host.failures
    assert isinstance(error, RefusedError)
    assert (error.code, error.exit_code) == (code, 69)
    assert str(SERVER) in error.message and error.remedy
    assert host.client.state == "refused"
    assert len(world.log.texts("refused")) == 1
    world.run(300.0)
    assert world.core.closes == {"refused": 1}, "no further try"


@pytest.mark.parametrize("retry_refused", [False, True])
def test_a_refusal_later_is_retried_each_minute(make_world: MakeWorld, retry_refused: bool) -> None:
    """If this fails, a service stops for good because of a slip in routes.json."""
    world = make_world(office(1))
    if retry_refused:
        world.write_routes([entry("m0", "10.0.1.1", enabled=False)])
        world.run(1.0)
    host = world.host("m0")
    host.client.retry_refused = retry_refused
    world.run(1.0)
    world.write_routes([entry("m0", "10.0.1.1", enabled=False)])
    world.run(3.0)
    assert host.failures == []
    assert host.client.state == "refused"
    assert "disabled" in str(host.status()["last_error"])
    refused = world.core.closes["refused"]
    world.run(180.0)
    assert world.core.closes["refused"] == refused + 3
    world.write_routes(office(1))
    world.run_until_online("m0", limit_s=61.0)


def test_a_wrong_key_is_never_terminal(make_world: MakeWorld) -> None:
    """If this fails, whoever answers at the server's address can end a client."""
    world = make_world(office(1))
    host = world.host("m0", key="another key of 32 characters....")
    world.run(60.0)
    assert host.failures == []
    assert host.client.last_error.endswith("closed without a word: wrong key, wrong server key, tier or limit?")
    assert world.log.texts("refused") == []


@pytest.mark.parametrize("garbage", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(2000)])
@pytest.mark.parametrize("legacy", [False, True])
def test_whatever_a_foreign_server_answers_is_retried(make_world: MakeWorld, garbage: bytes, legacy: bool) -> None:
    """If this fails, a captive portal or a wrong port ends a client, or it falls back to a weaker tier."""
    world = make_world(office(1), security={"minimum_tier": "legacy"})
    world.stop_server()
    server = SeedServer(world, world.method, KEY)
    host = world.host("m0", legacy=legacy)
    world.reactor.unwatch(server.listener)
    seen = bytearray()
    for _ in range(5):
        world.reactor.run_until_true(server.listener.readable, 40.0)
        stream = server.listener.accept()
        assert stream is not None
        world.run(0.01)
        buffer = bytearray(4096)
        length = stream.receive_into(memoryview(buffer)) or 0
        seen.append(buffer[5])
        assert length > 8
        stream.send(garbage)
        stream.close()
        world.run(0.01)
        assert host.client.state == "waiting"
    assert set(seen) == {0x01 if legacy else 0x12}, "no other tier is ever tried"
    assert host.failures == []
    server.close()


def tries(host: Host) -> list[float]:
    """Return the waits that a client announced."""
    return [float(text.rsplit("again in ", 1)[1].split()[0]) for text in host.log.texts("not-connected")]


def test_waits_grow_with_jitter_and_stay_bounded(make_world: MakeWorld) -> None:
    """If this fails, a fleet hammers a server that comes back, or waits far too long."""
    world = make_world(office(5))
    world.stop_server()
    hosts = [world.host(f"m{number}") for number in range(5)]
    world.run(400.0)
    for host in hosts:
        waits = tries(host)
        ceilings = [min(LAST_SECONDS, FIRST_SECONDS * GROWTH**number) for number in range(len(waits))]
        assert len(waits) > 10
        assert all(at / 2 - 0.1 <= wait <= at + 0.1 for wait, at in zip(waits, ceilings, strict=True))
    assert len({tuple(tries(host)) for host in hosts}) == 5, "each has its own jitter"
    world.start_server()
    began = world.reactor.now()
    world.run_until_online(*(host.identity for host in hosts), limit_s=LAST_SECONDS + 1.0)
    assert world.reactor.now() > began
    world.run(6.0)
    world.stop_server()
    world.run(0.1)
    assert all(tries(host)[-1] <= 1.0 for host in hosts), "a session that was up begins anew"


def test_row_29_a_server_that_stops_says_goodbye(make_world: MakeWorld) -> None:
    """Row 29. If this fails, a restart costs every client its silence limit, or all return in one moment."""
    world = make_world(office(20))
    hosts = world.online(*(f"m{number}" for number in range(20)))
    world.stop_server()
    world.run(0.05)
    assert all("goodbye" in host.log.texts("not-connected")[0] for host in hosts)
    assert len({tries(host)[0] for host in hosts}) > 3, "spread over the window that the server named"
    world.start_server()
    world.run_until_online(*(host.identity for host in hosts), limit_s=5.0)
    hosts[0].send(udp_packet("10.0.1.1", "10.0.1.2", (1, 2), b"after the restart"))
    world.run()
    assert len(hosts[1].packets) == 1


@pytest.mark.parametrize(("per_member_s", "window_s"), [(relay_server.GOODBYE_SECONDS_PER_MEMBER, 0.5), (0.2, 4.0)])
def test_row_29_a_goodbye_gives_each_member_its_time(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, per_member_s: float, window_s: float
) -> None:
    """Row 29. If this fails, 5,000 members that are to return over five seconds return in half of one."""
    assert relay_server.GOODBYE_SECONDS_PER_MEMBER == 0.001
    monkeypatch.setattr(relay_server, "GOODBYE_SECONDS_PER_MEMBER", per_member_s)
    world = make_world(office(20))
    hosts = world.online(*(f"m{number}" for number in range(20)))
    world.stop_server()
    world.run(0.05)
    waits = sorted(tries(host)[0] for host in hosts)
    assert window_s / 2 < waits[-1] <= window_s, waits
    assert waits[0] < window_s / 2, waits


def test_an_unknown_cipher_of_the_client_is_a_sealed_refusal(make_world: MakeWorld) -> None:
    """If this fails, a client with the other method learns nothing of the reason."""
    world = make_world(office(1))
    answer = NoisePeer(world, hello("m0", ciphers=(Cipher.AES256,)), connected=False).shake_hands()
    assert answer == Refusal("method", "this server is set to chacha20")
    assert isinstance(NoisePeer(world, hello("m0", ciphers=()), connected=False).shake_hands(), Refusal)


def test_the_client_host_loses_everything_at_the_end(make_world: MakeWorld) -> None:
    """If this fails, routes and addresses stay on a host whose client was stopped."""
    world: World = make_world(office(2))
    host, _ = world.online("m0", "m1")
    assert host.status()["addresses"]
    host.client.stop("stop", lambda: None)
    world.run()
    assert host.host_network.state is None
    assert host.tun.fileno() == -1
    assert world.present == {"m1"}
    assert world.core.closes == {"goodbye": 1}
    RawPeer(world).close()


def test_a_server_that_takes_and_drops_at_once_is_not_hammered(make_world: MakeWorld) -> None:
    """If this fails, a client whose session breaks at once tries again twice a second, for ever."""
    world = make_world(office(1))
    world.stop_server()
    host = world.host("m0")
    for _ in range(12):
        server = NoiseServer(world)
        world.reactor.run_until_true(lambda one=server: one.got_first_frame, 60.0)  # type: ignore[misc]
        server.welcome()
        server.close()
        world.run()
    assert tries(host)[-1] > 5.0, tries(host)


def test_silence_is_over_when_its_deadline_is_due(make_world: MakeWorld) -> None:
    """If this fails, a silent server can make a client look at the clock over and over, which takes a whole core."""
    world = make_world(office(1))
    (host,) = world.online("m0")
    world.reactor.run_until(104.0)
    world.faults.cut.add(host.network.address)
    session = host.client.session
    assert session is not None
    session.heard_at = 104.1327182491906  # 50 s later, as a float, is less than 50 s later
    assert session.heard_at + 50.0 - session.heard_at < 50.0
    world.run(60.0)
    assert host.client.reconnects == 1
