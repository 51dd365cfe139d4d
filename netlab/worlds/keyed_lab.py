"""A laboratory whose server and members have keys, with files that a test changes while everything runs.

Rules of this module
  1. The key of a name is made from the name and a number, so a process that is given both can prove it; number 0 is the
     first, 1 the one that a rotation brings.
  2. A file is replaced as a whole, by its name; a process never reads half of one.
  3. Nothing starts by itself, except what a test starts; `close` has to find nothing left.
  4. Relays on machines of their own stand beside the members, and what is the server else is only the outside then,
     which forwards between all of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_interface, ip_network
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.lab import Files, Laboratory
from netlab.processes import Document, Measurement
from netlab.topology import SERVER, HostSpec, LabSpec, MemberSpec, outside_addresses
from rustun.protocol.suites import public_key

PORT = 8080
OUTSIDE = "outside"
PATIENCE_S = 30.0  # only reached where something hangs


def key_of(name: str, number: int = 0) -> X25519PrivateKey:
    """Return the key pair of a name."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(f"{name} {number}".encode()).digest())


def public_of(name: str, number: int = 0) -> bytes:
    """Return the public half."""
    return public_key(key_of(name, number))


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()


@dataclass(frozen=True)
class KeyedMember:
    """An entry of routes.json; `keys` are numbers of this member's keys, `more` has further names of the entry."""

    identity: str
    cluster: str
    address: str
    ciders: tuple[str, ...] = ()
    keys: tuple[int, ...] = (0,)
    more: Mapping[str, object] = field(default_factory=dict)

    def entry(self) -> dict[str, object]:
        """Return the entry as it stands in routes.json."""
        fixed = {"cluster": self.cluster, "identity": self.identity, "private_ip": self.address}
        keys = [_base64(public_of(self.identity, number)) for number in self.keys]
        return {
            **fixed,
            "mask": "255.255.255.0",
            "private_ip6": "fd00:{2}::{3}/64".format(*self.address.split(".")),
            "ciders": list(self.ciders),
            **({"public_key": keys} if keys else {}),
            **self.more,
        }


