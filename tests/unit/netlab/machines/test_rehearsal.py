"""Which machines an inventory asks for."""

from __future__ import annotations

import re
from ipaddress import ip_interface
from pathlib import Path

import pytest

from netlab.errors import BadInput
from netlab.machines.network import LanHost, MachineSpec, plan
from netlab.machines.rehearsal import machines_of
from rustun.ops.inventory import load_inventory

FLEET = """
[fleet]
name = "acme"
servers = [
  { address = "vpn.acme.example:8080", ssh = "root@vpn.acme.example:2222" },
  { address = "203.0.113.7:8080", name = "by-hand" },
]
[cluster.beijing]
network = "10.0.1.0/24"
[cluster.beijing.member."gate way"]
ciders = ["192.168.1.0/24", "fd00:9::/64"]
ssh = "root@[2001:db8::7]:22"
[cluster.beijing.member.monitor]
ssh = "vpn.acme.example"
[cluster.beijing.member.phone]
[cluster.beijing.member.old]
ssh = "old"
enabled = false
[lab.host.printer]
behind = "gate way"
address = "192.168.1.7"
address6 = "fd00:9::7"
[lab.host.nas]
behind = "gate way"
address = "192.168.1.1"
"""


def specs_of(text: str, folder: Path) -> tuple[MachineSpec, ...]:
    """Return the machines of an inventory."""
    (folder / "fleet.toml").write_text(text)
    return machines_of(load_inventory(folder / "fleet.toml"))


def test_one_machine_for_each_host_that_ssh_names(tmp_path: Path) -> None:
    """A rehearsal would lack a host, or have two where two services share one."""
    server, gateway = specs_of(FLEET, tmp_path)
    assert server == MachineSpec("server", names=("vpn.acme.example", "monitor"))
    assert (gateway.name, gateway.names) == ("gate-way", ("2001:db8::7",))
    assert gateway.lan == tuple(map(ip_interface, ("192.168.1.2/24", "fd00:9::1/64")))
    printer = LanHost("printer", tuple(map(ip_interface, ("192.168.1.7/24", "fd00:9::7/64"))))
    assert gateway.lan_hosts == (printer, LanHost("nas", (ip_interface("192.168.1.1/24"),)))
    plan([server, gateway])


def test_nobody_to_deploy_to_is_said(tmp_path: Path) -> None:
    """An empty laboratory would come up and look like success."""
    with pytest.raises(BadInput, match='acme: no host has "ssh"'):
        specs_of(re.sub(r',? *ssh = "[^"]*"', "", FLEET), tmp_path)
