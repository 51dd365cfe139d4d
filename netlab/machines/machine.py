"""One real machine: a Debian that systemd-nspawn boots in a network namespace of the laboratory.

Rules of this module
  1. Its disk is a layer of its own over the tree that all share. It stays while the machine is off, and ends with the
     laboratory.
  2. It is up when its systemd says so (READY=1 by way of systemd-nspawn), and nothing is asked before that.
  3. A machine that is off is silent: its cables are unplugged at the far end, as where a host has lost its power.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

from netlab import kernel
from netlab.errors import ExpectationFailed
from netlab.machines import groups
from netlab.machines.access import Access
from netlab.machines.network import MachineSpec
from netlab.namespaces import NetworkNamespace
from netlab.processes import NodeProcess
from netlab.waiting import readable

BOOT_SECONDS: Final = 90.0  # only reached where something hangs
POWER_OFF_SECONDS: Final = 30.0
RUN_SECONDS: Final = 60.0
# systemd-nspawn takes the group that it is started in; it tells NOTIFY_SOCKET when the machine is up.
_LAUNCH: Final = 'echo 0 >"$1/cgroup.procs" && export NOTIFY_SOCKET="$2" && shift 2 && exec "$@"'
_NSPAWN: Final = (
    "env",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",  # /proc/sys/net, which a host of rustun writes
    "systemd-nspawn",
    "--boot",
    "--quiet",
    "--register=no",  # there need not be a systemd outside
    "--keep-unit",
    "--settings=no",
    "--notify-ready=yes",
    "--console=read-only",
    "--resolv-conf=off",
    "--timezone=off",
    "--link-journal=no",
    "--bind=/dev/net/tun",
    "--capability=CAP_NET_ADMIN",
)
_STATE: Final = "systemctl is-system-running || systemctl list-units --failed --plain --no-legend"


@dataclass(frozen=True, slots=True)
class Disk:
    """A machine's disk: `folder` is a file system of its own, `root` the machine's files, readable from outside."""

    folder: Path

    @property
    def root(self) -> Path:
        """The machine's root folder."""
        return self.folder / "root"

    def mount(self, tree: Path, size_bytes: int) -> None:
        """Make it: a layer of at most `size_bytes` over `tree`, whose path holds no colon and no comma."""
        flags = kernel.MS_NOSUID | kernel.MS_NODEV
        self.folder.mkdir()
        kernel.mount("tmpfs", str(self.folder), "tmpfs", flags, f"mode=0700,size={size_bytes}")
        upper, work = self.folder / "upper", self.folder / "work"
        for path in (upper, work, self.root):
            path.mkdir()
            path.chmod(0o755)
        kernel.mount("overlay", str(self.root), "overlay", 0, f"lowerdir={tree},upperdir={upper},workdir={work}")

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's before the machine starts; missing folders get the right to be read by root alone."""
        path = self.root / name
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700)
        path.touch(mode)
        path.chmod(mode)
        path.write_text(text)

    def unmount(self) -> None:
        """Let go of it, and of all that was written to it."""
        kernel.unmount(str(self.root))
        kernel.unmount(str(self.folder))


@dataclass(frozen=True, slots=True)
class Plug:
    """The far end of one of a machine's cables."""

    namespace: NetworkNamespace
    interface: str