class KeyedLab:
    """The wired machines and their files; use as a context.

    Args:
        folder: for files, taken by this laboratory alone.
        members: each gets a machine.
        others: entries of routes.json beside them, without machines.
        more: what stands in server.toml beside the usual.
        relays: names of machines that serve, in the order in which clients list them.
        hosts: machines in the LANs of members.
    Attributes:
        lab: the laboratory.
        members: all entries by identity, as routes.json has them now.
        servers: outside addresses of each machine that serves, IPv4 and IPv6.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[KeyedMember],
        others: Sequence[KeyedMember] = (),
        more: str = "",
        relays: Sequence[str] = (),
        hosts: Sequence[HostSpec] = (),
    ) -> None:
        self.folder = folder
        self._more = more
        self.members = {member.identity: member for member in (*members, *others)}
        self.server_address = str(outside_addresses(0)[0].ip)
        places = {name: len(members) + number for number, name in enumerate(relays, start=1)} or {SERVER: 0}
        self.servers = {name: tuple(str(own.ip) for own in outside_addresses(at)) for name, at in places.items()}
        specs = tuple(
            MemberSpec(
                one.identity, one.cluster, (ip_interface(f"{one.address}/24"),), tuple(map(ip_network, one.ciders)),
                one.identity,
            )
            for one in members
        ) + tuple(MemberSpec(name, "", (), stem=name) for name in relays)  # fmt: skip
        self.lab = Laboratory(
            LabSpec("keyed", (self.server_address,), specs, tuple(hosts)),
            Files(folder, folder / "logs", Path("/run/keyed")),
        )
        for made in (self.lab.files.logs, self.lab.files.sockets):
            made.mkdir()
        if relays:
            self.lab.namespaces[SERVER].run(_forward)
        self.write_server()
        self.write_routes()
        for member in members:
            self.write_client(member.identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        left = self.lab.close()
        assert error is not None or left == [], left

    @property
    def nodes(self) -> list[str]:
        """The names of its machines: beside relays of their own, the one in the middle is the outside."""
        names = self.lab.namespaces
        return [OUTSIDE if name == SERVER not in self.servers else name for name in names]

    # --- files -------------------------------------------------------------------------------------------------------

    def write_server(self, *keys: int) -> None:
        """Write a file for each server, with these of its keys, newest last; the first one where none is named."""
        for name in self.servers:
            self._write(
                f"{name}.toml",
                f'[server_config]\nlisten_addr = ["0.0.0.0:{PORT}", "[::]:{PORT}"]\n'
                f'[route_config]\nroutes_file = "routes.json"\n'
                f"[security_config]\nprivate_key_file = {self._key_files(name, keys or (0,))}\n{self._more}",
            )

    def write_routes(self) -> None:
        """Write routes.json as `members` are now."""
        self._write("routes.json", json.dumps([member.entry() for member in self.members.values()], indent=1))

    def change(self, identity: str, **changes: Any) -> None:
        """Change an entry and write routes.json."""
        self.members[identity] = replace(self.members[identity], **changes)
        self.write_routes()

    def remove(self, identity: str) -> None:
        """Take an entry out and write routes.json."""
        del self.members[identity]
        self.write_routes()

    def write_client(
        self,
        identity: str,
        keys: Sequence[int] = (0,),
        server_keys: Sequence[int] = (0,),
        address: str = "",
        more: str = "",
    ) -> None:
        """Write a member's client file; its host agrees to forward for the LANs that its entry names.

        Args:
            identity: whose.
            keys: its own, newest last.
            server_keys: those of each server that it takes.
            address: where the server is, as the file has it; its IPv4 address if not given.
            more: further keys, then tables; a [host_config] among them stands in place of that for the LANs.
        """
        consent = f"[host_config]\ngateway = {json.dumps(self.members[identity].ciders)}\n"
        servers = []
        for name, (address4, _) in self.servers.items():
            pinned = json.dumps([_base64(public_of(name, number)) for number in server_keys])
            servers.append(f'[[servers]]\naddress = "{address or address4}:{PORT}"\npublic_key = {pinned}\n')
        self._write(
            f"{identity}.toml",
            f'identity = "{identity}"\n{more}\n{"".join(servers)}'
            f"[security_config]\nprivate_key_file = {self._key_files(identity, keys)}\n"
            + ("" if "[host_config]" in more else consent),
        )

    def _key_files(self, name: str, numbers: Sequence[int]) -> str:
        files = []
        for number in numbers:
            files.append(f"{name}-{number}.key")
            self._write(files[-1], _base64(key_of(name, number).private_bytes_raw()) + "\n")
        return json.dumps(files)

    def _write(self, name: str, text: str) -> None:
        new = self.folder / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)
        new.replace(self.folder / name)

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, *identities: str) -> None:
        """Start what serves, unless it runs, and these clients; return when each has a session and its cluster."""
        for name in self.servers:
            if name not in self.lab.processes:
                self.lab.start_server(name)
        for identity in identities:
            self.lab.start_client(identity)
        for identity in identities:
            self.until(identity, lambda status: status["state"] == "online" and status["peers"])

    def end(self, node: str, number: signal.Signals = signal.SIGTERM) -> int | None:
        """End a node's process and return its exit code, negative after a signal."""
        process = self.lab.processes.pop(node)
        process.signal(number)
        return process.reap(monotonic() + PATIENCE_S)

    @contextmanager
    def hostile(self, node: str, attack: str, *arguments: object) -> Iterator[Measurement]:
        """Let a hostile process carry out an attack from a node, and stay there until the context ends."""
        words = [attack, *map(json.dumps, arguments)]
        process = Measurement(self.lab.namespaces[node], words, "netlab.worlds.hostile")
        try:
            yield process
        finally:
            process.stop()

    def status(self, node: str = SERVER) -> Document:
        """Return a node's status document."""
        found = self.lab.status(node)
        assert found is not None, f"{node} does not answer"
        return found

    def until(self, node: str, holds: Callable[[Document], object]) -> Document:
        """Return the first status document of a node that is as wanted."""
        found: list[Document] = []

        def look() -> bool:
            document = self.lab.status(node)
            found[:] = [document] if document is not None and holds(document) else []
            return bool(found)

        self.lab.wait_until(look, f"{node} is not as wanted: {self.lab.status(node)}", PATIENCE_S)
        return found[0]

    def reload(self, node: str, done: str) -> None:
        """Send a node's process SIGHUP, and return once it has said `done` once more."""
        before = self.log(node).count(done)
        self.lab.processes[node].signal(signal.SIGHUP)
        self.lab.wait_until(lambda: self.log(node).count(done) > before, f"{node} does not say {done!r}", PATIENCE_S)

    def log(self, node: str) -> str:
        """Return all that a node's process has said."""
        return (self.lab.files.logs / f"{node}.log").read_text()

    def session(self, identity: str) -> Document | None:
        """Return the server's view of a member's session, None where there is none."""
        return next((one for one in self.status()["sessions"] if one["identity"] == identity), None)


def _forward() -> None:
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        Path("/proc/sys/net", name).write_text("1")
