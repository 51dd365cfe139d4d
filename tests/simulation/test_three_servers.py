"""Three servers of one member: what changes at one of them while packets flow by the other two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netlab.worlds.ip_packets import udp_packet
from rustun.config import load_server_config
from rustun.config.client import load_client_config
from rustun.protocol.tiers import Tier
from rustun.relay.server import RelayServer
from tests.simulation.conftest import MakeWorld
from tests.simulation.world import SERVER, Host, World, office, public_text

KEYS = {SERVER.host: "server", "192.0.2.2": "second", "192.0.2.3": "third"}  # address -> name of its key
PACKETS = 2000


@contextmanager
def others_run(world: World) -> Iterator[None]:
    """Run the other two servers, with the members of the world's."""
    servers = []
    for address in list(KEYS)[1:]:
        path = world.folder / f"server-{address}.toml"
        path.write_text(
            f'[server_config]\nlisten_addr = "{address}:8080"\n[route_config]\nroutes_file = "routes.json"\n'
            f'[security_config]\nprivate_key_file = "{world.key_file(KEYS[address]).name}"\n'
            f'known_keys_file = "known-keys-{address}.json"\n'
        )
        servers.append(
            RelayServer(
                load_server_config(path), world.reactor, world.network.host(address), world.random_bytes, world.log,
                aes_is_fast=True,
            )
        )  # fmt: skip
        servers[-1].start()
    yield
    for host in world.hosts:
        host.client.stop("the test is over", lambda: None)
    for server in servers:
        server.stop("the test is over", lambda: None)
    world.run(1.0)


def member(world: World, identity: str) -> Host:
    """Start a client that lists all of them, and that reads its file again when it is asked to."""
    path = world.folder / f"client-{identity}.toml"
    servers = [f'{{ address = "{address}:8080", public_key = "{public_text(key)}" }}' for address, key in KEYS.items()]
    path.write_text(
        f'identity = "{identity}"\nservers = [{", ".join(servers)}]\n'
        f'[security_config]\nprivate_key_file = "{world.key_file(identity).name}"\n'
    )
    host = world.host_of(load_client_config(path))
    host.client.settings.read = lambda: load_client_config(path)
    return host


@pytest.mark.parametrize("what", ["reload", "a server comes back"])
def test_sessions_change_while_packets_flow_on_several(make_world: MakeWorld, what: str) -> None:
    """If this fails, a reload, or the return of a server, is a fault of the client's own where it has two others."""
    world = make_world(office(2), tier=Tier.KEY)
    with others_run(world):
        first, second = (member(world, identity) for identity in ("m0", "m1"))
        world.run(5.0)
        assert [link.state for link in first.client.links] == ["online"] * 3
        world.faults.latency_s = 0.05
        if what == "a server comes back":
            world.stop_server()
            world.run(1.0)
            world.start_server()
        sent = [udp_packet("10.0.1.1", "10.0.1.2", (1, 2), number.to_bytes(4, "big")) for number in range(PACKETS)]
        for number, packet in enumerate(sent):
            if what == "reload" and number == PACKETS // 4:
                first.client.reload()
            first.send(packet)
            world.run(0.01)
        world.run(1.0)
        assert second.packets == sent
    assert not first.log.texts("internal-error")
