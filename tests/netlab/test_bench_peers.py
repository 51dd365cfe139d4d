"""Other tunnels come up in a laboratory's namespaces, carry an echo, and go."""

from __future__ import annotations

import shutil
from pathlib import Path

from netlab.bench import costs, measure
from netlab.bench.peers.catalogue import PEERS
from netlab.bench.peers.hub import PeerLaboratory
from netlab.bench.peers.ssh import SSH_TUN, has_one_user
from netlab.configuration import load
from netlab.demo import plain_spec
from netlab.lab import Files
from netlab.processes import CHECKOUT
from netlab.spec import lab_spec
from netlab.topology import SERVER
from tests.netlab.own_world import in_own_world

PATH = measure.Path("sh-office-gw", "sh-db", "10.0.2.2")


@in_own_world
def test_each_peer_carries_an_echo_and_leaves_nothing(tmp_path: Path) -> None:
    """A comparison would have nobody to compare with, or compare with a way around the tunnel."""
    spec = plain_spec(lab_spec(load(CHECKOUT / "inventory" / "demo.toml")), "shanghai")
    labs = {
        name: PeerLaboratory(peer, spec, Files(tmp_path, tmp_path / name, Path("/run", name)))
        for name, peer in PEERS.items()
        if name != SSH_TUN.name or (shutil.which("sshd") and not has_one_user())
    }
    for lab in labs.values():  # all at once, with equal addresses
        lab.start()  # until an echo has crossed each tunnel
    for name, lab in labs.items():
        before = [costs.used_seconds(lab, node) for node in (SERVER, PATH.sender)]
        assert measure.throughput(lab, PATH, streams=1, seconds=0.2).gigabits > 0.001, name
        spent = [costs.used_seconds(lab, node) for node in (SERVER, PATH.sender)]
        assert all(late > early for early, late in zip(before, spent, strict=True)), f"{name}: packets went another way"
        assert 0.5 < costs.resident_megabytes(lab)["server"] < 500, name
    assert {name: lab.close() for name, lab in labs.items()} == {name: [] for name in labs}
