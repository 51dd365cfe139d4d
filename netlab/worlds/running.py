"""Real `rustun serve` and `rustun connect` on a host with two cables to a far side, for tests of faults.

                     eth0 192.168.1.5/24 ---- 192.168.1.1
    this namespace                                          far namespace, server at 203.0.113.7
                     eth1 192.168.2.5/24 ---- 192.168.2.1

Rules of this module
  1. Nothing sleeps. A process is asked by its status socket, again whenever it has written a line; the kernel is asked
     again whenever it reports a change.
  2. What hangs is aborted by a watchdog, and the test fails with the log of the process and where it was.
  3. At the end of a test all that still runs is stopped in order, and a host that had clients is compared whole with
     what it was (host_picture.py). Only after a client that was killed, and had no successor, somebody cleans up first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from pyroute2 import IPRoute, IPRSocket

from netlab.lab import TUN
from netlab.namespaces import NetworkNamespace
from netlab.processes import CHECKOUT
from netlab.worlds.host_picture import assert_same, difference, host_picture, settle
from rustun.admin.control_client import read_status
from rustun.backends.host_recovery import cleanup_all
from rustun.errors import RustunError

RUSTUN = [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
KEY = "marked-secret-of-32-bytes-length"
HANG_S = 100.0  # only reached where something hangs, or a machine stands still
SERVER = "203.0.113.7"
PORT = 8080
NEAR, OTHER = ("192.168.1.5", "192.168.1.1"), ("192.168.2.5", "192.168.2.1")
SERVER_TOML = f"""
[server_config]
listen_addr = "{SERVER}:{PORT}"
[crypto_config]
chacha20poly1305 = "{KEY}"
[route_config]
routes_file = "routes.json"
"""
CLIENT_TOML = """
identity = "{identity}"
servers = [{{ address = "{server}:{port}" }}]
[crypto_config]
chacha20poly1305 = "{key}"
[host_config]
{host}
"""


def write_client_toml(folder: Path, identity: str, host: str) -> Path:
    """Write the configuration of a member of SERVER_TOML's server, with its [host_config], and return the file."""
    file = folder / f"{identity}.toml"
    file.write_text(CLIENT_TOML.format(identity=identity, server=SERVER, port=PORT, key=KEY, host=host))
    file.chmod(0o600)
    return file


class Running:
    """A rustun process; its control socket is `NAME.sock` in its folder.

    Args:
        name: of the process here.
        folder: its working directory.
        arguments: for rustun.
        at: where it runs; here without.
        program: rustun, or what stands in for it.
    Attributes:
        log: what it has said, as far as it was read.
        state: folder of a client's journals; None for others.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: list[str],
        at: NetworkNamespace | None = None,
        program: Sequence[str] = RUSTUN,
    ) -> None:
        self.log = ""
        self._name = name
        self._socket = folder / f"{name}.sock"
        self.state = folder / f"{name}.state" if arguments[0] == "connect" else None
        state = ["--state-dir", str(self.state)] if self.state is not None else []
        command = [*program, *arguments, *state, "--control", str(self._socket), "-v", "--log-format", "text"]

        def start() -> subprocess.Popen[str]:
            return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)

        self.process = at.run(start) if at is not None else start()
        self._watchdog = self._watch(HANG_S)
        try:
            self.until_logged("control socket")
        except BaseException:
            self.kill()
            raise

    def status(self) -> dict[str, Any]:
        """Return the status document."""
        return read_status(self._socket)

    def until(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Return the first status document that is as wanted."""
        while not holds(found := self.status()):
            self._read_line()
        return found

    def until_online(self) -> dict[str, Any]:
        """Return the status of a client once it has a session."""
        return self.until(lambda status: status["state"] == "online")

    def until_logged(self, text: str) -> None:
        """Return once the process has told people `text`, which its status may show only for a moment."""
        while text not in self.log:
            self._read_line()

    def end(self, signal_number: int, timeout_s: float = HANG_S) -> int:
        """Send a signal that ends the process; return its exit code, negative after a signal."""
        self._watchdog.cancel()
        self._watchdog = self._watch(timeout_s)
        self.process.send_signal(signal_number)
        obituary = self._obituary()
        assert self.process.returncode != -signal.SIGABRT, obituary
        return self.process.returncode

    def kill(self) -> None:
        """End the process if it still runs."""
        if self.process.returncode is None:
            self.process.kill()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process.wait()
        self._watchdog.cancel()

    def account(self) -> str:
        """Return its status document, or how it has ended, and its log; kill it if it still runs."""
        ended = self.process.poll()
        try:
            status = json.dumps(self.status(), indent=1) if ended is None else f"ended with exit code {ended}"
        except (RustunError, OSError) as error:
            status = f"does not answer: {error}"
        if self.process.stderr is not None and not self.process.stderr.closed:
            self.process.kill()
            self.log += self.process.communicate()[1]
        return f"{self._name}: {status}\n{self.log}"

    def _watch(self, seconds: float) -> threading.Timer:
        watchdog = threading.Timer(seconds, self.process.send_signal, [signal.SIGABRT])
        watchdog.start()
        return watchdog

    def _obituary(self) -> str:
        # without a timeout, with which `communicate` passes over what was read beyond the last line asked for
        self.log += self.process.communicate()[1]
        self._watchdog.cancel()
        return f"{self._name} ended, or hung and was aborted:\n{self.log}"

    def _read_line(self) -> None:
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        self.log += line
        assert line and "Fatal Python error" not in line, self._obituary()


