"""OpenSSH as a hub: `ssh -w` joins a TUN device here and one at the server by TCP; the kernel there passes packets on.

The cipher is the one that both ends agree on by themselves (chacha20-poly1305@openssh.com).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from netlab.bench.peers.hub import Peer, await_device, await_words, forward, inside, outside_of_server, run, start
from netlab.errors import EnvironmentLacks
from netlab.lab import Laboratory
from netlab.topology import SERVER

PORT = 22
PRIVILEGE_SEPARATION = Path("/run/sshd")  # a folder that sshd insists on
CLIENT_OPTIONS = ("-N", "-T", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")


def bring_up(lab: Laboratory, folder: Path) -> None:
    """Start sshd in the hub and a client for each member; then addresses and routes for their devices.

    Raises:
        EnvironmentLacks: there is one user only, as in the namespaces of who is not root.
    """
    if has_one_user():
        raise EnvironmentLacks("sshd needs a user beside root for what is not logged in yet", "run it as root")
    PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
    for name in ("host", "user"):
        file = folder / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    configuration = folder / "sshd_config"
    configuration.write_text(_configuration(folder))
    forward(lab)
    start(lab, SERVER, ["/usr/sbin/sshd", "-D", "-e", "-f", str(configuration)])
    await_words(lab, SERVER, "Server listening")
    for number, member in enumerate(lab.spec.members):
        options = (*CLIENT_OPTIONS, "-i", str(folder / "user"), "-w", f"0:{number}")
        start(lab, member.identity, ["ssh", *options, f"root@{outside_of_server(lab)}"])
    for number, member in enumerate(lab.spec.members):
        address, network = inside(member)
        await_device(lab, member.identity, "tun0")
        await_device(lab, SERVER, f"tun{number}")
        run(lab, member.identity, "ip", "address", "add", f"{address}/{network.prefixlen}", "dev", "tun0")
        run(lab, member.identity, "ip", "link", "set", "tun0", "up")
        run(lab, SERVER, "ip", "link", "set", f"tun{number}", "up")
        run(lab, SERVER, "ip", "route", "add", f"{address}/32", "dev", f"tun{number}")


def has_one_user() -> bool:
    """Return whether the calling process's user namespace has no user beside root (user_namespaces(7))."""
    ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return sum(int(length) for _, _, length in ranges) == 1


def _configuration(folder: Path) -> str:
    lines = (
        f"Port {PORT}",
        f"HostKey {folder}/host",
        f"AuthorizedKeysFile {folder}/user.pub",
        "PermitRootLogin prohibit-password",
        "PermitTunnel point-to-point",
        "PasswordAuthentication no",
        "StrictModes no",  # the folder lies in a temporary file system of the laboratory's own
        "UsePAM no",
        "PidFile none",
    )
    return "\n".join(lines) + "\n"


SSH_TUN = Peer(
    "ssh-tun",
    "OpenSSH as a hub (ssh -w), over TCP",
    {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client", "ip": "iproute2"},
    bring_up,
    opens_port=True,
)
