"""Real programs inside nodes: start, watch, stop; and the status documents of rustun's control sockets.

Rules of this module
  1. A program is started from inside its node's namespace and gets a session of its own, so that the terminal's
     Ctrl-C reaches the laboratory first.
  2. Waiting is for an event (a line, a descriptor, an end) with a deadline. A process is watched by a pidfd.
  3. What a program prints goes to a log file; what it *says* for us to act on comes by status document, by JSON on its
     standard output, or as to a service manager (readiness.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import IO, Any, Final

from netlab.errors import ExpectationFailed
from netlab.namespaces import NetworkNamespace
from netlab.waiting import readable

CHECKOUT: Final = Path(__file__).resolve().parent.parent
STATUS_SECONDS: Final = 2.0
LOG_TAIL_LINES: Final = 10
LOAD: Final = "netlab.bench.load"
Document = dict[str, Any]


def environment() -> dict[str, str]:
    """Return the environment of children: this checkout's packages first, no colour, output as it comes."""
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _popen(
    namespace: NetworkNamespace,
    command: Sequence[str],
    cwd: Path,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    more: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[bytes]:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment(), **more},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    return namespace.run(start)


class NodeProcess:
    """A program that runs in a node until it ends or is stopped; its output goes to `log`.

    Args:
        label: for messages.
        namespace: of the node.
        command: the program and its arguments.
        cwd: where it runs.
        log: file that its words are appended to.
        more: variables of its environment, beside the usual.
    """

    def __init__(
        self,
        label: str,
        namespace: NetworkNamespace,
        command: Sequence[str],
        cwd: Path,
        log: Path,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.label = label
        self.log = log
        with log.open("ab") as output:
            self._process = _popen(namespace, command, cwd, output, output, more)
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """Its process id in the laboratory's pid namespace."""
        return self._process.pid

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the process ends."""
        return self._pidfd

    def ended(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; harmless when the process has ended."""
        self._process.send_signal(number)

    def wait(self, deadline: float) -> int | None:
        """Wait for its end until `deadline` (monotonic seconds); return the exit code, or None when it still runs."""
        readable((self._pidfd,), deadline - monotonic())
        return self.ended()

    def reap(self, deadline: float) -> int | None:
        """Like `wait`, but kill it at the deadline; None says that this was necessary. Of no use afterwards."""
        code = self.wait(deadline)
        if code is None:
            self._process.kill()
            self._process.wait()
        os.close(self._pidfd)
        return code

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


class Measurement:
    """A load program whose results are lines of JSON on its standard output."""

    def __init__(self, namespace: NetworkNamespace, arguments: Sequence[str], program: str = LOAD) -> None:
        self._label = " ".join(arguments)
        command = [sys.executable, "-m", program, *arguments]
        self._process = _popen(namespace, command, CHECKOUT, subprocess.PIPE, subprocess.PIPE)

    def line(self, deadline: float) -> Document:
        """Wait for the next line. Raises ExpectationFailed when none comes before `deadline` (monotonic seconds)."""
        output: IO[bytes] | None = self._process.stdout
        assert output is not None
        if not readable((output,), deadline - monotonic()):
            self.stop()
            raise ExpectationFailed(f"load {self._label}: nothing came back in time")
        line = output.readline()
        if not line:
            raise ExpectationFailed(f"load {self._label}: ended early", self._complaint())
        document: Document = json.loads(line)
        return document

    def pin(self, cores: set[int]) -> None:
        """Let it run on these cores only."""
        os.sched_setaffinity(self._process.pid, cores)

    def finish(self, deadline: float) -> None:
        """Wait for its end. Raises ExpectationFailed when it fails or is late."""
        try:
            code = self._process.wait(max(0.0, deadline - monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
            raise ExpectationFailed(f"load {self._label}: did not end in time") from None
        if code:
            raise ExpectationFailed(f"load {self._label}: exit code {code}", self._complaint())
        self.stop()

    def stop(self) -> None:
        """End it and let go of its pipes; a second call is harmless."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _complaint(self) -> str:
        self._process.kill()
        return (self._process.stderr.read() if self._process.stderr else b"").decode(errors="replace").strip()[-400:]


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scheduled_seconds(pid: int) -> tuple[float, float]:
    """Return for how long a process's first thread had a core, and for how long it waited for one (Linux, proc(5))."""
    running, waiting, _slices = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(running) / 1e9, int(waiting) / 1e9


def resident_bytes(pid: int, *, most: bool = False) -> int:
    """Return a process's resident memory, now or the most that it ever was."""
    name = "VmHWM:" if most else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0
