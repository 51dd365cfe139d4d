"""What is measured against what: each variant is a laboratory of its own, or a toolkit, and this is how it is made.

All laboratories have the addresses of the demo's inventory. Those that came first have all of its members, two of them
idle; the others only the tenant that the load runs in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from netlab.bench import crowd
from netlab.bench.measure_lab import HUNDRED, REFERENCE, WholeLab, hundred_clients, reference_lab
from netlab.bench.measure_toolkit import Toolkit
from netlab.bench.peers.catalogue import PEERS
from netlab.bench.peers.hub import PeerLaboratory
from netlab.configuration import configure, load
from netlab.demo import plain_spec
from netlab.errors import EnvironmentLacks
from netlab.lab import Files, Laboratory
from netlab.processes import CHECKOUT
from netlab.spec import lab_spec
from netlab.topology import OUTSIDE6, LabSpec
from rustun.backends.base import Endpoint
from rustun.backends.process import allow_descriptors
from rustun.ops.fleet import Cluster, Inventory, Member
from rustun.protocol.tiers import Tier

INVENTORY: Final = CHECKOUT / "inventory" / "demo.toml"
CLUSTER: Final = "shanghai"
SENDER, RECEIVER, LAN_HOST = "sh-office-gw", "sh-db", "sh-printer"
SEEN: Final = ip_network("192.168.110.0/24")  # what a mapping shows in the LAN's place
CROWD_CLIENTS: Final = 5000

PLAIN: Final = "plain"
CROWD: Final = "crowd"
AES, CHACHA, AES_SINGLE, CHACHA_SINGLE = "aes", "chacha", "aes-no-offload", "chacha-no-offload"
SHARED, CHACHA_SHARED, LEGACY = "aes-shared", "chacha-shared", "chacha-legacy"
MASQUERADED, MAPPED = "aes-masquerade", "aes-mapping"
OUTER6: Final = "aes-over-ipv6"
MTU_1280, MTU_9000 = "aes-mtu-1280", "aes-mtu-9000"
SINGLE_1280, SINGLE_9000 = "aes-no-offload-mtu-1280", "aes-no-offload-mtu-9000"
OPENVPN_UDP, OPENVPN_TCP, WIREGUARD_GO, SSH_TUN = "openvpn-udp", "openvpn-tcp", "wireguard-go", "ssh-tun"
OTHERS: Final = (OPENVPN_UDP, OPENVPN_TCP, WIREGUARD_GO, SSH_TUN)
TUNNELS: Final = (AES, CHACHA, AES_SINGLE, CHACHA_SINGLE)
Place = Laboratory | Toolkit | WholeLab
WHOLE_LABS: Final = {REFERENCE: reference_lab, HUNDRED: hundred_clients}


def _as_in_the_demo(member: Member) -> Member:
    return member


def _masqueraded(member: Member) -> Member:
    return replace(member, settings=replace(member.settings, masquerade=True))


def _mapped(member: Member) -> Member:
    return replace(member, ciders=(SEEN,), cider_mapping=tuple((SEEN, real) for real in member.ciders))


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a variant's fleet is, beside the demo's.

    Attributes:
        title: in words, for a report.
        cipher, tier: of the fleet.
        client_options: of each `rustun connect`.
        gateway: changes the member that the LAN is behind.
        mtu: of the members' devices, None for their own.
        over_ipv6: whether clients reach the server by its IPv6 address.
        whole: whether all members of the demo are there, or only the tenant that the load runs in.
    """

    title: str
    cipher: str
    tier: Tier = Tier.KEY
    client_options: tuple[str, ...] = ()
    gateway: Callable[[Member], Member] = _as_in_the_demo
    mtu: int | None = None
    over_ipv6: bool = False
    whole: bool = False


