"""iperf3 as a second opinion: the same load from a program that others know, between the same two nodes."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from time import monotonic
from typing import Any, Final

from netlab.bench.measure import GRACE_SECONDS, Path
from netlab.errors import ExpectationFailed
from netlab.lab import Laboratory

GIGA: Final = 1e9
PROGRAM: Final = "iperf3"
READ_BYTES: Final = 4096


def throughput(lab: Laboratory, path: Path, *, streams: int, seconds: float) -> float:
    """Return the Gbit/s that arrive over TCP. Raises ExpectationFailed with what iperf3 says when it fails.

    Each run has a server of its own, for one client: one that lost its client hangs the next (iperf3 3.12).
    """
    length = ceil(seconds)  # it takes whole seconds, and 0 for no end
    deadline = monotonic() + length + GRACE_SECONDS
    server = _start(lab, path.receiver, ["--server", "--one-off", "--forceflush"])
    try:
        _await_listening(server, deadline)
        arguments = ["--client", path.address, "--time", str(length), "--parallel", str(streams), "--json"]
        client = _start(lab, path.sender, arguments)
        try:
            said, _ = client.communicate(timeout=max(0.0, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            raise ExpectationFailed(f"{PROGRAM}: did not end in time") from None
        finally:
            _end(client)
    finally:
        _end(server)
    return received_gigabits(said)


def received_gigabits(said: str) -> float:
    """Return the Gbit/s of the receiver in iperf3's JSON. Raises ExpectationFailed where it has none."""
    try:
        document: dict[str, Any] = json.loads(said)
    except ValueError:
        raise ExpectationFailed(f"{PROGRAM}: no JSON came", said.strip()[-200:]) from None
    if complaint := document.get("error"):
        raise ExpectationFailed(f"{PROGRAM}: {complaint}")
    try:
        return float(document["end"]["sum_received"]["bits_per_second"]) / GIGA
    except (KeyError, TypeError, ValueError):
        raise ExpectationFailed(f"{PROGRAM}: its JSON has no end.sum_received.bits_per_second") from None


def _start(lab: Laboratory, node: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    def inside() -> subprocess.Popen[str]:
        output = subprocess.PIPE
        return subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=output, text=True)

    return lab.namespaces[node].run(inside)


def _await_listening(server: subprocess.Popen[str], deadline: float) -> None:
    assert server.stdout is not None
    output = server.stdout.fileno()
    said = b""
    while b"listening" not in said:
        if not select.select((output,), (), (), max(0.0, deadline - monotonic()))[0]:
            break
        if not (more := os.read(output, READ_BYTES)):
            break
        said += more
    else:
        return
    raise ExpectationFailed(f"{PROGRAM}: its server does not listen")


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    with suppress(ValueError):  # its pipe was read to the end before
        process.communicate()
