"""wireguard-go as a hub: WireGuard in user space (ChaCha20-Poly1305 over UDP), packets passed on by the hub's kernel.

Where a kernel has WireGuard itself that is another thing, much faster, and not what is measured: this one, like rustun,
takes each packet through user space.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from netlab.bench.peers.hub import (
    Peer,
    await_true,
    forward,
    inside,
    networks,
    outside_of_server,
    run,
    start,
)
from netlab.lab import Laboratory
from netlab.topology import SERVER

PORT = 51820
SOCKETS = Path("/run/wireguard")  # where its programs look for each other, by the name of the device


def bring_up(lab: Laboratory, folder: Path) -> None:
    """Start a process for each node, give them keys and peers, addresses and routes."""
    devices = {node: f"wg{number}" for number, node in enumerate((SERVER, *(m.identity for m in lab.spec.members)))}
    secrets = {node: _tool("genkey") for node in devices}
    public = {node: _tool("pubkey", secret) for node, secret in secrets.items()}
    forward(lab)
    for node, device in devices.items():
        start(lab, node, ["wireguard-go", "-f", device])
    for node, device in devices.items():
        socket = SOCKETS / f"{device}.sock"
        await_true(lab, socket.exists, f"wireguard-go in {node} opens no {socket}")
        file = folder / f"{node}.conf"
        file.write_text(_configuration(lab, node, secrets[node], public))
        run(lab, node, "wg", "setconf", device, str(file))
        run(lab, node, "ip", "link", "set", device, "up")
    for member in lab.spec.members:
        address, network = inside(member)
        run(
            lab,
            member.identity,
            "ip",
            "address",
            "add",
            f"{address}/{network.prefixlen}",
            "dev",
            devices[member.identity],
        )
    for network in networks(lab):
        run(lab, SERVER, "ip", "route", "add", str(network), "dev", devices[SERVER])


def _configuration(lab: Laboratory, node: str, secret: str, public: dict[str, str]) -> str:
    lines = ["[Interface]", f"PrivateKey = {secret}"]
    if node == SERVER:
        lines.append(f"ListenPort = {PORT}")
        for member in lab.spec.members:
            lines += ["[Peer]", f"PublicKey = {public[member.identity]}", f"AllowedIPs = {inside(member)[0]}/32"]
    else:
        _, network = inside(lab.spec.member(node))
        lines += ["[Peer]", f"PublicKey = {public[SERVER]}", f"AllowedIPs = {network}"]
        lines.append(f"Endpoint = {outside_of_server(lab)}:{PORT}")
    return "\n".join(lines) + "\n"


def _tool(command: str, text: str = "") -> str:
    done = subprocess.run(["wg", command], input=text, capture_output=True, text=True, check=True)
    return done.stdout.strip()


WIREGUARD_GO = Peer(
    "wireguard-go",
    "wireguard-go as a hub, ChaCha20-Poly1305 over UDP",
    {"wireguard-go": "wireguard-go", "wg": "wireguard-tools", "ip": "iproute2"},
    bring_up,
)