NO_OFFLOAD: Final = ("--no-offload",)
FLEETS: Final = {
    AES: Fleet("key tier, AES-256-GCM", "aes256", whole=True),
    CHACHA: Fleet("key tier, ChaCha20-Poly1305", "chacha20", whole=True),
    AES_SINGLE: Fleet("as aes, clients with --no-offload", "aes256", client_options=NO_OFFLOAD, whole=True),
    CHACHA_SINGLE: Fleet("as chacha, clients with --no-offload", "chacha20", client_options=NO_OFFLOAD, whole=True),
    SHARED: Fleet("as aes, on the shared tier", "aes256", tier=Tier.SHARED, whole=True),
    CHACHA_SHARED: Fleet("as chacha, on the shared tier", "chacha20", tier=Tier.SHARED),
    LEGACY: Fleet("the legacy tier, the seed's ChaCha20-Poly1305", "chacha20", tier=Tier.LEGACY),
    MASQUERADED: Fleet("as aes, the gateway with masquerade", "aes256", gateway=_masqueraded, whole=True),
    MAPPED: Fleet("as aes, the gateway with a cider_mapping", "aes256", gateway=_mapped, whole=True),
    OUTER6: Fleet("as aes, clients reach the server over IPv6", "aes256", over_ipv6=True),
    MTU_1280: Fleet("as aes, inner MTU 1280", "aes256", mtu=1280),
    MTU_9000: Fleet("as aes, inner MTU 9000", "aes256", mtu=9000),
    SINGLE_1280: Fleet("as aes-no-offload, inner MTU 1280", "aes256", client_options=NO_OFFLOAD, mtu=1280),
    SINGLE_9000: Fleet("as aes-no-offload, inner MTU 9000", "aes256", client_options=NO_OFFLOAD, mtu=9000),
    CROWD: Fleet(f"as aes, and {CROWD_CLIENTS:,} more members who come over loopback", "aes256", whole=True),
}
TITLES: Final = {
    PLAIN: "no tunnel: the middle namespace routes",
    **{name: fleet.title for name, fleet in FLEETS.items()},
    **{name: peer.title for name, peer in PEERS.items()},
}


def place(variant: str, build: Path, logs: Path) -> Place:
    """Return what a variant is measured in, wired and not started; generated files go below `build`, logs below `logs`.

    Raises:
        EnvironmentLacks: the crowd needs more open files than there may be.
    """
    files = Files(logs, logs / variant, Path("/run") / f"bench-{variant}")
    if variant == PLAIN:
        return Laboratory(_tenant(), files, plain=True)
    if variant in PEERS:
        return PeerLaboratory(PEERS[variant], _tenant(), files)
    if variant in WHOLE_LABS:
        return WHOLE_LABS[variant](build, files.logs)
    if variant not in FLEETS:
        return Toolkit(variant)
    fleet = FLEETS[variant]
    name = f"bench-{variant}"
    configured = configure(INVENTORY, inventory_of(fleet, name), build / name)
    if variant == CROWD:
        _add_crowd(configured.folder / "routes.json")
    files = replace(files, configuration=configured.folder)
    return Laboratory(configured.spec, files, client_options=fleet.client_options)


def _tenant() -> LabSpec:
    return plain_spec(lab_spec(load(INVENTORY)), CLUSTER)


def inventory_of(fleet: Fleet, name: str) -> Inventory:
    """Return the demo's inventory as a variant has it, under a name of its own."""
    demo = load(INVENTORY)
    clusters = tuple(_changed(one, fleet) for one in demo.clusters if fleet.whole or one.name == CLUSTER)
    servers = demo.servers
    if fleet.over_ipv6:
        servers = tuple(replace(one, endpoint=Endpoint(str(OUTSIDE6[1]), one.endpoint.port)) for one in servers)
    return replace(
        demo,
        name=name,
        cipher=fleet.cipher,
        minimum_tier=fleet.tier,
        clusters=clusters,
        servers=servers,
    )


def _changed(cluster: Cluster, fleet: Fleet) -> Cluster:
    def member(one: Member) -> Member:
        told = one if fleet.mtu is None else replace(one, settings=replace(one.settings, mtu=fleet.mtu))
        return fleet.gateway(told) if told.identity == SENDER else told

    return replace(cluster, members=tuple(map(member, cluster.members)))


def _add_crowd(routes_file: Path) -> None:
    if allow_descriptors() < CROWD_CLIENTS * 2:
        raise EnvironmentLacks(f"{CROWD_CLIENTS} clients need more open files", f"ulimit -Hn {CROWD_CLIENTS * 2}")
    crowd.extend(routes_file, CROWD_CLIENTS)
