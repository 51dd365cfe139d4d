"""Real machines made from an inventory, to try on them what will be done to the real hosts.

Rules of this module
  1. A machine for each host that the inventory's `ssh` names: servers first, then members; whatever shares a host
     shares a machine. Who is set up by hand has none.
  2. A machine is called after the first server or member on it. It is also known by its host in `ssh` and, a server,
     by the name that clients connect to; so the inventory's own words work in there.
  3. Behind it are the LAN hosts of [lab.host], as in a laboratory of namespaces.
"""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from netlab.control import keeper
from netlab.control.keeper import Entrance, Kept
from netlab.errors import BadInput
from netlab.links import requests as linking
from netlab.machines.network import CONTROL, LanHost, MachineSpec
from netlab.machines.running import Machines
from netlab.spec import lab_spec
from netlab.topology import LabSpec, lan_of, lowest_free
from rustun.ops.fleet import Inventory

_NOT_IN_HOST_NAMES: Final = re.compile(r"[^A-Za-z0-9-]+")
_SSH_HOST: Final = re.compile(r"(?:.*@)?\[?(?P<host>[^\]]*?)\]?(?::\d+)?")
LABEL_CHARACTERS: Final = 63  # RFC 1035, section 2.3.4


def machines_of(inventory: Inventory) -> tuple[MachineSpec, ...]:
    """Return the machines of a fleet.

    Raises:
        BadInput: no host has `ssh`, or a LAN has no room for its gateway.
    """
    lab = lab_spec(inventory)
    found: dict[str, MachineSpec] = {}
    for server in inventory.servers:
        if server.ssh:
            _know(found, server.name, server.ssh, server.endpoint.host)
    for member in inventory.members:
        if member.ssh and member.settings.enabled is not False:
            host = _know(found, member.identity, member.ssh)
            found[host] = _with_lan(found[host], lab, member.identity)
    if not found:
        raise BadInput(f'{inventory.name}: no host has "ssh"', 'name one where machines are wanted: ssh = "root@NAME"')
    return tuple(found.values())


def _know(found: dict[str, MachineSpec], name: str, ssh: str, public: str = "") -> str:
    """See that there is a machine for the host in `ssh`, which has these names; return that host."""
    match = _SSH_HOST.fullmatch(ssh)
    host = match["host"] if match else ssh
    label = _NOT_IN_HOST_NAMES.sub("-", name)[:LABEL_CHARACTERS].strip("-")
    machine = found.get(host, MachineSpec(label))
    names = dict.fromkeys((*machine.names, label, host, *([public] if public else [])))
    found[host] = replace(machine, names=tuple(name for name in names if name != machine.name))
    return host


def _with_lan(machine: MachineSpec, lab: LabSpec, identity: str) -> MachineSpec:
    """Put the LAN hosts behind a member behind its machine."""
    member, lan, hosts = lab.member(identity), dict.fromkeys(machine.lan), list(machine.lan_hosts)
    behind = [host for host in lab.hosts if host.behind == identity]
    taken = {address for host in behind for address in host.addresses}
    for host in behind:
        networks = {address: lan_of(member, address) for address in host.addresses}
        lan |= dict.fromkeys(lowest_free(network, taken) for network in networks.values())
        hosts.append(LanHost(host.name, tuple(ip_interface(f"{a}/{n.prefixlen}") for a, n in networks.items())))
    return replace(machine, lan=tuple(lan), lan_hosts=tuple(hosts))


def keep(inventory: Inventory, logs: Path, control: socket.socket, events: IO[str]) -> int:
    """Keep the machines of a fleet up until they are asked to go; return the exit code. See `keeper.keep`."""
    began = monotonic()
    machines = Machines(machines_of(inventory), logs)
    entrances = {name: Entrance(namespace) for name, namespace in machines.namespaces.items()}
    for machine in machines:
        entrances[machine.name] = Entrance(machines.namespaces[CONTROL], tuple(machine.ssh.command()))

    def up() -> str:
        return f"all machines up, {monotonic() - began:.1f} s"

    begin = f"{len(list(machines))} machines begin to boot"
    looks = {
        "status": lambda _request: _document(inventory.name, machines),
        "nodes": lambda _request: {"nodes": _document(inventory.name, machines)["nodes"]},
    }
    no_links = {"link": lambda request: linking.answer(None, request, monotonic())}
    kept = Kept(machines, lambda: entrances, begin, up, looks, no_links)
    return keeper.keep(kept, control, events, as_user=False)


def _document(name: str, machines: Machines) -> dict[str, Any]:
    """Return what `lab-status --json` prints: every node with its addresses, every machine with its state."""
    states = {machine.name: machine.state for machine in machines}
    nodes = []
    for node in machines.topology.nodes:
        ports = (*node.bridges, *machines.topology.ports(node.name))
        addresses = dict.fromkeys(str(address) for port in ports for address in port.addresses)
        role = "machine" if node.name in states else node.role
        common = {"node": node.name, "role": role, "cluster": "", "addresses": list(addresses)}
        state = states.get(node.name, "-")
        nodes.append({**common, "pid": None, "ended": None, "rustun": None, "state": state})
    return {"schema": 1, "name": name, "nodes": nodes}
