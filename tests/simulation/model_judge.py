"""Judges what a fleet's world did against its reference.

Rules of this module
  1. Safety is judged after every step: each packet that came out, each session, each use of a key.
  2. Liveness is judged only once things are quiet: no fault, one host for each identity.
  3. What is judged is what anybody can see from outside: packets at devices, who is connected from where, what clients
     know of their cluster.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Final

from rustun.protocol.suites import public_key
from rustun.protocol.tiers import Tier
from rustun.relay.noise_session import NoiseSession
from rustun.relay.seed_session import SeedSession
from tests.simulation.model_fleet import Fleet, Packet, Site
from tests.simulation.model_keys import KeyWitness
from tests.simulation.model_reference import EVERYWHERE, Credentials, Party, contains
from tests.simulation.model_setting import AGES, KEYS

NETWORK: Final = "10.0.0.0/24"
SILENCE_S: Final = 51.0  # a frame that is missing shows when the next one comes; cut short, only by silence
BACK_S: Final = 130.0  # a silent death is noticed after 50 s, the longest wait is 60 s, a try takes 20 s
NEWS_S: Final = 12.0  # on the seed's wire news come with the answer to the next keepalive, every 10 s
ARRIVAL_S: Final = 0.5
REST_S: Final = 300.0  # two rekeys
REST_STEPS: Final = 15


def judge(fleet: Fleet, witness: KeyWitness) -> None:
    """Look for what must never be. Raises: AssertionError."""
    _judge_deliveries(fleet)
    _judge_sessions(fleet)
    assert not witness.violations, witness.violations
    core = fleet.world.core
    assert core.queued_bytes == sum(session.queue.bytes for session in core.sessions)


def _judge_deliveries(fleet: Fleet) -> None:
    for site in fleet.sites:
        for tun in site.host.host_network.tuns:
            for _, data in tun.received:
                _judge_delivery(fleet, site, data)
            tun.received.clear()


def _judge_delivery(fleet: Fleet, site: Site, data: bytes) -> None:
    packet = fleet.packets.get(data)
    assert packet is not None, f"nobody sent what came out at {site.identity}: {data.hex()}"
    what = f"{packet.sender.identity}'s packet from {packet.source} to {packet.destination}"
    assert not packet.arrived, f"{what} came out at {site.identity}, and not for the first time"
    packet.arrived = True
    fleet.coverage.add("packets delivered")
    addresses = (packet.source, packet.destination)
    allowed = fleet.reference.may_arrive(packet.sender, site.party, addresses, packet.since, fleet.now)
    assert allowed, f"{what}, sent at {packet.since:.3f}, came out at {site.identity} by {fleet.now:.3f}"


def _judge_sessions(fleet: Fleet) -> None:
    by_address = {site.address: site for site in fleet.sites}
    seen: set[str] = set()
    for session in fleet.world.core.sessions:
        if not session.confirmed:
            continue
        identity, address = session.identity, session.stream.remote.host
        assert identity not in seen, f"two sessions of {identity} get packets"
        seen.add(identity)
        if session.tier is Tier.KEY:
            assert session.began_at >= fleet.began.get(identity, 0.0), f"an older session of {identity} took the place"
            fleet.began[identity] = session.began_at
        stranger = next((one for one in fleet.strangers if one.address == address), None)
        assert stranger is None, f"a stranger has {identity}'s place"
        site = by_address.get(address)
        if site is not None:  # else it was stopped a moment ago, or its power was cut
            assert site.identity == identity, f"{site.identity}'s host has {identity}'s place"
            assert fleet.reference.may_be_online(site.party, fleet.now), f"{identity} has no business to be online"
            assert session.tier is Tier(site.hand.tier), f"{identity} is in by another tier"
            _judge_keys(fleet, session)


def _judge_keys(fleet: Fleet, session: NoiseSession | SeedSession) -> None:
    """A session stands on two keys that are in force, whatever others its member may have."""
    if session.tier is Tier.KEY and isinstance(session, NoiseSession):
        own, of_server = session.credentials.remote_static, session.credentials.static
        assert own is not None and of_server is not None
        made_with = Credentials("key", (b64encode(own).decode(),), (b64encode(public_key(of_server)).decode(),))
        allowed = fleet.reference.may_be_online(Party(session.identity, made_with), fleet.now)
        assert allowed, f"{session.identity} is online with a key that is not in force"


def calm(fleet: Fleet, witness: KeyWitness) -> None:
    """End all faults, wait, and look for what has to be then. Raises: AssertionError."""
    _end_faults(fleet)
    fleet.run(_hidden_damage_s(fleet))
    judge(fleet, witness)
    began = fleet.world.reactor.now()
    _wait(fleet, lambda: _missing(fleet), BACK_S)
    fleet.coverage.note("longest return, s", fleet.world.reactor.now() - began)
    _wait(fleet, lambda: _ignorant(fleet), NEWS_S)
    judge(fleet, witness)
    expected = [(packet, _has_to_arrive(fleet, packet)) for packet in fleet.everybody_to_everybody()]
    fleet.run(ARRIVAL_S)
    judge(fleet, witness)
    wrong = [
        packet
        for packet, arrives in expected
        if packet.arrived != arrives and arrives == _has_to_arrive(fleet, packet)  # nobody's time was up meanwhile
    ]
    assert not wrong, f"{len(wrong)} packets did not do as the reference says, the first: {wrong[0]}"
    fleet.coverage.add("calms")


def rest(fleet: Fleet, witness: KeyWitness) -> None:
    """Let some minutes and two rekeys pass while nothing happens: nobody comes or goes, and no packet is lost."""
    before = {site.identity: site.host.client.reconnects for site in fleet.sites}
    sent = []
    for _ in range(REST_STEPS):
        sent += fleet.background()
        fleet.run(REST_S / REST_STEPS)
        judge(fleet, witness)
    lost = [packet for packet in sent if _has_to_arrive(fleet, packet) and not packet.arrived]
    assert not lost, f"{len(lost)} packets were lost while nothing happened, the first: {lost[0]}"
    for site in fleet.sites:
        if fleet.reference.newest.admits(Party(site.identity, site.hand), fleet.now):
            reconnects = site.host.client.reconnects - before[site.identity]  # exchanging keys at last is none
            assert not reconnects, f"{site.identity} lost its session while nothing happened"


def _end_faults(fleet: Fleet) -> None:
    fleet.set_weather("calm")
    for stranger in fleet.strangers:
        stranger.leave()
    fleet.strangers.clear()
    newest = {site.identity: site for site in fleet.sites}
    admits = fleet.reference.newest.admits
    for site in list(fleet.sites):
        if site.path is not None:
            site.path.tampering.clear()
        fleet.mend(site)
        if newest[site.identity] is not site:
            fleet.stop(site, crash=False)
        elif admits(site.party, fleet.now) and not admits(Party(site.identity, site.hand), fleet.now):
            _finish_rotation(fleet, site)


def _hidden_damage_s(fleet: Fleet) -> float:
    """Return how long it takes until everybody knows of the damage that was done to it."""
    paths = [site.path for site in fleet.sites if site.path is not None and site.path.is_damaged]
    for path in paths:
        path.is_damaged = False
    return SILENCE_S if paths else 1.5  # for the last edit, and for those who leave


def _finish_rotation(fleet: Fleet, site: Site) -> None:
    """Give a host keys that serve: it has got others too early, and nobody can tell how long its session lasts."""
    newest = fleet.reference.newest
    keys = newest.members[site.identity].keys if site.identity in newest.members else ()
    ages = next((ages for ages in AGES if KEYS[site.identity, ages] == keys), AGES[0])
    fleet.give_keys(site, ages, next(ages for ages in AGES if KEYS["server", ages] == newest.server_keys))


def _wait(fleet: Fleet, lacking: Callable[[], list[str]], limit_s: float) -> None:
    began = fleet.world.reactor.now()
    try:
        fleet.world.reactor.run_until_true(lambda: not lacking(), limit_s)
    except TimeoutError:
        raise AssertionError(f"after {limit_s:g} s: {'; '.join(lacking())}") from None
    finally:
        fleet.coverage.add("simulated hours", (fleet.world.reactor.now() - began) / 3600)


def _missing(fleet: Fleet) -> list[str]:
    """Return who is not online and should be, or the other way round."""
    places = {
        session.identity: session.stream.remote.host for session in fleet.world.core.sessions if session.confirmed
    }
    there = {site.identity for site in fleet.sites}
    lacking = [f"{identity} is gone, and its session is not" for identity in places if identity not in there]
    for site in fleet.sites:
        client = site.host.client
        wanted = fleet.reference.newest.admits(Party(site.identity, site.hand), fleet.now)
        online = client.state == "online" and places.get(site.identity) == site.address
        if online != wanted:
            lacking.append(f"{site.identity} is {client.state} ({client.last_error}), wanted online: {wanted}")
    return lacking


def _ignorant(fleet: Fleet) -> list[str]:
    """Return whose client knows something else of its cluster than the reference."""
    newest = fleet.reference.newest
    online = {site.identity for site in fleet.sites if newest.admits(site.party, fleet.now)}
    lacking = []
    for site in fleet.sites:
        if site.identity not in online:
            continue
        cluster = newest.members[site.identity].cluster
        truth = {
            identity: (member.address, member.prefixes, identity in online)
            for identity, member in newest.members.items()
            if member.cluster == cluster and member.enabled and identity != site.identity
        }
        entries = site.host.client.peers.entries
        known = {identity: (entry.address, entry.prefixes, entry.online) for identity, entry in entries.items()}
        if known != truth:
            lacking.append(f"{site.identity} knows {known}, and not {truth}")
    return lacking


def _has_to_arrive(fleet: Fleet, packet: Packet) -> bool:
    newest = fleet.reference.newest
    if not newest.admits(packet.sender, fleet.now):
        return False
    receiver = newest.receiver(packet.sender.identity, packet.source, packet.destination)
    site = next((site for site in fleet.sites if site.identity == receiver), None)
    if site is None or not newest.admits(site.party, fleet.now):
        return False
    own = newest.members[packet.sender.identity].claims
    return any(contains(prefix, packet.source) for prefix in (NETWORK, *own) if prefix != EVERYWHERE)
