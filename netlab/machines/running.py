"""Several machines at once: wired, booted, reached over SSH, and taken down without a trace.

Rules of this module
  1. It runs in a world of its own (netlab.namespaces.enter_own_world): mounts, processes and networks end with it,
     however it ends.
  2. All machines boot at the same time on one tree; the laboratory is up when each of them says that it is.
  3. In that world `ssh root@NAME` reaches a machine: the host's ssh_config is covered by the run's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Final

from netlab import kernel, wiring
from netlab.errors import EnvironmentLacks, ExpectationFailed
from netlab.machines import access, groups, image, network
from netlab.machines.access import KeyPair, SshHost
from netlab.machines.machine import BOOT_SECONDS, Disk, Machine, Plug
from netlab.machines.network import CONTROL, OUTSIDE, MachineSpec
from netlab.namespaces import NetworkNamespace

FOLDER: Final = Path("/run/rustun-machines")  # /run is the world's own
SSH_CONFIG: Final = Path("/etc/ssh/ssh_config")


@contextmanager
def machines(specs: Sequence[MachineSpec], logs: Path) -> Iterator[Machines]:
    """Boot machines, yield them when all are up, and take them down.

    Args:
        specs: what to boot.
        logs: folder for what their consoles say; it must exist.

    Raises:
        EnvironmentLacks: the tree is missing, or this is no world of its own.
        ExpectationFailed: a machine did not come up, or something was left after all were taken down.
    """
    running = Machines(specs, logs)
    try:
        running.start()
        yield running
    finally:
        left = running.close()
    if left:
        raise ExpectationFailed("machines left something behind: " + "; ".join(left))


class Machines:
    """Machines of one laboratory, made but not booted; `namespaces` holds those of machines, LAN hosts and switches."""

    def __init__(self, specs: Sequence[MachineSpec], logs: Path) -> None:
        self.topology = network.plan(specs)
        tree = image.tree()
        if os.getpid() != 1 or not tree.is_dir():
            what = "machines need a world of their own" if tree.is_dir() else f"the machines' disk is missing: {tree}"
            raise EnvironmentLacks(what, "./invoke machines-up makes it")
        groups.mount()
        groups.sweep()
        self.group = groups.RunGroup()
        shared = FOLDER / "tree"
        shared.mkdir(parents=True)
        kernel.mount(str(tree), str(shared), "", kernel.MS_BIND)
        self._mounted = [shared]
        self.namespaces = {node.name: NetworkNamespace() for node in self.topology.nodes if node.name != CONTROL}
        self.namespaces[CONTROL] = NetworkNamespace(os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        wiring.build(self.topology, self.namespaces)
        self._machines = self._made(specs, shared, logs)
        kernel.mount(str(FOLDER / "config"), str(SSH_CONFIG), "", kernel.MS_BIND)
        self._mounted.append(SSH_CONFIG)

    def __getitem__(self, name: str) -> Machine:
        """Return the machine of that name."""
        return self._machines[name]

    def __iter__(self) -> Iterator[Machine]:
        """Go through the machines in the order in which they were given."""
        return iter(self._machines.values())

    def _made(self, specs: Sequence[MachineSpec], tree: Path, logs: Path) -> dict[str, Machine]:
        operator = access.make_key()
        keys = {spec.name: access.make_key() for spec in specs}
        at = {spec.name: str(network.address(CONTROL, position)) for position, spec in enumerate(specs, start=1)}
        hosts = {spec.name: SshHost(spec.names, at[spec.name], keys[spec.name]) for spec in specs}
        reached = access.write_files(FOLDER, operator, hosts)
        made = {}
        for position, spec in enumerate(specs, start=1):
            disk = Disk(FOLDER / spec.name)
            disk.mount(tree, spec.disk_bytes)
            self._furnish(disk, spec.name, operator, keys[spec.name])
            plugs = [Plug(self.namespaces[OUTSIDE], f"o{position}"), Plug(self.namespaces[CONTROL], f"c{position}")]
            place = (self.namespaces[spec.name], self.namespaces[CONTROL], disk, self.group.path / spec.name)
            made[spec.name] = Machine(spec, reached[spec.name], *place, plugs, logs / f"{spec.name}.console")
        return made

    def _furnish(self, disk: Disk, name: str, operator: KeyPair, host: KeyPair) -> None:
        """Give a machine what tells it from others."""
        known = "".join(f"{address} {other}\n" for other, address in self.topology.names)
        disk.write("etc/hostname", f"{name}\n")
        disk.write("etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{known}")
        disk.write("etc/machine-id", f"{token_hex(16)}\n", 0o444)
        disk.write("etc/ssh/ssh_host_ed25519_key", host.private, 0o600)
        disk.write("etc/ssh/ssh_host_ed25519_key.pub", host.public + "\n")
        disk.write("root/.ssh/authorized_keys", operator.public + "\n", 0o600)

    def start(self) -> None:
        """Boot all, and wait until all are up.

        Raises:
            ExpectationFailed: a machine ended or was not up in time.
        """
        for machine in self:
            machine.start()
        deadline = monotonic() + BOOT_SECONDS
        for machine in self:
            machine.wait_ready(deadline - monotonic())

    def close(self) -> list[str]:
        """Take all down at once; return what was left over, in words."""
        left = []
        for machine in self:
            machine.pull_plug()
            machine.disk.unmount()
        left += self.group.remove()
        for mounted in reversed(self._mounted):
            kernel.unmount(str(mounted))
        left += [f"mount {line.split()[1]}" for line in _mounts() if line.split()[1].startswith(f"{FOLDER}/")]
        for namespace in self.namespaces.values():
            namespace.close()
        kernel.unmount(str(groups.ROOT))
        return left


def _mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()
