"""What each variant of the bench is made of."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from netlab.bench.peers import catalogue
from netlab.bench.variants import CLUSTER, FLEETS, MAPPED, MASQUERADED, OUTER6, RECEIVER, SENDER, inventory_of
from rustun.protocol.tiers import Tier


@pytest.mark.parametrize("variant", FLEETS)
def test_a_variant_has_what_its_name_says(variant: str) -> None:
    """A figure would be published under the name of something else."""
    fleet = FLEETS[variant]
    inventory = inventory_of(fleet, "bench-x")
    sender = next(one for one in inventory.members if one.identity == SENDER)
    assert RECEIVER in {one.identity for one in inventory.members}
    assert inventory.cipher == ("chacha20" if "chacha" in variant else "aes256")
    assert {inventory.tier_of(one) for one in inventory.members} == {
        Tier.SHARED if "shared" in variant else Tier.LEGACY if "legacy" in variant else Tier.KEY
    }
    size = int(variant.rpartition("-")[2]) if "mtu" in variant else None
    assert {one.settings.mtu for one in inventory.members} == {size}
    assert ("--no-offload" in fleet.client_options) is ("no-offload" in variant)
    assert (":" in inventory.servers[0].endpoint.host) is (variant == OUTER6)
    assert bool(sender.settings.masquerade) is (variant == MASQUERADED)
    assert bool(sender.cider_mapping) is (variant == MAPPED)
    assert ({cluster.name for cluster in inventory.clusters} != {CLUSTER}) is fleet.whole


def test_a_peer_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison would be a peer short, and nobody know why; or a port of this machine be opened."""
    installed: list[str] = []

    def nothing_there(programs: Mapping[str, str], *, install: bool) -> list[str]:
        installed.extend(programs if install else ())
        return sorted(set(programs.values()) - {"iproute2", "openssh-client"})

    monkeypatch.setattr(catalogue, "lacking", nothing_there)
    assert catalogue.missing(["wireguard-go", "openvpn-tcp", "ssh-tun"]) == {
        "wireguard-go": "not installed; apt-get install wireguard-go wireguard-tools",
        "openvpn-tcp": "not installed; apt-get install openvpn",
        "ssh-tun": "not installed; apt-get install openssh-server",
    }
    assert installed == ["wireguard-go", "wg", "ip", "openvpn"]
    assert catalogue.missing([]) == {}
