"""How machines are reached over SSH."""

from __future__ import annotations

import stat
from pathlib import Path

from netlab.machines.access import SshHost, make_key, write_files


def test_hosts_are_known_by_every_name_and_keys_stay_private(tmp_path: Path) -> None:
    """`ssh` would ask about a host key, refuse a key that others can read, or be taught not to check."""
    hosts = {
        "server": SshHost(("vpn.example", "203.0.113.7"), "198.19.0.1", make_key()),
        "laptop": SshHost((), "198.19.0.2", make_key()),
    }
    operator = make_key()
    access = write_files(tmp_path, operator, hosts)
    assert stat.S_IMODE(access["server"].key.stat().st_mode) == 0o600
    assert access["server"].key.read_text() == operator.private
    assert access["laptop"].known_hosts.read_text() == (
        f"server,198.19.0.1 {hosts['server'].key.public}\nlaptop,198.19.0.2 {hosts['laptop'].key.public}\n"
    )
    assert (
        access["laptop"].config.read_text()
        == f"""\
Host server vpn.example 203.0.113.7
    HostName 198.19.0.1
Host laptop
    HostName 198.19.0.2

Host server vpn.example 203.0.113.7 laptop
    User root
    IdentityFile {tmp_path}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {tmp_path}/known_hosts
    StrictHostKeyChecking yes
"""
    )
