"""The web process as tests start it: the real one, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

from netlab.processes import environment

TOKEN = "reading-token-of-the-tests"
MANAGEMENT = "management-token-of-the-tests"
STOP_SECONDS = 20.0  # only reached where something hangs


class Dashboard:
    """A web process beside a control socket.

    Args:
        control: the socket that it asks.
        folder: for its configuration and its tokens.
    Attributes:
        url: where it is, once started; the same after another start.
        said: its log.
    """

    def __init__(self, control: Path, folder: Path) -> None:
        self.url = ""
        self.said: list[str] = []
        self._control = control
        self._config = folder / "web.toml"
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._listening = threading.Thread()
        for name, token in (("token", TOKEN), ("management", MANAGEMENT)):
            file = folder / f"{name}.token"
            file.write_text(f"{token}\n")
            file.chmod(0o600)
        self._config.write_text(
            '[dashboard_config]\ntoken_file = "token.token"\nmanagement_token_file = "management.token"\n'
        )

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "rustun.web", "--control", str(self._control), "--config", str(self._config)]
        command += ["--listen", f"127.0.0.1:{self._port}"]
        self._process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self._port = int(found[1])
                self.url = f"http://127.0.0.1:{self._port}"
                self._listening = threading.Thread(target=self.said.extend, args=(self._process.stderr,), daemon=True)
                self._listening.start()
                return
        raise AssertionError(f"it did not come up: {''.join(self.said)}")

    def stop(self) -> None:
        """End it; a second call is harmless."""
        if self._process is None or self._process.stderr is None:
            return
        self._process.terminate()
        self._process.wait(STOP_SECONDS)
        self._listening.join()
        self._process.stderr.close()
        self._process = None

    def processor_seconds(self) -> float:
        """Return what it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # user and system, in ticks of 10 ms