class Site:
    """The host, the far side, a folder for files, and whatever processes a test starts; use as a context."""

    def __init__(self) -> None:
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")  # nobody else is on the cables
        self.ip = IPRoute()
        self._running: list[Running] = []
        self._stack = ExitStack()
        self._stack.callback(self.ip.close)
        self.folder = Path(self._stack.enter_context(TemporaryDirectory()))
        self.far = NetworkNamespace()
        self._stack.callback(self.far.close)
        self._changes = IPRSocket()
        self._stack.callback(self._changes.close)
        self._changes.bind()
        self._changes.socket.settimeout(HANG_S)
        self.ip.link("set", index=1, state="up")
        for number, (own, gateway) in enumerate((NEAR, OTHER)):
            self._lay_cable(f"eth{number}", own, gateway)
        self.far.run(self._furnish_far_side)
        self.ip.route("add", dst="0.0.0.0/0", gateway=NEAR[1])
        self.before = self.routes()
        (self.folder / "server.toml").write_text(SERVER_TOML)
        (self.folder / "key").write_text(f"chacha20:{KEY}\n")
        (self.folder / "key").chmod(0o600)
        settle()
        self._picture = host_picture()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stack:
            if kind is None:
                self._leave()
            else:
                self._tell()

    def write_members(self, *prefixes: str) -> None:
        """Write routes.json: m0, which runs here, and m1, which has LANs."""
        common = {"cluster": "beijing", "mask": "255.255.255.0", "gateway": "10.0.1.254"}
        members = [
            {**common, "identity": "m0", "private_ip": "10.0.1.1", "ciders": []},
            {**common, "identity": "m1", "private_ip": "10.0.1.2", "ciders": list(prefixes)},
        ]
        (self.folder / "routes.json").write_text(json.dumps(members))

    def serve(self) -> Running:
        """Start the server on the far side."""
        return self.keep(Running("server", self.folder, ["serve"], self.far))

    def connect(self, *options: str) -> Running:
        """Start the client m0 here."""
        arguments = ["connect", "-s", f"{SERVER}:{PORT}", "-i", "m0", "--crypto-file", "key", *options]
        return self.keep(Running("client", self.folder, arguments))

    def connect_with(self, file: str) -> Running:
        """Start a client here, with a configuration of the folder."""
        return self.keep(Running("client", self.folder, ["connect", "--config", file]))

    def index(self, name: str) -> int:
        """Return an interface's index, 0 where there is none of that name."""
        return int(next(iter(self.ip.link_lookup(ifname=name)), 0))

    def routes(self) -> set[str]:
        """Return "prefix dev name via gateway" of each IPv4 route of the main table."""
        names = {link["index"]: link.get("ifname") for link in self.ip.get_links()}
        found = set()
        for route in self.ip.get_routes(table=254, family=2):
            gateway = f" via {route.get('gateway')}" if route.get("gateway") else ""
            prefix = f"{route.get('dst') or '0.0.0.0'}/{route['dst_len']}"
            found.add(f"{prefix} dev {names.get(route.get('oif'))}{gateway}")
        return found

    def until(self, holds: Callable[[], object]) -> None:
        """Return once the kernel's tables are as wanted."""
        while not holds():
            self._changes.get()

    def until_routed(self, *routes: str) -> None:
        """Return once these routes stand (as `routes` writes them), and no others but those of the bare host."""
        self.until(lambda: self.routes() - self.before == set(routes))

    def keep(self, running: Running) -> Running:
        """End a process with the test."""
        self._stack.callback(running.kill)
        self._running.append(running)
        return running

    def _leave(self) -> None:
        for running in reversed(self._running):
            if running.process.returncode is None:
                assert running.end(signal.SIGTERM) == 0, running.log
        clients = [(running, running.state) for running in self._running if running.state is not None]
        if not clients:
            return
        last, state = clients[-1]
        if last.process.returncode == -signal.SIGKILL:
            cleanup_all(state)
        assert_same(self._picture, host_picture(), "the host after its clients")

    def _tell(self) -> None:
        """Say what it was like when something failed: on standard error, which is kept with the failure."""
        print("the host has changed (settings of the tunnel's device left out):", file=sys.stderr)
        for line in difference(self._picture, host_picture()).splitlines():
            if f"/{TUN}/" not in line:
                print(f"  {line}", file=sys.stderr)
        for running in self._running:
            print(running.account(), file=sys.stderr)

    def _lay_cable(self, name: str, own: str, gateway: str) -> None:
        self.ip.link("add", ifname=name, kind="veth", peer={"ifname": name, "net_ns_fd": self.far.fileno()})
        self.ip.addr("add", index=self.index(name), address=own, prefixlen=24)
        self.ip.link("set", index=self.index(name), state="up")

    def _furnish_far_side(self) -> None:
        with IPRoute() as ip:
            ip.link("set", index=1, state="up")
            ip.addr("add", index=1, address=SERVER, prefixlen=32)
            for number, (_, gateway) in enumerate((NEAR, OTHER)):
                [index] = ip.link_lookup(ifname=f"eth{number}")
                ip.addr("add", index=index, address=gateway, prefixlen=24)
                ip.link("set", index=index, state="up")
