"""The peers that the bench knows, and which of them this machine has the programs for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from netlab.bench.peers.openvpn import OPENVPN_TCP, OPENVPN_UDP
from netlab.bench.peers.ssh import SSH_TUN
from netlab.bench.peers.wireguard import WIREGUARD_GO
from netlab.packages import lacking

PEERS: Final = {peer.name: peer for peer in (OPENVPN_UDP, OPENVPN_TCP, WIREGUARD_GO, SSH_TUN)}


def missing(names: Iterable[str]) -> dict[str, str]:
    """Install what these peers need, where that can be; return who is out all the same, and why.

    To be called outside of the laboratory's own world: in there is no way to any package.
    """
    found = {}
    for name in names:
        peer = PEERS[name]
        if packages := sorted(set(lacking(peer.programs, install=not peer.opens_port))):
            found[name] = f"not installed; apt-get install {' '.join(packages)}"
    return found
