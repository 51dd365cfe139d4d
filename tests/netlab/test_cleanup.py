"""`rustun cleanup` after a client that was killed, as a person types it and as systemd calls it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from netlab.worlds.host_picture import assert_same, host_picture, settle
from netlab.worlds.running import ENVIRONMENT, HANG_S, PORT, RUSTUN, SERVER, Site
from rustun.backends.capabilities import CAP_NET_ADMIN, PR_CAPBSET_DROP
from rustun.backends.process import prctl
from tests.netlab.private_namespace import in_private_namespace

CLIENT_TOML = f"""
identity = "m0"
servers = [{{ address = "{SERVER}:{PORT}" }}]
[crypto_config]
chacha20poly1305 = "marked-secret-of-32-bytes-length"
[host_config]
gateway = ["192.168.2.0/24"]
names = "hosts"
exit_node = "m1"
kill_switch = true
"""


def cleanup(folder: Path, *options: str, service_result: str = "") -> subprocess.CompletedProcess[str]:
    """Run `rustun cleanup` to its end, by hand or as ExecStopPost."""
    environment = {**ENVIRONMENT, "SERVICE_RESULT": service_result} if service_result else ENVIRONMENT
    command = [*RUSTUN, "cleanup", "--state-dir", str(folder / "client.state"), *options]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG_S, check=False
    )


@in_private_namespace
def test_what_a_killed_client_left_is_taken_off() -> None:
    """If this fails, a crash leaves a host forwarding, misrouted or mute, and nobody has a command against it."""
    with Site() as site:
        site.write_members("0.0.0.0/0")
        site.serve()
        (site.folder / "client.toml").write_text(CLIENT_TOML)
        (site.folder / "client.toml").chmod(0o600)
        settle()
        before = host_picture()
        client = site.connect_with("client.toml")
        site.until(lambda: site.ip.get_routes(table=114, family=2))
        client.until_online()
        assert socket.gethostbyname("m1.rustun") == "10.0.1.2"
        running = cleanup(site.folder, "--device", "rustun0")
        assert (running.returncode, running.stdout) == (1, "")
        assert "running client" in running.stderr
        assert client.end(signal.SIGKILL) == -signal.SIGKILL
        site.until(lambda: not site.index("rustun0"))
        assert any("kill_switch" in line for line in host_picture())

        crashed = cleanup(site.folder, service_result="signal")
        assert crashed.returncode == 0, crashed.stderr
        assert "the kill switch of rustun0 stands" in crashed.stderr
        left = [line for line in host_picture() if line not in before]
        assert all(line.startswith("nft ") for line in left), left

        done = cleanup(site.folder, "--json")
        assert done.returncode == 0, done.stderr
        [found] = json.loads(done.stdout)["devices"]
        assert (found["device"], found["left"], found["running"]) == ("rustun0", [], False)
        assert found["done"] == ["nft delete table inet rustun-rustun0"]
        assert_same(before, host_picture())
        again = cleanup(site.folder)
        assert (again.returncode, again.stdout) == (0, "nothing of a client that ended is left here\n")


@in_private_namespace
def test_who_may_not_is_told_so() -> None:
    """If this fails, an ordinary user is told that a host is clean, who cannot see whether it is."""
    with TemporaryDirectory() as folder:
        prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN)  # gone after an exec, also for root
        done = cleanup(Path(folder))
        assert (done.returncode, done.stdout) == (77, "")
        assert done.stderr.startswith("rustun cleanup: no permission")
