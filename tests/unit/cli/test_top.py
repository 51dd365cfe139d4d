"""`rustun top` on a pseudo-terminal: what is shown, which keys end it, and what is left of the terminal after it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rustun.cli import main
from tests.unit.cli.test_status import Answering

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 30.0  # never reached unless something hangs
OTHER_SCREEN, OWN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
CURSOR = "\x1b[?25h"
# Makes standard input the terminal that Ctrl-C and Ctrl-Z of this process come from.
LOGIN = "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


def status(cluster: str, member: str, since: str) -> dict[str, Any]:
    """Return what a relay with two members tells."""
    one = {"cluster": "beijing", "address": "10.0.1.2", "state": "online", "rtt_ms": 1.0, "drops": {}, "age_s": 5.0}
    rates = {"bj-busy": 1_000_000, "bj-quiet": 0}
    now = {name: {"received_bytes_per_s": rate, "sent_bytes_per_s": 0} for name, rate in rates.items()}
    sessions = [{**one, "identity": name, **now[name]} for name in now]
    return {"members": 2, "online": 2, "sent_bytes_per_s": 0, "sessions": sessions, "offline": []}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Answering]:
    one = Answering(tmp_path / "server.sock", "server", status)
    yield one
    one.stop()


class Terminal:
    """A terminal of 80 columns and 24 lines with `rustun top` on it."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(theirs)
        command = [sys.executable, "-c", LOGIN, "-m", "rustun", "top", "--control", str(path), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        self._theirs = theirs  # kept, so that its modes can be read when the process is gone
        self.text = ""

    def until(self, words: str) -> None:
        """Read until these words were shown since the last call."""
        deadline = time.monotonic() + WAIT_SECONDS
        start = len(self.text)
        while words not in self.text[start:]:
            assert select.select([self._ours], [], [], max(deadline - time.monotonic(), 0.0))[0], self.text[start:]
            self.text += os.read(self._ours, 65_536).decode()

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def ended(self) -> int:
        """Return the exit code, once all that was written is read."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.process.poll() is None or select.select([self._ours], [], [], 0.0)[0]:
            assert time.monotonic() < deadline
            if select.select([self._ours], [], [], 0.05)[0]:
                self.text += os.read(self._ours, 65_536).decode()
        assert self.process.returncode is not None
        return self.process.returncode

    def is_restored(self) -> bool:
        """Tell whether screen, cursor and modes are as before."""
        screens = re.findall(r"\x1b\[\?1049[hl]", self.text)
        same = termios.tcgetattr(self._theirs) == self.modes
        return same and screens[-1:] == [OWN_SCREEN] and self.text.rfind(CURSOR) > self.text.rfind("\x1b[?25l")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for descriptor in (self._ours, self._theirs):
            os.close(descriptor)


@pytest.fixture
def terminal(server: Answering) -> Iterator[Terminal]:
    one = Terminal(server.path, "--interval", "0.2")
    yield one
    one.close()


@pytest.mark.parametrize("key", ["q", "\x03", "\x04", "\x1b"])
def test_a_key_ends_it_and_the_terminal_is_as_before(terminal: Terminal, key: str) -> None:
    """Who has looked at `rustun top` has a terminal that shows nothing of what is typed, or no cursor."""
    terminal.until("bj-quiet")
    assert OTHER_SCREEN in terminal.text
    assert terminal.text.index("bj-busy") < terminal.text.index("bj-quiet")
    terminal.press(key)
    assert terminal.ended() == 0
    assert terminal.is_restored()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_before(terminal: Terminal, number: signal.Signals) -> None:
    """Who closes a connection, or ends the process, has a terminal that cannot be used any more."""
    terminal.until("bj-quiet")
    terminal.process.send_signal(number)
    assert terminal.ended() == 128 + number
    assert terminal.is_restored()


def test_keys_change_the_order(terminal: Terminal) -> None:
    """The line at the bottom promises keys that do nothing."""
    terminal.until("bj-quiet")
    terminal.press("m")
    terminal.press("m")  # turned round
    terminal.until("bj-busy")
    terminal.press("\x1b[A")
    terminal.press("\x1a")  # Ctrl-Z, which nobody could take back
    terminal.until("bj-busy")
    screen = terminal.text.rsplit("members online", 1)[1]
    assert screen.index("bj-quiet") < screen.index("bj-busy")
    terminal.press("q")
    assert terminal.ended() == 0


def test_a_process_that_ends_is_shown_as_such(server: Answering, terminal: Terminal) -> None:
    """The last look at a process that died passes for the present, or the terminal is left in disorder by an error."""
    terminal.until("bj-quiet")
    server.stop()
    terminal.until("no control socket at")
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.is_restored()


def test_once_for_a_pipe(server: Answering) -> None:
    """A script that wants the busiest members gets terminal codes, or has to have a terminal."""
    result = CliRunner().invoke(main, ["top", "--once", "--interval", "0.2", "--control", str(server.path)])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["bj-busy", "bj-quiet"]
    assert "\x1b" not in result.stdout


def test_without_a_terminal(server: Answering) -> None:
    """In a pipe it runs for ever, or writes screens into a file."""
    result = CliRunner().invoke(main, ["top", "--control", str(server.path)])
    assert result.exit_code == 2
    assert "--once" in result.stderr
