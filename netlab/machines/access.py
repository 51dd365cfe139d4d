"""How a machine is reached over SSH: keys made for one run, every host key known before the first connection.

    FOLDER/id_ed25519    the operator's key, taken by every machine for root
    FOLDER/known_hosts   each machine's host key, by name and address
    FOLDER/config        for `ssh -F`, and in the laboratory's own mount namespace the host's /etc/ssh/ssh_config

So `ssh root@NAME` works in the laboratory as it does for an operator, with host keys checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

PORT: Final = 22
CONNECT_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Access:
    """What `ssh` needs for one machine; `config` holds all of it under the machine's name."""

    name: str
    address: str
    port: int
    key: Path
    known_hosts: Path
    config: Path

    def command(self, *words: str) -> list[str]:
        """Return the command that runs `words` there as root, and gives up soon where nobody answers."""
        patience = f"ConnectTimeout={CONNECT_SECONDS}"
        return ["ssh", "-F", str(self.config), "-o", "BatchMode=yes", "-o", patience, self.name, *words]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as OpenSSH writes it."""

    private: str
    public: str


def make_key() -> KeyPair:
    """Return a new Ed25519 key pair."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return KeyPair(private.decode(), key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


@dataclass(frozen=True, slots=True)
class SshHost:
    """What is known of a machine before the first connection: further names, control address, host key."""

    names: tuple[str, ...]
    address: str
    key: KeyPair


def write_files(folder: Path, operator: KeyPair, hosts: Mapping[str, SshHost]) -> dict[str, Access]:
    """Write key, known_hosts and config into `folder`; return how each machine is reached, by its name."""
    key, known_hosts, config = folder / "id_ed25519", folder / "known_hosts", folder / "config"
    key.touch(0o600)
    key.write_text(operator.private)
    known_hosts.write_text("".join(f"{name},{host.address} {host.key.public}\n" for name, host in hosts.items()))
    words = {name: " ".join((name, *host.names)) for name, host in hosts.items()}
    own = [f"Host {words[name]}\n    HostName {host.address}\n" for name, host in hosts.items()]
    every = f"""
Host {" ".join(words.values())}
    User root
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    StrictHostKeyChecking yes
"""
    config.write_text("".join(own) + every)
    config.chmod(0o644)
    return {name: Access(name, host.address, PORT, key, known_hosts, config) for name, host in hosts.items()}
