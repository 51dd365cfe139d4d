"""Whole processes: two sites of one range, an office that masquerades, a laptop with an exit and a kill switch."""

from __future__ import annotations

import json
import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from netlab.namespaces import replace_hosts_file
from netlab.scenarios.scenario import scenario
from netlab.worlds.host_picture import assert_same, host_picture, settle
from netlab.worlds.running import SERVER, SERVER_TOML, Running, write_client_toml
from netlab.worlds.site import Machine, Tap, cable, exchange, transfer

EXITS = ["0.0.0.0/0", "::/0"]
DESK = ["172.16.5.0/24", "fd77::/64"]
MEMBERS = {
    "site-a": (1, ["192.168.11.0/24", "fd11::/64"], ""),
    "site-b": (2, ["192.168.12.0/24", "fd12::/64", *EXITS], "offer_exit = true"),
    "laptop": (3, [], 'exit_node = "site-b"\nkill_switch = true\nnames = "hosts"'),
    "office": (4, DESK, ""),
}
LANS = {  # the gateway's place and its host's
    "site-a": (("192.168.10.1/24", "fd10::1/64"), ("192.168.10.5/24", "fd10::5/64")),
    "site-b": (("192.168.10.1/24", "fd10::1/64"), ("192.168.10.7/24", "fd10::7/64")),
    "office": (("172.16.5.1/24", "fd77::1/64"), ("172.16.5.7/24", "fd77::7/64")),
}
OPTIONS = {"office": [*(word for lan in DESK for word in ("--gateway", lan)), "--masq"]}  # in place of a [host_config]
SITE = """
gateway = ["192.168.10.0/24", "fd10::/64"]
cider_mapping = {{ "192.168.1{number}.0/24" = "192.168.10.0/24", "fd1{number}::/64" = "fd10::/64" }}
"""


class World(ExitStack):
    """The machines of the picture, the server and the clients; use as a context.

    Attributes:
        clients: those that run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.internet = Machine("internet")
        self.internet.interface("lo", f"{SERVER}/32", "8.8.8.8/32", "2001:4860::8/128")
        self.machines: dict[str, Machine] = {}
        self.hosts: dict[str, Machine] = {}
        entries = []
        for identity, (number, ciders, _) in MEMBERS.items():
            self._connect(identity, number)
            entries.append(
                {"cluster": "acme", "identity": identity, "private_ip": f"10.0.1.{number}", "mask": "255.255.255.0"}
                | {"gateway": "10.0.1.254", "private_ip6": f"fd00:1::{number}/64", "ciders": ciders}
            )
        (folder / "server.toml").write_text(SERVER_TOML)
        (folder / "routes.json").write_text(json.dumps(entries))
        replace_hosts_file({})
        self._run("server", ["serve"], self.internet)
        self._before = {identity: machine.do(self._picture) for identity, machine in self.machines.items()}
        self.clients = {identity: self.client(identity) for identity in ("site-a", "site-b")}

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return ("internet", *self.machines)

    def end_all(self, *clients: Running) -> None:
        """Stop these clients in order, and compare all hosts with what they were before them."""
        for client in clients:
            assert client.end(signal.SIGTERM) == 0, client.log
        for identity, machine in self.machines.items():
            assert_same(self._before[identity], machine.do(host_picture), identity)

    @staticmethod
    def _picture() -> list[str]:
        settle()
        return host_picture()

    def client(self, identity: str) -> Running:
        """Start a member's client, and wait until it has a session and the host is set up."""
        number, ciders, more = MEMBERS[identity]
        mapped = ciders and identity not in OPTIONS
        file = write_client_toml(self._folder, identity, (SITE.format(number=number) if mapped else "") + more)
        arguments = ["connect", "--config", file.name, *OPTIONS.get(identity, [])]
        running = self._run(identity, arguments, self.machines[identity])
        running.until_online()
        return running

    def _connect(self, identity: str, number: int) -> None:
        machine = self.machines[identity] = Machine(identity)
        cable(machine, "eth0", self.internet, identity)
        machine.interface("eth0", f"198.18.{number}.2/24", f"2a00:{number}::2/64")
        self.internet.interface(identity, f"198.18.{number}.1/24", f"2a00:{number}::1/64")
        machine.routes(**{"default": f"198.18.{number}.1", "::/0": f"2a00:{number}::1"})
        if identity in LANS:
            near, far = LANS[identity]
            host = self.hosts[identity] = Machine(f"host of {identity}")
            cable(machine, "eth1", host, "eth0")
            machine.interface("eth1", *near)
            host.interface("eth0", *far)
            host.routes(**dict(zip(("default", "::/0"), (one.partition("/")[0] for one in near), strict=True)))

    def _run(self, name: str, arguments: list[str], machine: Machine) -> Running:
        running = Running(name, self._folder, arguments, machine.namespace)
        self.callback(running.kill)
        return running


