"""A capture beside a laboratory of this process: a process of its own that reads the taps and writes the file.

Rules of this module
  1. The taps are opened here, inside the nodes, so the capture has begun when `Capture` is made; what the other process
     needs to start, the kernel keeps.
  2. It ends with its standard input, so also when this process dies; it finishes the file then.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from netlab.capture.recorder import Recorder, Tally
from netlab.capture.taps import OpenTaps, Wish, open_taps
from netlab.errors import BadInput, ExpectationFailed
from netlab.isolation.taps import Tap
from netlab.namespaces import NetworkNamespace
from netlab.processes import CHECKOUT, environment

END_SECONDS: Final = 10.0


class Capture:
    """A capture that runs until `close`.

    Args:
        wish: what to capture.
        namespaces: of its taps' nodes; needed here only.
        file: is made, or made anew.

    Raises:
        BadInput: the filter cannot be read, or the file not be written.
        EnvironmentLacks: the kernel refuses.
    """

    def __init__(self, wish: Wish, namespaces: Mapping[str, NetworkNamespace], file: Path) -> None:
        opened = open_taps(wish, namespaces)
        sockets = [*opened.sockets, *opened.watches.values()]
        order = {
            "taps": [(tap.node, tap.interface, tap.tunnel) for tap in wish.taps],
            "wish": [wish.filter, wish.snap_bytes, wish.comment, dict(wish.peers), wish.last_bytes],
            "sockets": [one.fileno() for one in opened.sockets],
            "watches": {node: watch.fileno() for node, watch in opened.watches.items()},
        }
        try:
            with new_file(file) as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "netlab.capture.process", str(output.fileno()), json.dumps(order)],
                    cwd=CHECKOUT,
                    env=environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=[output.fileno(), *(one.fileno() for one in sockets)],
                )
        finally:
            opened.close()

    def wait_until_read(self) -> None:
        """Wait until the other process has started and reads; only who measures what it costs has a need to."""
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def close(self) -> list[Tally]:
        """Finish the file and return what each tap received and lost.

        Raises:
            ExpectationFailed: the process has failed; the file holds what it had written until then.
        """
        try:
            answer, _ = self._process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            answer, _ = self._process.communicate()
        if self._process.returncode:
            raise ExpectationFailed(f"the capture ended with exit code {self._process.returncode}")
        return [Tally(*one) for one in json.loads(answer.splitlines()[-1])]


def new_file(path: Path) -> IO[bytes]:
    """Open a file for writing, made anew. Raises BadInput."""
    try:
        return path.open("wb", buffering=0)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}", "name a file in a folder that is there") from error


def _main(output: str, order: str) -> None:
    """Record what was opened until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the laboratory ends this one
    wanted = json.loads(order)
    taps = tuple(Tap(node, interface, tunnel=tunnel) for node, interface, tunnel in wanted["taps"])
    sockets = tuple(socket.socket(fileno=number) for number in wanted["sockets"])
    watches = {node: socket.socket(fileno=number) for node, number in wanted["watches"].items()}
    with Recorder(OpenTaps(Wish(taps, *wanted["wish"]), sockets, watches), int(output)) as recorder:
        print("reading", flush=True)
        tallies = recorder.record([sys.stdin.fileno()])
    os.close(int(output))
    print(json.dumps([(one.tap, one.received, one.dropped) for one in tallies]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
