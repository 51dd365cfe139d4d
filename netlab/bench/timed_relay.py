"""A relay of its own for one measurement: on loopback, with members of the crowd, its loop timed by `timed_server`."""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.bench import crowd
from netlab.bench.newcomers import Arrivals, Newcomer
from netlab.processes import CHECKOUT, environment
from netlab.statuses import read_status
from rustun.config.keys import encode_key
from rustun.protocol.suites import public_key

START_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.02


class TimedRelay:
    """A running relay, seen from outside.

    Attributes:
        process: to be signalled and accounted for.
        folder: where its `routes.json` and its `log` are.
        control: its control socket.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path, port: int, key: X25519PrivateKey) -> None:
        self.process = process
        self.folder = folder
        self.control = folder / "control"
        self._port = port
        self._key = key

    def let_in(self, members: int, seconds: float = START_SECONDS) -> list[Newcomer]:
        """Let the crowd's first members in; return them in its order. Raises: RuntimeError: somebody is missing."""
        arrivals = Arrivals(self._port, crowd.newcomers(public_key(self._key), members))
        inside = {one.identity: one for one in arrivals.run(monotonic() + seconds)}
        if len(inside) != members:
            raise RuntimeError(f"only {len(inside)} of {members} came in")
        return [inside[crowd.identity(number)] for number in range(members)]

    def forget_steps(self) -> None:
        """Measure the loop's steps from now on."""
        self.process.send_signal(signal.SIGUSR1)

    def end(self) -> dict[str, float]:
        """Stop the relay and return what it says of its steps."""
        self.process.send_signal(signal.SIGTERM)
        steps: dict[str, float] = json.loads(self.process.communicate(timeout=START_SECONDS)[0])
        return steps


@contextmanager
def timed_relay(members: int) -> Iterator[TimedRelay]:
    """Run a relay that knows so many members of the crowd until the context ends.

    Raises: RuntimeError, with what the relay logged: it did not start.
    """
    key = X25519PrivateKey.generate()
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        port = _configure(folder, key, members)
        relay = TimedRelay(_start(folder), folder, port, key)
        try:
            _wait_until_it_answers(relay)
            yield relay
        finally:
            relay.process.kill()
            relay.process.wait()


def _configure(folder: Path, key: X25519PrivateKey, members: int) -> int:
    """Write the relay's files; return its port on loopback."""
    key_file = folder / "server.key"
    key_file.touch(0o600)
    key_file.write_text(encode_key(key.private_bytes_raw()))
    (folder / "routes.json").write_text(json.dumps(list(crowd.routes(members))))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    (folder / "server.toml").write_text(
        f'[server_config]\nlisten_addr = "127.0.0.1:{port}"\n[security_config]\nprivate_key_file = "server.key"\n'
        '[route_config]\nroutes_file = "routes.json"\n[limit_config]\nrekey_interval_seconds = 1.0\n'
    )
    return port


def _start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netlab.bench.timed_server", str(folder / "server.toml"), str(folder / "control")]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            command, cwd=CHECKOUT, env=environment() | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip


def _wait_until_it_answers(relay: TimedRelay) -> None:
    deadline = monotonic() + START_SECONDS
    while read_status(relay.control) is None:
        if relay.process.poll() is not None or monotonic() > deadline:
            raise RuntimeError((relay.folder / "log").read_text())
        select.select((), (), (), LOOK_SECONDS)
