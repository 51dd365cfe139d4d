"""A host with one card, for what LinuxHostNetwork does to it; each in a network namespace of its own.

Rules of this module
  1. What is there is read with pyroute2's high-level interface, a second opinion on our messages.
  2. A host that made clients (`client`) clears them at the end, cleans up what dead ones left, and is compared whole
     with what it was (host_picture.py). Who changes the host beside a client puts that back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from netlab.worlds.host_picture import assert_same, host_picture, settle
from rustun.backends.host_network import LinuxHostNetwork
from rustun.backends.host_recovery import cleanup_all
from rustun.backends.tun import LinuxTun
from tests.netlab.private_namespace import STATE


class Host:
    """A host with a card on two networks, default routes, and a static route; use as a context.

    Attributes:
        picture: of the host before any client.
    """

    def __init__(self) -> None:
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")  # nobody else is on the cable
        self.ip = IPRoute()
        self.ip.link("set", index=1, state="up")
        self.ip.link("add", ifname="eth0", kind="veth", peer="cable")
        self.card = self.index("eth0")
        self.ip.link("set", index=self.index("cable"), state="up")
        self.ip.addr("add", index=self.card, address="192.168.1.5", prefixlen=24)
        self.ip.addr("add", index=self.card, address="2001:db8:1::5", prefixlen=64, flags=2)
        self.ip.link("set", index=self.card, state="up")
        self.ip.route("add", dst="0.0.0.0/0", gateway="192.168.1.1")
        self.ip.route("add", dst="::/0", gateway="2001:db8:1::1")
        self.ip.route("add", dst="172.16.0.0/12", gateway="192.168.1.2")
        settle()
        self.picture = host_picture()
        self._clients: list[tuple[LinuxHostNetwork, LinuxTun]] = []

    def __enter__(self) -> Host:
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: object) -> None:
        if kind is None and self._clients:
            self._leave()
        self.ip.close()

    def client(self, device: str = "rustun0", mtu: int = 1500) -> tuple[LinuxHostNetwork, LinuxTun]:
        """Return what a client has of this host, and its device."""
        network = LinuxHostNetwork(STATE)
        self._clients.append((network, network.open_tun(device, mtu, True)))
        return self._clients[-1]

    def _leave(self) -> None:
        for network, device in self._clients:
            network.clear()
            device.close()
        if list(STATE.glob("*.json")):  # of clients that died
            cleanup_all(STATE)
        assert_same(self.picture, host_picture(), "the host after its clients")

    def index(self, name: str) -> int:
        [found] = self.ip.link_lookup(ifname=name)
        return int(found)

    def routes(self, name: str = "") -> set[str]:
        """Return "prefix dev name via gateway proto n" of each route of the main table, or of one device."""
        found = set()
        names = {link["index"]: link.get("ifname") for link in self.ip.get_links()}
        for route in (*self.ip.get_routes(table=254, family=2), *self.ip.get_routes(table=254, family=10)):
            device = names[route.get("oif")]
            if device in ("lo", "cable") or route["type"] != 1 or (name and device != name):
                continue
            prefix = f"{route.get('dst') or ('0.0.0.0' if route['family'] == 2 else '::')}/{route['dst_len']}"
            gateway = f" via {route.get('gateway')}" if route.get("gateway") else ""
            found.add(f"{prefix} dev {device}{gateway} proto {route['proto']}")
        return found

    def addresses(self, name: str) -> set[str]:
        found = self.ip.get_addr(index=self.index(name))
        return {f"{address.get('local') or address.get('address')}/{address['prefixlen']}" for address in found}

    def path(self, address: str) -> str:
        """Return the interface that the kernel uses for an address now."""
        [route] = self.ip.route("get", dst=address)
        return str(self.ip.get_links(route.get("oif"))[0].get("ifname"))

    def link(self, name: str) -> Any:
        return self.ip.get_links(self.index(name))[0]
