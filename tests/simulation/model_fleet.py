"""A world with its reference beside it: every packet is known by its bytes, every edit by its time.

Rules of this module
  1. Whatever is done here is done to both: to the world as its users and its faults would do it, to the reference in
     one line. What came of it is judged elsewhere (model_judge.py).
  2. Two clusters have the same private addresses and the same LANs. Members move between them.
  3. A packet is handed to a device whether or not its host has a session, and whatever source it claims.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from netlab.worlds.ip_packets import ip_packet
from rustun.backends.base import Endpoint
from rustun.backends.memory.network import Faults
from rustun.backends.memory.reactor import EPOCH_S
from rustun.config.addresses import parse_endpoint
from rustun.config.client import ClientConfig, ServerAddress
from rustun.config.consent import HostConsent
from rustun.config.keys import parse_public_key
from tests.simulation.model_coverage import Coverage
from tests.simulation.model_path import TAMPERINGS, Path, Recording, Stranger
from tests.simulation.model_reference import GRACE_S, Credentials, Members, Party, Reference, Version, is_legal
from tests.simulation.model_setting import ADDRESSES, AGES, KEYS, MEMBERS, WEATHERS
from tests.simulation.world import SERVER, Host, World

EXPERIMENT: Final = 253  # an IP protocol for experiments, RFC 3692
NUMBER_BYTES: Final = 8
MAX_RECORDINGS: Final = 12
MAX_STRANGERS: Final = 6
CONSENT: Final = HostConsent(offer_exit=True, as_told=True)  # who is said to offer something wants to, on every tier


@dataclass
class Packet:
    """A packet that was handed to a host's device.

    Attributes:
        since: from when the server may have seen it, seconds awake.
        is_somebodys: whether it had a receiver when it was sent.
        arrived: whether it came out anywhere.
    """

    data: bytes
    sender: Party
    source: str
    destination: str
    since: float
    is_somebodys: bool
    arrived: bool = False


@dataclass
class Site:
    """A host with its client, and what lies between it and the server.

    Attributes:
        party: with all the keys that the host has ever held: a session goes on while newer ones do not serve.
        hand: what the host's configuration names now.
    """

    host: Host
    party: Party
    hand: Credentials
    path: Path | None
    held_back: list[Packet] = field(default_factory=list)  # sent while the host was cut off

    @property
    def identity(self) -> str:
        """Whose it is, or claims to be."""
        return self.party.identity

    @property
    def address(self) -> str:
        """The address that the server sees."""
        return self.host.network.address


@cache
def _all_but_number(source: str, destination: str, body_bytes: int) -> bytes:
    return ip_packet(source, destination, EXPERIMENT, bytes(body_bytes))[:-NUMBER_BYTES]


class Fleet:
    """A world and its reference.

    Args:
        world: just made, of the entries of `members`.
        coverage: counts what is done.
    """

    def __init__(self, world: World, members: Members, coverage: Coverage) -> None:
        self.world = world
        self.coverage = coverage
        self.reference = Reference(Version(members, KEYS["server", AGES[0]], EPOCH_S))
        self.sites: list[Site] = []
        self.strangers: list[Stranger] = []
        self.recordings: list[Recording] = []
        self.packets: dict[bytes, Packet] = {}
        self.server_life = 1
        self.began: dict[str, float] = {}  # of the newest session of each member that had the place, in this life
        self.file_is_good = True
        self._slept_s = 0.0
        self._paths = 0
        self._traffic = 0

    @property
    def now(self) -> float:
        """Seconds awake."""
        return self.world.reactor.now() - self._slept_s

    @property
    def members(self) -> Members:
        """The newest good set."""
        return self.reference.newest.members

    def count_what_ended(self) -> None:
        """Add up what the world's logs tell; once, at its end."""
        log, coverage = self.world.log, self.coverage
        undelivered = [packet for packet in self.packets.values() if not packet.arrived]
        coverage.add("packets refused", sum(not packet.is_somebodys for packet in undelivered))
        coverage.add("packets lost or for absent members", sum(packet.is_somebodys for packet in undelivered))
        coverage.add("sessions", len(log.texts("session-up")))
        for message in log.texts("session-closed") + log.texts("session-unproved"):
            reason = message.rpartition(": ")[2]
            coverage.add(f"sessions ended: {reason}")
            coverage.add("takeovers", reason == "superseded")

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run(seconds)
        self.coverage.add("simulated hours", seconds / 3600)

    # --- hosts -------------------------------------------------------------------------------------------------------

    def connect(self, identity: str, *, through_path: bool) -> Site:
        """Start a host that claims to be a member, with the member's first key or the key of all."""
        path = self._new_path(identity) if through_path else None
        server = str(path.address if path is not None else SERVER)
        if MEMBERS[identity].keys:
            hand = Credentials("key", KEYS[identity, AGES[0]], self.reference.newest.server_keys)
            config = self._client_config(identity, AGES[0], hand, server)
        else:
            hand = Credentials(MEMBERS[identity].tier)
            legacy = hand.tier == "legacy"
            config = self.world.shared_config(identity, server=server, method=self.world.method, legacy=legacy)
        host = self.world.host_of(replace(config, host=CONSENT))
        host.client.retry_refused = True
        if path is not None:
            path.behind = host.network
        site = Site(host, Party(identity, hand), hand, path)
        self.sites.append(site)
        return site

    def _client_config(self, identity: str, ages: tuple[str, ...], hand: Credentials, server: str) -> ClientConfig:
        config = self.world.client_config(identity, ages=ages)
        pinned = tuple(parse_public_key(key) for key in hand.server_keys)
        return replace(config, servers=(ServerAddress(parse_endpoint(server), pinned),), host=CONSENT)

    def give_keys(self, site: Site, ages: tuple[str, ...], server_ages: tuple[str, ...]) -> None:
        """Let a client read a configuration with other keys; it changes over while the old session serves."""
        held = site.party.credentials
        if held.tier != "key":
            site.host.client.reload()
            return
        site.hand = Credentials("key", KEYS[site.identity, ages], KEYS["server", server_ages])
        config = self._client_config(site.identity, ages, site.hand, str(site.host.client.config.servers[0].endpoint))
        site.host.client.settings.read = lambda: config
        site.host.client.reload()
        held = Credentials("key", (*held.keys, *site.hand.keys), (*held.server_keys, *site.hand.server_keys))
        site.party = Party(site.identity, held)

    def _new_path(self, identity: str) -> Path:
        self._paths += 1
        world = self.world
        is_legacy = MEMBERS[identity].tier == "legacy"

        def begin_recording() -> Recording:
            recording = Recording(identity, is_legacy, self.server_life)
            self.recordings = [*self.recordings[1 - MAX_RECORDINGS :], recording]
            return recording

        address = Endpoint(f"203.0.113.{self._paths}", 8080)
        return Path(world.reactor, world.network, address, begin_recording)

    def stop(self, site: Site, *, crash: bool) -> None:
        """End a host: in order, or as a power cut does, so that the server hears nothing more."""
        if crash:
            self.world.faults.cut.add(site.address)
        site.host.client.stop("the model stops it", lambda: None)
        self.sites.remove(site)

    def cut(self, site: Site) -> None:
        """Hold back everything on the way to and from a host, telling nobody."""
        self.world.faults.cut.add(site.address)

    def mend(self, site: Site) -> None:
        """Deliver what was held back; what the host sent meanwhile reaches the server only now."""
        for packet in site.held_back:
            packet.since = self.now
        site.held_back.clear()
        self.world.network.mend(site.address)

    def is_cut(self, site: Site) -> bool:
        """Tell whether a host is cut off."""
        return site.address in self.world.faults.cut

    def reset(self, site: Site) -> None:
        """Reset a host's connection from the middle of its path."""
        if site.path is not None:
            site.path.reset()

    def tamper(self, site: Site, way: str, how: str) -> None:
        """Change the next frame on a host's path; the seed's wire promises nothing about doubled or missing ones."""
        if site.path is not None and (site.hand.tier != "legacy" or how in ("flip a bit", "truncate")):
            site.path.tampering[way] = TAMPERINGS[how]

    def replay(self, number: int, share: float) -> None:
        """Let a stranger send what somebody sent before; on the seed's wire that is refused within one life only."""
        if not self.recordings or len(self.strangers) >= MAX_STRANGERS:
            return
        recording = self.recordings[number % len(self.recordings)]
        if recording.is_legacy and recording.life != self.server_life:
            return
        data = bytes(recording.data)
        self.strangers.append(
            Stranger(self.world.reactor, self.world.new_host(), data[: max(1, round(share * len(data)))])
        )
        self.coverage.add("replays")

    def set_weather(self, name: str) -> None:
        """Make the whole network slow, narrow or awkward, or good again."""
        faults, fine = self.world.faults, Faults()
        for key in {key for weather in WEATHERS.values() for key in weather}:
            setattr(faults, key, WEATHERS[name].get(key, getattr(fine, key)))

    # --- packets -----------------------------------------------------------------------------------------------------

    def send(self, site: Site, source: str, destination: str, body_bytes: int = NUMBER_BYTES) -> Packet:
        """Hand a packet to a host's device; it ends with its number."""
        number = len(self.packets).to_bytes(NUMBER_BYTES, "big")
        data = _all_but_number(source, destination, body_bytes) + number
        packet = self.packets[data] = Packet(
            data, site.party, source, destination, self.now, self._is_somebodys(site, source, destination)
        )
        site.host.tun.send(data)  # where its queue is full the packet is lost, as it may be
        if self.is_cut(site):
            site.held_back.append(packet)
        self.coverage.add("packets sent")
        self.coverage.add("steps")
        return packet

    def _is_somebodys(self, site: Site, source: str, destination: str) -> bool:
        newest = self.reference.newest
        return newest.admits(site.party, self.now) and newest.receiver(site.identity, source, destination) is not None

    def address_of(self, identity: str) -> str:
        """Return a member's private address, or one that nobody has."""
        return self.members[identity].address if identity in self.members else "10.0.0.200"

    def background(self) -> list[Packet]:
        """Let every host send a packet in good faith, and one that may be anything."""
        self._traffic += 1
        sent = []
        for number, site in enumerate(self.sites):
            other = self.sites[(number + self._traffic) % len(self.sites)]
            sent.append(self.send(site, self.address_of(site.identity), self.address_of(other.identity)))
            source = ADDRESSES[(self._traffic * 7 + number) % len(ADDRESSES)]
            sent.append(self.send(site, source, ADDRESSES[(self._traffic + 3 * number) % len(ADDRESSES)]))
        return sent

    def burst(self, site: Site, to: Site, packets: int, *, body_bytes: int = NUMBER_BYTES, per_turn: int = 16) -> None:
        """Let a host send much to another one; what its device gets in one turn travels in one record."""
        source, destination = self.address_of(site.identity), self.address_of(to.identity)
        for number in range(packets):
            self.send(site, source, destination, body_bytes)
            if number % per_turn == 0:
                self.run(0.0002)

    def everybody_to_everybody(self) -> list[Packet]:
        """Let every host send from every source to every destination."""
        return [
            self.send(site, source, destination)
            for site in self.sites
            for source in ADDRESSES
            for destination in ADDRESSES
        ]

    # --- the server and its file -------------------------------------------------------------------------------------

    def change_server_keys(self, ages: tuple[str, ...]) -> None:
        """Name other keys in server.toml and let the server read it."""
        self.world.write_config(server_ages=ages)
        self.world.server.reload()
        self.reference.change(self.now, server_keys=KEYS["server", ages])

    def stop_server(self, *, kill: bool) -> None:
        """Stop the server: with goodbyes, or so that its peers learn it from their kernel alone."""
        if kill:
            for session in list(self.world.core.sessions):
                session.stream.reset()
        self.world.stop_server()
        self.coverage.add("server ends")

    def start_server(self) -> None:
        """Start the server on a good file."""
        if not self.file_is_good:
            self.write(self.members)
        self.world.start_server()
        self.server_life += 1
        self.began.clear()

    def edit(self, identity: str, **changes: Any) -> None:
        """Change a member's entry; where that makes the file illegal, it is refused and the last good one stays."""
        known = self.members.get(identity, MEMBERS[identity])
        self._try({**self.members, identity: replace(known, **changes)})

    def remove(self, identity: str) -> None:
        """Take a member's entry out."""
        self._try({name: member for name, member in self.members.items() if name != identity})

    def rename_cluster(self, before: str, after: str) -> None:
        """Let all members of a cluster belong to another one, with one edit."""
        self._try(
            {
                name: replace(member, cluster=after) if member.cluster == before else member
                for name, member in self.members.items()
            }
        )

    def _try(self, members: Members) -> None:
        if is_legal(members):
            self.write(members)
        else:
            self.write_bad(json.dumps([member.entry(name) for name, member in members.items()]).encode())

    def write(self, members: Members) -> None:
        """Write a good routes.json."""
        self.world.write_routes([member.entry(name) for name, member in members.items()])
        self.file_is_good = True
        self.reference.change(self.now, members=members)
        self.coverage.add("edits")

    def write_without_keys(self) -> None:
        """Rewrite routes.json as a tool does that knows no public keys: those that were known stay in force."""
        self.run(GRACE_S)
        self.world.write_routes([member.entry(name, with_keys=False) for name, member in self.members.items()])
        self.file_is_good = False

    def write_bad(self, data: bytes | None) -> None:
        """Damage routes.json (None: delete it); first the last good one gets the time to be read."""
        self.run(GRACE_S)
        if data is None:
            self.world.routes_file.unlink(missing_ok=True)
        else:
            self.world.write_routes(data)
        self.file_is_good = False
        self.coverage.add("edits refused")

    # --- clocks ------------------------------------------------------------------------------------------------------

    def jump(self, seconds: float) -> None:
        """Set the wall clock."""
        self.world.reactor.wall_clock_offset_s += seconds
        self._clock_is_set()

    def suspend(self, seconds: float) -> None:
        """Let the whole world sleep: clocks go on, nothing runs."""
        self.world.reactor.suspend(seconds)
        self._slept_s += seconds
        self._clock_is_set()
        self.coverage.add("hours asleep", seconds / 3600)

    def _clock_is_set(self) -> None:
        self.reference.change(self.now, unix_zero=self.world.reactor.wall_clock() - self.now)