def names(member: str, status: dict[str, Any]) -> bool:
    """Return whether a client's status names a member."""
    return member in json.dumps(status)


def has_exit(status: dict[str, Any]) -> bool:
    """Return whether a client routes everything into the tunnel."""
    return "0.0.0.0/0" in status["routes"] and "::/0" in status["routes"]


def beside_the_tunnel(packet: Packet) -> str:
    """Return what an observer sees of a packet, "" where it is the tunnel's own connection or stays on the link."""
    if TCP in packet and IP in packet and SERVER in (packet[IP].src, packet[IP].dst):
        return ""
    link_only = IPv6 in packet and packet[IPv6].dst.startswith(("ff02:", "fe80:"))
    return packet.summary() if (IP in packet or IPv6 in packet) and not link_only else ""


def an_office_masquerades(world: World) -> None:
    """See a member through the gateway of an office, and end that one in order."""
    a_member = world.clients["site-a"]
    office, member, desk = world.client("office"), world.machines["site-a"], world.hosts["office"]
    a_member.until(lambda status: set(DESK) <= set(status["routes"]))
    office.until(partial(names, "site-a"))
    assert transfer(member, desk, "172.16.5.7") == ("172.16.5.1", "172.16.5.7")
    assert exchange(member, desk, "fd77::7") == ("fd77::1", "fd77::7")
    assert transfer(desk, member, "10.0.1.1") == ("172.16.5.7", "10.0.1.1"), "what the LAN sends stays as it is"
    assert exchange(desk, member, "fd00:1::1") == ("fd77::7", "fd00:1::1")
    assert office.status()["warnings"] == []
    assert office.end(signal.SIGTERM) == 0, office.log


def sites_of_one_range(world: World) -> None:
    """Let hosts of two sites with the same range reach each other, each seen by its mapped address."""
    a, b = world.hosts["site-a"], world.hosts["site-b"]
    for client, far in zip(world.clients.values(), ("site-b", "site-a"), strict=True):
        client.until(partial(names, far))
    assert transfer(a, b, "192.168.12.7", bound="192.168.10.7") == ("192.168.11.5", "192.168.12.7")
    assert transfer(b, a, "fd11::5", bound="fd10::5") == ("fd12::7", "fd11::5")
    assert exchange(a, b, "fd12::7", bound="fd10::7") == ("fd11::5", "fd12::7")
    for client in world.clients.values():
        assert client.status()["warnings"] == []


def a_way_out(world: World) -> None:
    """Give a laptop its way out by a site; its client is killed, and its kill switch lets nothing out in clear."""
    b = world.hosts["site-b"]
    with Tap(world.internet, "laptop") as detector:
        laptop, machine = world.client("laptop"), world.machines["laptop"]
        laptop.until(has_exit)  # until then its kill switch lets nothing out
        assert laptop.status()["warnings"] == []
        assert transfer(machine, world.internet, "8.8.8.8") == ("198.18.2.2", "8.8.8.8")
        assert transfer(machine, world.internet, "2001:4860::8") == ("2a00:2::2", "2001:4860::8")
        assert transfer(machine, b, "192.168.12.7", bound="192.168.10.7")[0] == "10.0.1.3"
        assert laptop.end(signal.SIGKILL) == -signal.SIGKILL
        with machine.udp("0.0.0.0") as program:
            for address in ("8.8.8.8", "198.18.3.1", "192.168.12.7"):
                try:
                    program.sendto(b"in clear", (address, 53))
                except OSError:
                    continue
        world.clients["laptop"] = laptop = world.client("laptop")
        laptop.until(has_exit)
        assert machine.run("getent", "hosts", "site-a.rustun").split() == ["fd00:1::1", "site-a.rustun"]
        assert transfer(machine, world.internet, "8.8.8.8")[0] == "198.18.2.2"
        assert {strange for strange in map(beside_the_tunnel, detector.now()) if strange} == set()


def all_end(world: World) -> None:
    """End all clients: each host is what it was before them."""
    world.end_all(*reversed(world.clients.values()))


@scenario(an_office_masquerades, sites_of_one_range, a_way_out, all_end)
def whole_sites(folder: Path) -> Iterator[World]:
    """Two sites of one range, an office that masquerades and a laptop with an exit and a kill switch work together.

    a 192.168.10.5 -- site-a ----+                        +---- site-b -- b 192.168.10.7
      seen as 192.168.11.5       |  198.18.N.2            |       seen as 192.168.12.7
                                 +------ internet --------+
                  laptop --------+       203.0.113.7 (server), 8.8.8.8, 2001:4860::8
                                 |
                                 +---- office -- desk 172.16.5.7
    """
    with World(folder) as world:
        yield world
