"""What objects of the program say of themselves: a log, a traceback or a debugger shows no key."""

from __future__ import annotations

import gc
import json
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256

import pytest

from rustun.config.client import ClientConfig, load_client_config
from rustun.config.keys import PrivateKey, Secret
from rustun.config.member import Member
from rustun.config.server import ServerConfig
from rustun.protocol.codec import RecordCodec
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.suites import Credentials
from rustun.protocol.tiers import Tier
from rustun.relay.policy import Policy
from tests.secrets_shown import shown
from tests.simulation.conftest import MakeWorld
from tests.simulation.stretched import stretched
from tests.simulation.world import KEY, World, entry, keyed, office, private_key

PSK = sha256(b"a member's own").digest()
EXPECTED = (ClientConfig, Credentials, Member, Policy, PrivateKey, RecordCodec, Secret, ServerConfig)


def objects() -> Iterator[object]:
    """Yield every living object of the program's own classes."""
    gc.collect()
    return (one for one in gc.get_objects() if type(one).__module__.startswith("rustun."))


def everything_said(world: World) -> str:
    """Return all that logs and status documents hold."""
    documents = [json.dumps(world.status())]
    events = [str(event) for event in world.log.events]
    for host in world.hosts:
        documents.append(json.dumps(host.status()))
        events += [str(event) for event in host.log.events]
    return "\n".join(documents + events)


def test_no_object_shows_a_key(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key stands in a repr, from where it goes into logs, tracebacks and reports of defects; or in log or status."""
    entries = keyed([*office(2), entry("s0", "10.0.1.9", tier="shared")])
    world = make_world(entries, tier=Tier.KEY)
    (psk := world.folder / "m1.psk").touch(0o600)
    psk.write_text(b64encode(PSK).decode() + "\n")
    world.write_routes([{**one, "psk_file": psk.name} if one["identity"] == "m1" else one for one in entries])
    world.run(2.0)
    ephemerals: list[bytes] = []
    random_bytes = world.random_bytes

    def recorded(size: int) -> bytes:
        ephemerals.append(random_bytes(size))
        return ephemerals[-1]

    monkeypatch.setattr(world, "random_bytes", recorded)
    monkeypatch.setattr(world.core, "random_bytes", recorded)
    world.client_config("m1")
    path = world.folder / "client-m1.toml"
    path.write_text(path.read_text() + f'psk_file = "{psk.name}"\n')
    world.host_of(load_client_config(path))
    world.host("m0")
    world.run_until_online("m0", "m1")
    world.host("s0", method="chacha20poly1305")
    world.host("m0", method="chacha20poly1305", key="another-wrong-key-of-32-bytes-xx")
    world.run_until_online("s0")
    world.run(150.0)  # a rekey
    secrets = [private_key(name).private_bytes_raw() for name in ("server", "m0", "m1")]
    secrets += [KEY.encode(), stretched(KEY), PSK, b"another-wrong-key-of-32-bytes-xx"]
    secrets += [secret for secret in ephemerals if len(secret) == 32]
    seen = list(objects())
    kinds = {type(one) for one in seen}
    assert kinds.issuperset(EXPECTED), set(EXPECTED) - kinds
    assert len(secrets) >= 7 + 8  # three handshakes and the rekeys, both sides
    for one in (*seen, SessionKeys(PSK, PSK, PSK)):  # the keys of a session live for a moment
        assert not shown(f"{one!r}{one}", secrets), type(one)
    assert not shown(everything_said(world), secrets)
