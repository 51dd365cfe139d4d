"""A real `rustun serve` with its web process."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.admin.control_client import read_status

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
WAIT_SECONDS = 60.0  # never reached unless something hangs
TOKEN = "0123456789abcdef0123456789ABCDEF"
SERVER_TOML = """
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "marked-secret-of-32-bytes-length"
[route_config]
routes_file = "routes.json"
[admin_config]
metrics_listen = "127.0.0.1:0"
[dashboard_config]
token_file = "read.token"
"""
STARTED = re.compile(r"the web process runs \(pid (\d+)\)")
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")


class Server:
    """A running server, killed at the end."""

    def __init__(self, folder: Path) -> None:
        (folder / "server.toml").write_text(SERVER_TOML)
        (folder / "routes.json").write_text("[]")
        (folder / "read.token").write_text(TOKEN)
        (folder / "read.token").chmod(0o600)
        self.socket = folder / "s.sock"
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun", "serve", "--control", "s.sock"]
        self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        self._watchdog = threading.Timer(WAIT_SECONDS, self.process.kill)
        self._watchdog.start()
        self.log = ""

    def wait_for(self, pattern: re.Pattern[str]) -> str:
        """Read the log up to the next line with a pattern, and return its first group."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.log += line
            if found := pattern.search(line):
                return found[1]
        raise AssertionError(f"ended after {self.log}")

    def close(self) -> None:
        """Kill it."""
        self.process.kill()
        self._watchdog.cancel()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server whose web process is being started."""
    made = Server(tmp_path)
    yield made
    made.close()


def scrape(place: str, token: str = TOKEN) -> str:
    """Return the figures."""
    request = urllib.request.Request(f"{place}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        return str(answer.read(), "utf-8")


def test_killing_it_costs_the_tunnel_nothing(server: Server) -> None:
    """The tunnel ends, counts something, or stays without figures because its web process was killed."""
    pid, place = int(server.wait_for(STARTED)), server.wait_for(LISTENING)
    assert 'rustun_members{state="online"} 0.0' in scrape(place)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        scrape(place, "wrong-token-wrong-token")
    before = read_status(server.socket)
    os.kill(pid, signal.SIGKILL)
    again, place = int(server.wait_for(STARTED)), server.wait_for(LISTENING)
    assert again != pid
    assert "rustun_members" in scrape(place)
    after = read_status(server.socket)
    assert "killed by SIGKILL" in server.log
    for key in ("drops", "closes", "members", "online", "pending", "pid", "alarms"):
        assert after[key] == before[key], key


def test_it_has_no_power(server: Server) -> None:
    """Whoever takes the web process over is root."""
    pid = int(server.wait_for(STARTED))
    server.wait_for(LISTENING)
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)


def test_it_ends_with_its_tunnel(server: Server) -> None:
    """A web process outlives a server that was killed, and shows its last figures for ever."""
    pid = int(server.wait_for(STARTED))
    server.wait_for(LISTENING)
    handle = os.pidfd_open(pid)
    try:
        server.process.kill()
        assert select.select([handle], [], [], WAIT_SECONDS)[0], "still there"
    finally:
        os.close(handle)


def test_a_stop_takes_both(server: Server) -> None:
    """A stop leaves the web process, or waits for it longer than service managers were promised."""
    pid = int(server.wait_for(STARTED))
    server.wait_for(LISTENING)
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=2)
    assert server.process.returncode == 0
    assert not Path(f"/proc/{pid}").exists()


def test_a_reload_brings_another_token(server: Server) -> None:
    """A token that was given away opens the dashboard until the next restart."""
    server.wait_for(STARTED)
    place = server.wait_for(LISTENING)
    (server.socket.parent / "read.token").write_text(TOKEN[::-1])
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(STARTED)
    place = server.wait_for(LISTENING)
    assert "rustun_members" in scrape(place, TOKEN[::-1])
    with pytest.raises(urllib.error.HTTPError, match="401"):
        scrape(place)


def test_a_dashboard_without_a_token_is_refused(tmp_path: Path) -> None:
    """--dashboard opens a dashboard for everybody, or one for nobody."""
    (tmp_path / "server.toml").write_text(SERVER_TOML.partition("[admin_config]")[0])
    (tmp_path / "routes.json").write_text(json.dumps([]))
    command = [sys.executable, "-m", "rustun", "serve", "--dashboard", "127.0.0.1:0"]
    done = subprocess.run(
        command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    assert done.returncode == 78
    assert "rustun keygen --token" in done.stderr
