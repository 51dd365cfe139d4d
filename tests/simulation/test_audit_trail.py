"""What the audit log would have of the life of a relay: who came in, who did not, and who changed what."""

from __future__ import annotations

from typing import Any

from netlab.worlds.ip_packets import udp_packet
from rustun.events import is_audited
from rustun.protocol.handshake import Refusal
from rustun.protocol.tiers import Tier
from tests.simulation.conftest import MakeWorld
from tests.simulation.peers import NoisePeer, credentials, hello
from tests.simulation.seed_peer import SeedClient
from tests.simulation.world import KEY, World, entry, keyed, office

LEGACY = {"minimum_tier": "legacy"}
PACKETS = 300


class Trail:
    """What a world's log would write into the audit log, from its beginning."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = 0

    def new(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what came since the last time."""
        events = self._world.log.events[self._seen :]
        self._seen += len(events)
        return [(name, fields) for _, name, _, fields in events if is_audited(name)]


def told(fields: dict[str, Any], *names: str) -> tuple[object, ...]:
    return tuple(str(fields[name]) for name in names)


def test_who_came_and_went(make_world: MakeWorld) -> None:
    """If this fails, nobody can tell later who was there, from where, for how long, or how much was sent."""
    world = make_world(office(1), tier=Tier.KEY)
    trail = Trail(world)
    (host,) = world.online("m0")
    [(loaded, _), (up, fields)] = trail.new()
    assert (loaded, up) == ("routes-loaded", "session-up")
    assert told(fields, "cluster", "identity", "tier") == ("beijing", "m0", "key")
    assert str(fields["remote"]).startswith("198.18.0.")
    host.client.stop("the test", lambda: None)
    world.run(1.0)
    [(closed, fields)] = trail.new()
    assert closed == "session-closed"
    assert told(fields, "cluster", "identity", "reason") == ("beijing", "m0", "goodbye")
    assert fields["age_s"] >= 2.0
    assert (fields["received_bytes"], fields["sent_bytes"]) == (0, 0)


def test_packets_are_not_told(make_world: MakeWorld) -> None:
    """If this fails, whoever sends fills a disk: what passes and what is dropped is counted, and stands in no log."""
    world = make_world(office(2), tier=Tier.KEY)
    sender, receiver = world.online("m0", "m1")
    logs = (world.log, sender.log, receiver.log)
    before = [len(log.events) for log in logs]
    addresses = [entry["private_ip"] for entry in office(2)]
    for number in range(PACKETS):
        for source, destination in (addresses, (addresses[0], "10.9.9.9"), ("10.8.8.8", addresses[1])):
            sender.send(udp_packet(source, destination, (1, 2), number.to_bytes(2)))
        world.run(0.01)
    world.run()
    assert len(receiver.packets) == PACKETS
    assert sum(world.status()["drops"].values()) + sum(sender.drops.values()) >= 2 * PACKETS
    assert [len(log.events) for log in logs] == before


def test_what_was_changed_and_whom_it_ended(make_world: MakeWorld) -> None:
    """If this fails, nobody can tell later when somebody lost his access, and by which edit."""
    world = make_world(office(3), tier=Tier.KEY)
    trail = Trail(world)
    world.online("m0", "m1", "m2")
    trail.new()
    first, second, _ = keyed(office(3))
    changed = [{**first, "ciders": ["192.168.7.0/24"]}, {**second, "enabled": False}]
    world.write_routes([*changed, entry("new", "10.0.9.9")])
    world.run(1.0)
    found = trail.new()
    name, fields = found[0]
    assert name == "routes-loaded"
    assert (fields["members"], fields["added"], fields["removed"]) == (3, ("new",), ("m2",))
    assert fields["changed"] == {"m0": ("ciders",), "m1": ("enabled",)}
    assert fields["unnamed"] is None
    ended = [(name, *told(fields, "identity", "reason")) for name, fields in found if name.startswith("session-")]
    assert sorted(ended) == [
        ("session-closed", "m1", "disabled"), ("session-closed", "m2", "removed"),
        ("session-revoked", "m1", "disabled"), ("session-revoked", "m2", "removed"),
    ]  # fmt: skip


def test_a_file_that_was_refused(make_world: MakeWorld) -> None:
    """If this fails, a removal that is not in force stands nowhere."""
    world = make_world(office(2))
    trail = Trail(world)
    trail.new()
    world.write_routes([{**office(1)[0], "mask": "x"}, {**office(1)[0], "identity": ""}])
    world.run(1.0)
    [(name, fields)] = trail.new()
    assert name == "routes-refused"
    assert (fields["problems"], fields["not_in_force"]) == (len(world.server.roster.problems), ("m1",))


def test_keys_of_the_server_by_name_and_never_by_value(make_world: MakeWorld) -> None:
    """If this fails, an exchange of the server's key leaves no trace, or the key itself stands in the file."""
    world = make_world(office(1), tier=Tier.KEY)
    trail = Trail(world)
    trail.new()
    world.write_config({"cipher": "aes256"}, server_ages=("", "next"))
    world.server.reload()
    world.run(1.0)
    changed = [fields["changed"] for name, fields in trail.new() if name == "config-loaded"]
    assert changed == [["private_key_file", "cipher"]]


def test_who_was_refused(make_world: MakeWorld) -> None:
    """If this fails, an attack on one member's access leaves no trace, or one by which nobody is found."""
    world = make_world(office(2), tier=Tier.KEY)
    trail = Trail(world)
    trail.new()
    answer = NoisePeer(world, hello("nobody"), credentials(world, "m1"), connected=False).shake_hands()
    assert isinstance(answer, Refusal)
    [(name, fields)] = trail.new()
    assert (name, *told(fields, "identity", "code")) == ("refused", "nobody", "unknown-identity")
    assert str(fields["remote"]).startswith("198.18.0.")


def test_a_place_that_was_taken(make_world: MakeWorld) -> None:
    """If this fails, a stolen key is used, and nobody sees from where it was."""
    world = make_world(office(1), security=LEGACY)
    trail = Trail(world)
    for _ in range(2):
        SeedClient(world, "m0", world.method, KEY).shake_hands()
        world.run(1.0)
    found = dict(trail.new())
    assert told(found["session-closed"], "identity", "reason") == ("m0", "superseded")
    assert told(found["takeover"], "cluster", "identity") == ("beijing", "m0")
    assert found["takeover"]["remote"] == found["session-up"]["remote"] != found["takeover"]["former_remote"]


def test_who_proves_nothing_came_never_in(make_world: MakeWorld) -> None:
    """If this fails, whoever repeats a recorded message stands in the audit log as a member who was there."""
    world = make_world(office(1), tier=Tier.KEY)
    trail = Trail(world)
    trail.new()
    peer = NoisePeer(world, hello("m0"), connected=False)
    peer.shake_hands()
    world.run(10.0)
    [(name, fields)] = trail.new()
    assert (name, *told(fields, "identity", "reason")) == ("session-unproved", "m0", "handshake-timeout")
