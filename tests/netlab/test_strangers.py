"""A real server and strangers at its port: too few descriptors, and bad handshakes by the thousand.

`./invoke soak` sends 100,000 of them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from pyroute2 import IPRoute

from netlab.bench import crowd
from netlab.bench.newcomers import Arrivals, Newcomer
from netlab.bench.strangers import Strangers, first_frame, run
from netlab.processes import resident_bytes
from netlab.worlds.running import RUSTUN, Running
from rustun.config.keys import encode_key
from rustun.protocol.suites import public_key
from tests.netlab.private_namespace import in_private_namespace

PORT: Final = 8080
DESCRIPTORS: Final = 300
WARM_UP: Final = 2000
BAD_HANDSHAKES: Final = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 4000
PER_RUN: Final = 1000
SOURCES: Final = 500
FLAT_BYTES: Final = 2 << 20  # the tables of 500 sources, and what the allocator keeps
PATIENCE_S: Final = 20.0  # only reached where something is wrong
LIMITED: Final = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", *RUSTUN]
SERVER_KEY: Final = crowd.private_key(-1)


@contextmanager
def server_with_few_descriptors() -> Iterator[Running]:
    """Run a server of the key tier on loopback that may open 300 files; it has one member."""
    with TemporaryDirectory() as name, IPRoute() as ip:
        ip.link("set", index=1, state="up")
        folder = Path(name)
        key_file = folder / "server.key"
        key_file.touch(0o600)
        key_file.write_text(encode_key(SERVER_KEY.private_bytes_raw()))
        (folder / "routes.json").write_text("[]")
        crowd.extend(folder / "routes.json", 1)
        (folder / "server.toml").write_text(
            f'[server_config]\nlisten_addr = "127.0.0.1:{PORT}"\n[security_config]\nprivate_key_file = "server.key"\n'
            '[route_config]\nroutes_file = "routes.json"\n'
        )
        server = Running("server", folder, ["serve"], program=LIMITED)
        try:
            yield server
        finally:
            server.kill()


def newcomer() -> Newcomer:
    """Return the one member."""
    (only,) = crowd.newcomers(public_key(SERVER_KEY), 1)
    return only


def comes_in() -> bool:
    """Tell whether the member gets a session now, from an address that nobody else uses."""
    inside = Arrivals(PORT, [newcomer()]).run(monotonic() + PATIENCE_S)
    for one in inside:
        one.start_over()
    return bool(inside)


@in_private_namespace
def test_row_6_a_server_without_descriptors_goes_on() -> None:
    """Row 6. A crowd of silent connections stops accepting for good, or leaves an operator without a status."""
    with server_with_few_descriptors() as server:
        silent = []
        for number in range(2 * DESCRIPTORS):
            stream = socket.create_connection(("127.0.0.1", PORT), PATIENCE_S, (f"127.3.0.{number % 100 + 1}", 0))
            stream.send(b"\x91")
            silent.append(stream)
        server.until_logged("cannot accept")
        assert server.status()["pending"] > DESCRIPTORS // 2
        assert comes_in(), server.log
        for stream in silent:
            stream.close()
        assert server.until(lambda status: status["pending"] == 0)["closes"]["crowded-out"]


def send_bad(count: int) -> None:
    """Send so many bad handshakes, half of them foreign and half of them forged, and see all of them refused."""
    for number in range(count // PER_RUN):
        frame = first_frame(("foreign", "forged")[number % 2], public_key(SERVER_KEY))
        with closing(Strangers(PORT, frame, SOURCES)) as strangers:
            while strangers.begun < PER_RUN:
                run(strangers, 0, 0.01)
            assert strangers.refused == strangers.begun, "somebody was not closed"


@in_private_namespace
def test_row_36_bad_handshakes_leave_nothing_behind() -> None:
    """Row 36. Memory or descriptors grow with every bad handshake: 300 descriptors are there for all of them."""
    with server_with_few_descriptors() as server:
        send_bad(WARM_UP)
        before = resident_bytes(server.process.pid)
        send_bad(BAD_HANDSHAKES)
        grown = resident_bytes(server.process.pid) - before
        assert grown < FLAT_BYTES, f"{grown:,} bytes"
        status = server.until(lambda status: status["pending"] == 0)
        assert comes_in(), server.log
        closes = status["closes"]
        assert closes["envelope"] >= BAD_HANDSHAKES // 2
        assert closes["handshake-failed"] >= BAD_HANDSHAKES // 4