class Machine:
    """A machine that can be booted, spoken to, stopped, and booted again.

    Args:
        spec: what it is.
        ssh: how it is reached.
        namespace: its network, wired already.
        outside: the laboratory's own network namespace, in which systemd-nspawn runs.
        disk: mounted already.
        group: where its control group will be.
        plugs: the far ends of its cables.
        log: what its console says goes there.
    """

    def __init__(
        self,
        spec: MachineSpec,
        ssh: Access,
        namespace: NetworkNamespace,
        outside: NetworkNamespace,
        disk: Disk,
        group: Path,
        plugs: Sequence[Plug],
        log: Path,
    ) -> None:
        self.name = spec.name
        self.ssh = ssh
        self.namespace = namespace
        self.disk = disk
        self.log = log
        self._state = "booting"
        self._spec = spec
        self._outside = outside
        self._group = group
        self._plugs = tuple(plugs)
        self._process: NodeProcess | None = None
        self._notices: socket.socket | None = None

    @property
    def state(self) -> str:
        """Return off, booting, running, or "degraded: " and the units that had failed when it came up."""
        ended = self._process is None or self._process.ended() is not None
        return "off" if ended else self._state

    def start(self) -> None:
        """Begin to boot, also after it turned itself off; `wait_ready` tells when it is up."""
        self.stop()
        self._state = "booting"
        self._plug(up=True)
        self._group.mkdir()
        notices = self.disk.folder / "notify"
        notices.unlink(missing_ok=True)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(notices))
        launch = ["sh", "-c", _LAUNCH, "sh", str(self._group), str(notices), *self._nspawn()]
        self._process = NodeProcess(self.name, self._outside, launch, self.disk.folder, self.log)

    def _nspawn(self) -> list[str]:
        network = f"/proc/{os.getpid()}/fd/{self.namespace.fileno()}"
        own = [f"--machine={self.name}", f"--directory={self.disk.root}", f"--network-namespace-path={network}"]
        small = [f"--tmpfs={path}:size={size_bytes},mode=0755" for path, size_bytes in self._spec.small]
        return [*_NSPAWN, *own, *small]

    def wait_ready(self, seconds: float = BOOT_SECONDS) -> None:
        """Wait until it is up, and see whether all of its units are.

        Raises:
            ExpectationFailed: it ended, or was not up in time; it can still be stopped.
        """
        assert self._notices is not None
        assert self._process is not None
        deadline = monotonic() + seconds
        notice = b""
        while b"READY=1" not in notice.split(b"\n"):
            watched = (self._notices.fileno(), self._process.fileno())
            ready = readable(watched, deadline - monotonic())
            if watched[0] not in ready:
                what = "ended while it booted" if ready else f"was not up within {seconds:.0f} s"
                raise ExpectationFailed(f"machine {self.name} {what}", self._process.last_words())
            notice = self._notices.recv(4096)
        state, *failed = self.run(_STATE).splitlines()
        self._state = state + ": " * bool(failed) + ", ".join(line.split()[0] for line in failed)

    def run(self, command: str, *, text: str = "", seconds: float = RUN_SECONDS) -> str:
        """Run a command there over SSH, by root's shell, and return what it printed.

        Args:
            text: its standard input.

        Raises:
            ExpectationFailed: it failed, was late, or the machine could not be reached; its words are in the message.
        """
        try:
            done = subprocess.run(
                self.ssh.command(command), input=text, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise ExpectationFailed(f"{self.name}: {command}: no end within {seconds:.0f} s") from None
        if done.returncode:
            raise ExpectationFailed(f"{self.name}: {command}: exit code {done.returncode}", done.stderr.strip())
        return done.stdout

    def stop(self) -> None:
        """Shut it down as `systemctl poweroff` does, and wait for that; harmless when it is off."""
        self._end(signal.SIGTERM, POWER_OFF_SECONDS)

    def pull_plug(self) -> None:
        """Take its power away in the middle of whatever it does; harmless when it is off."""
        self._end(signal.SIGKILL, POWER_OFF_SECONDS)

    def _end(self, how: signal.Signals, seconds: float) -> None:
        if self._process is None or self._notices is None:
            return
        self._process.signal(how)
        self._process.reap(monotonic() + seconds)
        self._notices.close()
        self._process = self._notices = None
        stayed = groups.empty(self._group)
        self._plug(up=False)
        if stayed:
            raise ExpectationFailed(f"machine {self.name} is not off", ", ".join(stayed))

    def _plug(self, *, up: bool) -> None:
        for plug in self._plugs:
            command = ["ip", "link", "set", plug.interface, "up" if up else "down"]
            plug.namespace.run(partial(subprocess.run, command, check=True))
