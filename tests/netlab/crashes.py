"""Machines and processes for tests that kill whole clients at any moment.

                   eth1            eth0  198.18.1.2           198.18.2.2
      guest ------------- host ----------------- internet ----------------- way-out
      192.168.10.7  192.168.10.1    2a00:1::2        |       2a00:2::2
      seen as 192.168.11.7                           203.0.113.7 (server), 8.8.8.8, 2001:4860::8

Rules of this module
  1. `rustun` is imported once on each machine (ready_rustun.py), so that a kill at a random moment meets its work.
  2. A random moment is a share of the time that a whole start, or an orderly end, takes here.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from functools import partial
from math import inf
from pathlib import Path
from time import monotonic

from netlab.namespaces import replace_hosts_file
from netlab.worlds.running import ENVIRONMENT, SERVER, SERVER_TOML, write_client_toml
from netlab.worlds.site import Machine, cable
from rustun.admin.control_client import read_status

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
CRASHES = 20  # of one world; a soak makes five
BATCHES = 5 if SOAK else 1
STATE, CONTROL = Path("/run/state"), Path("/run/{}.sock")
PATIENCE_S = 40.0  # only reached where something hangs
HOST = """
gateway = ["192.168.10.0/24"]
masquerade = true
cider_mapping = {{ "192.168.11.0/24" = "192.168.10.0/24" }}
names = "hosts"
exit_node = "way-out"
kill_switch = {kill_switch}
"""
MEMBERS = {"host": (1, ["192.168.11.0/24"]), "way-out": (2, ["0.0.0.0/0", "::/0"])}


class Ready:
    """`rustun` on one machine, run again and again; what it says stands in `log`, of the present run.

    Args:
        name: of its control socket.
        machine: where it runs.
        folder: its working directory.
    """

    def __init__(self, name: str, machine: Machine, folder: Path) -> None:
        self.log = ""
        self._control = Path(str(CONTROL).format(name))
        self._child = 0
        self._forker = machine.do(partial(self._fork, folder))
        assert self._forker.stdin and self._forker.stdout and self._forker.stderr
        self._orders, self._answers, self._words = self._forker.stdin, self._forker.stdout, self._forker.stderr

    def start(self, *arguments: str) -> None:
        """Start a run; `-v` and the control socket come by themselves."""
        control = ["--control", str(self._control), "-v"] if arguments[0] != "cleanup" else []
        self.log = ""
        self._orders.write(json.dumps([*arguments, *control]).encode() + b"\n")
        self._child = self._number()

    def lives_for(self, seconds: float) -> bool:
        """Return whether the run goes on that long; return as soon as it does not."""
        return not select.select([self._answers], [], [], seconds)[0]

    def end(self, signal_number: int) -> int:
        """End the run by a signal; return its exit code."""
        os.kill(self._child, signal_number)
        return self.code()

    def tell(self, signal_number: int) -> None:
        """Send a signal."""
        os.kill(self._child, signal_number)

    def code(self) -> int:
        """Wait for the end of the run; return its exit code, negative after a signal. Fail where it spoke of a bug."""
        code = self._number()
        while select.select([self._words], [], [], 0)[0]:
            self._read()
        for defect in ("internal-error", "Traceback", "Exception ignored"):
            assert defect not in self.log, self.log
        return code

    def until_up(self) -> None:
        """Return once the run can be asked for its status."""
        while "control socket" not in self.log:
            self._read()

    def until_exit(self) -> None:
        """Return once both default routes lead into the tunnel, and all that was wished stands."""
        self.until_up()
        while not all(repr(prefix) in str(read_status(self._control)["routes"]) for prefix in MEMBERS["way-out"][1]):
            self._read()

    def close(self) -> None:
        """End the run, and whoever forks."""
        for process in (self._child, self._forker.pid):
            if process and self._forker.poll() is None:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        self._forker.communicate()

    @staticmethod
    def _fork(folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.netlab.ready_rustun"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, bufsize=0, cwd=folder, env=ENVIRONMENT, **pipes)  # type: ignore[call-overload]

    def _number(self) -> int:
        text = b""
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([self._answers], [], [], PATIENCE_S)
            piece = self._answers.read(1) if ready else b""
            if not piece:
                self._read()
                raise AssertionError(f"no answer:\n{self.log}")
            text += piece
        return int(text)

    def _read(self) -> None:
        ready, _, _ = select.select([self._words], [], [], PATIENCE_S)
        said = os.read(self._words.fileno(), 1 << 16) if ready else b""
        assert said, f"nothing more was said after:\n{self.log}"
        self.log += said.decode()


class World(ExitStack):
    """The machines of the picture, with server and exit node running; use as a context.

    Args:
        folder: for files.
        kill_switch: of the host.
    Attributes:
        start_s, end_s: seconds that a whole start and an orderly end took, the quickest one so far.
    """

    def __init__(self, folder: Path, *, kill_switch: bool) -> None:
        super().__init__()
        self.start_s = self.end_s = inf
        replace_hosts_file({"own.example": "192.0.2.1"})
        self.internet, self.host, self.way_out, self.guest = map(Machine, ("internet", "host", "way-out", "guest"))
        self.internet.interface("lo", f"{SERVER}/32", "8.8.8.8/32", "2001:4860::8/128")
        self._connect("host", self.host)
        self._connect("way-out", self.way_out)
        cable(self.host, "eth1", self.guest, "eth0")
        self.host.interface("eth1", "192.168.10.1/24")
        self.guest.interface("eth0", "192.168.10.7/24")
        self.guest.routes(default="192.168.10.1")
        self._write(folder, kill_switch)
        self.server = self._ready("server", self.internet, folder)
        self.client = self._ready("host", self.host, folder)
        exit_node = self._ready("way-out", self.way_out, folder)
        self.start_server()
        exit_node.start("connect", "--config", "way-out.toml", "--state-dir", "/run/state-of-way-out")
        exit_node.until_up()

    def start_server(self) -> None:
        """Start the server; who connects before it listens tries again."""
        self.server.start("serve")

    def start_client(self) -> None:
        """Start the host's client."""
        self.client.start("connect", "--config", "host.toml", "--state-dir", str(STATE))

    def start_whole(self) -> None:
        """Start the client, and wait until all that is wished stands."""
        started = monotonic()
        self.start_client()
        self.client.until_exit()
        self.start_s = min(self.start_s, monotonic() - started)

    def stop_in_order(self) -> None:
        """Stop the client in order."""
        started = monotonic()
        assert self.client.end(signal.SIGTERM) == 0, self.client.log
        self.end_s = min(self.end_s, monotonic() - started)

    def _connect(self, name: str, machine: Machine) -> None:
        number = MEMBERS[name][0]
        cable(machine, "eth0", self.internet, name)
        machine.interface("eth0", f"198.18.{number}.2/24", f"2a00:{number}::2/64")
        self.internet.interface(name, f"198.18.{number}.1/24", f"2a00:{number}::1/64")
        machine.routes(**{"default": f"198.18.{number}.1", "::/0": f"2a00:{number}::1"})

    def _write(self, folder: Path, kill_switch: bool) -> None:
        common = {"cluster": "acme", "mask": "255.255.255.0", "gateway": "10.0.1.254"}
        members = [
            {**common, "identity": name, "ciders": ciders}
            | {"private_ip": f"10.0.1.{number}", "private_ip6": f"fd00:1::{number}/64"}
            for name, (number, ciders) in MEMBERS.items()
        ]
        (folder / "routes.json").write_text(json.dumps(members))
        (folder / "server.toml").write_text(SERVER_TOML)
        hosts = {"host": HOST.format(kill_switch=json.dumps(kill_switch)), "way-out": "offer_exit = true"}
        for identity, host in hosts.items():
            write_client_toml(folder, identity, host)

    def _ready(self, name: str, machine: Machine, folder: Path) -> Ready:
        ready = Ready(name, machine, folder)
        self.callback(ready.close)
        return ready
