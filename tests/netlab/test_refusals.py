"""What a host does not give: rights, devices, ports, files, room for a log. Row 34 of the table of faults."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from pyroute2 import IPRoute

from netlab.worlds.running import ENVIRONMENT, HANG_S, KEY, RUSTUN
from rustun.admin.control_client import read_status
from rustun.errors import HostError
from tests.netlab.private_namespace import in_private_namespace

IN_CREATE = 0x100
PR_CAPBSET_DROP, CAP_NET_ADMIN = 24, 12  # a right that is gone after an exec, also for root
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
CONNECT = ("connect", "-s", "127.0.0.1:1", "-i", "m0", "--crypto-file", "key", "--control", "c.sock",
           "--state-dir", "state")  # fmt: skip
SERVER_TOML = f"""
[server_config]
listen_addr = "127.0.0.1:8080"
[crypto_config]
chacha20poly1305 = "{KEY}"
[route_config]
routes_file = "routes.json"
"""


def enter_folder() -> TemporaryDirectory[str]:
    """Move to a new folder with a server.toml, an empty routes.json and a key."""
    folder = TemporaryDirectory()
    os.chdir(folder.name)
    Path("server.toml").write_text(SERVER_TOML)
    Path("routes.json").write_text(json.dumps([]))
    Path("key").write_text(f"chacha20:{KEY}\n")
    Path("key").chmod(0o600)
    return folder


def ended(*arguments: str) -> tuple[int, list[str]]:
    """Run rustun to its end; return exit code and what it said, which is never a traceback."""
    done = subprocess.run(
        [*RUSTUN, *arguments], env=ENVIRONMENT, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr
    return done.returncode, done.stderr.splitlines()


def bring_loopback_up() -> None:
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")


@in_private_namespace
def test_no_right_to_make_a_device() -> None:
    """If this fails, a user without rights does not learn which, nor the two ways to get it."""
    with enter_folder():
        assert ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0) == 0
        code, said = ended(*CONNECT)
    assert code == 77
    assert said[-2:] == [
        "rustun connect: no permission to create a TUN device",
        "  run it as root (sudo rustun connect ...), or from a service with AmbientCapabilities=CAP_NET_ADMIN",
    ]


@in_private_namespace
def test_no_tun_device_on_the_host() -> None:
    """If this fails, a container without /dev/net/tun says something that nobody can act on."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    assert libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) == 0, os.strerror(ctypes.get_errno())
    assert libc.mount(b"none", b"/dev/net", b"tmpfs", 0, None) == 0, os.strerror(ctypes.get_errno())
    with enter_folder():
        code, said = ended(*CONNECT)
    assert code == 77
    assert "rustun connect: no TUN device on this host (/dev/net/tun: No such file or directory)" in said
    assert "modprobe tun" in said[-1]
    assert "--device /dev/net/tun" in said[-1]


@in_private_namespace
def test_port_taken() -> None:
    """If this fails, whoever starts a second server is not told how to find the first."""
    bring_loopback_up()
    with enter_folder(), socket.socket() as first:
        first.bind(("127.0.0.1", 8080))
        first.listen()
        code, said = ended("serve", "--control", "s.sock")
        assert not Path("s.sock").exists()
    assert code == 1
    assert "127.0.0.1:8080" in said[-2]
    assert "ss -ltnp 'sport = :8080'" in said[-1]


@in_private_namespace
def test_missing_configuration_and_open_key_file() -> None:
    """If this fails, a missing file or a key that all can read ends with the wrong code, or without the command."""
    with enter_folder():
        code, said = ended("connect", "--config", "client.toml")
        assert (code, "client.toml" in said[0]) == (78, True)
        code, said = ended("serve", "no-such.toml")
        assert (code, "no-such.toml" in said[0]) == (78, True)
        Path("key").chmod(0o644)
        code, said = ended(*CONNECT)
        assert code == 78
        assert any("chmod 600 " in line and "key" in line for line in said), said


@in_private_namespace
def test_no_room_for_the_log() -> None:
    """If this fails, a full disk ends a relay and all its tunnels, or its clean stop looks like a failure."""
    bring_loopback_up()
    with enter_folder(), open("/dev/full", "w") as full:
        inotify = ctypes.CDLL(None).inotify_init1(os.O_CLOEXEC)
        assert ctypes.CDLL(None).inotify_add_watch(inotify, b".", IN_CREATE) == 1
        server = subprocess.Popen([*RUSTUN, "serve", "--control", "s.sock", "-v"], env=ENVIRONMENT, stderr=full)
        ready, _, _ = select.select([inotify], [], [], HANG_S)
        os.close(inotify)
        assert ready, "no control socket"
        try:
            assert answer_of(server)["pid"] == server.pid
            server.send_signal(signal.SIGTERM)
            assert server.wait(HANG_S) == 0
        finally:
            server.kill()
            server.wait()


def answer_of(server: subprocess.Popen[bytes]) -> dict[str, object]:
    """Return the status of a server whose socket was made a moment ago, perhaps not yet listening."""
    while server.poll() is None:
        try:
            return read_status(Path("s.sock"))
        except HostError:
            continue
    raise AssertionError(f"the server ended with {server.returncode}")
