"""`rustun serve` as a real process: start, answer, stop, and what must not be found in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.admin.control_client import read_status

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
RUSTUN = [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun"]
WAIT_SECONDS = 20.0  # never reached unless something hangs
KEY = "marked-secret-of-32-bytes-length"
SERVER_TOML = f"""
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "{KEY}"
[route_config]
routes_file = "routes.json"
"""
MEMBER = {
    "cluster": "beijing",
    "identity": "bj-dev",
    "private_ip": "10.0.1.2",
    "mask": "255.255.255.0",
    "gateway": "10.0.1.254",
    "ciders": [],
}


def run_to_end(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*RUSTUN, *arguments]
    return subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a server.toml and a routes.json of one member."""
    (tmp_path / "server.toml").write_text(SERVER_TOML)
    (tmp_path / "routes.json").write_text(json.dumps([MEMBER]))
    return tmp_path


class Server:
    """A `rustun serve` whose control socket is `s.sock`; killed at the end, or when it hangs."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "s.sock"
        command = [*RUSTUN, "serve", "--control", "s.sock"]
        self.process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        self._watchdog = threading.Timer(WAIT_SECONDS, self.process.kill)
        self._watchdog.start()
        self.log = ""
        while "control socket" not in self.log.rpartition("\n")[0].rpartition("\n")[2]:
            assert self.process.stderr is not None
            line = self.process.stderr.readline()
            assert line, f"ended after {self.log}"
            self.log += line

    def end(self) -> None:
        """Wait for the end of the process, whose rest of the log is in `log` then."""
        self.log += self.process.communicate(timeout=WAIT_SECONDS)[1]
        self._watchdog.cancel()

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.end()


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    started = Server(folder)
    yield started
    started.kill()


def test_serve_without_configuration(tmp_path: Path) -> None:
    """A first user who types `rustun serve` gets a traceback, or is not told which file is missing."""
    result = run_to_end("serve", folder=tmp_path)
    assert result.returncode == 78
    assert "server.toml" in result.stderr
    assert "/etc/rustun/server.toml" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("place", ["server.toml", "etc/server.toml"])
def test_serve_finds_its_configuration(tmp_path: Path, place: str) -> None:
    """The seed's way to start, in a folder with etc/server.toml, does not work."""
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("[nonsense]\n")
    result = run_to_end("serve", folder=tmp_path)
    assert result.returncode == 78
    assert f"{place}:1: " in result.stderr
    assert "nothing was started" in result.stderr


def test_serve_starts_answers_and_stops(server: Server) -> None:
    """The server does not start from the seed's two files, or cannot be asked, or does not stop within 2 s."""
    document = read_status(server.socket)
    assert (document["role"], document["pid"], document["members"]) == ("server", server.process.pid, 1)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(timeout=2.0)
    server.end()
    assert server.process.returncode == 0, server.log
    assert not server.socket.exists()


def test_a_key_is_not_in_log_or_status(server: Server) -> None:
    """The key of all members stands in a log file or a monitoring system."""
    shown = json.dumps(read_status(server.socket))
    server.process.send_signal(signal.SIGTERM)
    server.end()
    assert KEY not in shown + server.log


def test_a_second_server_names_the_first(server: Server, folder: Path) -> None:
    """Two servers fight over one control socket, or the second does not say which process runs."""
    second = run_to_end("serve", "--control", "s.sock", folder=folder)
    assert second.returncode == 1
    assert f"already running (pid {server.process.pid})" in second.stderr
    assert read_status(server.socket)["pid"] == server.process.pid


def test_after_a_crash_it_starts_again(server: Server, folder: Path) -> None:
    """A killed server leaves a socket file that keeps the next one from starting."""
    server.kill()
    assert server.socket.exists()
    again = Server(folder)
    assert read_status(again.socket)["pid"] == again.process.pid
    again.kill()


def test_no_core_file_of_a_server(server: Server) -> None:
    """A crash writes every key into a core file."""
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]


def test_a_server_loads_only_what_it_uses() -> None:
    """A relay's resident memory grows by netlink, tables and the client's code."""
    script = (
        "import sys; import rustun.cli.serve;"
        "unwanted = {'pyroute2', 'rich', 'asyncio', 'scapy', 'invoke', 'jinja2', 'logging'};"
        "found = sorted(unwanted & {m.split('.')[0] for m in sys.modules}) + [m for m in sys.modules"
        " if m.startswith(('rustun.client', 'rustun.ops', 'rustun.backends.host_network'))]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=True)


def audit_into(folder: Path, file: str) -> None:
    (folder / "server.toml").write_text(f'{SERVER_TOML}[admin_config]\naudit_file = "{file}"\n')


def test_a_server_keeps_its_audit_log(folder: Path) -> None:
    """The audit log of a server lacks its beginning or its end, or what happened last."""
    audit_into(folder, "audit.jsonl")
    server = Server(folder)
    server.process.send_signal(signal.SIGTERM)
    server.end()
    assert server.process.returncode == 0, server.log
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["started", "routes-loaded", "stopped"]
    assert lines[0]["pid"] == server.process.pid
    assert lines[1]["members"] == 1


def test_a_server_without_a_place_for_its_audit_log(folder: Path) -> None:
    """A mistyped folder keeps the relay from starting or stopping, or nobody is told of it."""
    audit_into(folder, "none/audit.jsonl")
    server = Server(folder)
    while "audit-unwritable" not in server.log:
        assert server.process.stderr is not None
        server.log += server.process.stderr.readline()
    alarms = read_status(server.socket)["alarms"]
    assert isinstance(alarms, list) and len(alarms) == 1
    assert "none/audit.jsonl cannot be written: No such file" in str(alarms[0])
    server.process.send_signal(signal.SIGTERM)
    server.end()
    assert server.process.returncode == 0, server.log
    assert "3 lines are lost" in server.log
