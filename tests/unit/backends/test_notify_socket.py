"""The service manager's socket, played by a real one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustun.backends.notify_socket import MAX_NAME_BYTES, NotifySocket


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager that listens on `tmp_path`/notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(10)
        yield made


def taken(environ: dict[str, str]) -> NotifySocket:
    found = NotifySocket.take_from(environ)
    assert found is not None
    return found


def test_each_message_is_a_datagram(tmp_path: Path, manager: socket.socket) -> None:
    """systemd reads half of a message, or two as one."""
    notify = taken({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert notify.send("READY=1\nSTATUS=Zürich") and notify.send("WATCHDOG=1")
    assert [manager.recv(4096), manager.recv(4096)] == ["READY=1\nSTATUS=Zürich".encode(), b"WATCHDOG=1"]
    notify.close()
    notify.close()


def test_abstract_names() -> None:
    """A service in a container that has its service manager's socket without a file never gets ready."""
    name = f"rustun-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(10)
        notify = taken({"NOTIFY_SOCKET": f"@{name}"})
        assert notify.send("READY=1")
        assert manager.recv(4096) == b"READY=1"
        notify.close()


def test_children_do_not_inherit_it(tmp_path: Path, manager: socket.socket) -> None:
    """A program that this process runs speaks for it, or keeps it alive for the watchdog."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    notify = taken(environ)
    assert environ == {"HOME": "/"}
    assert not os.get_inheritable(notify._socket.fileno())
    notify.close()


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_often_a_sign_of_life_is_wanted(words: dict[str, str], seconds: float | None) -> None:
    """A service is killed for a watchdog that it did not know of, or speaks for another process."""
    notify = taken({"NOTIFY_SOCKET": "@somebody", **words})
    assert notify.watchdog_s == seconds
    notify.close()


@pytest.mark.parametrize("name", ["", "relative/path", "vsock:2:1234", "/" + "x" * MAX_NAME_BYTES])
def test_nobody_who_wants_to_be_told(name: str) -> None:
    """A process that nobody supervises, or by a way that is not known here, does not start."""
    environ = {"NOTIFY_SOCKET": name} if name else {}
    assert NotifySocket.take_from(environ) is None
    assert environ == {}


def test_a_service_manager_that_is_gone_stops_nothing(tmp_path: Path, manager: socket.socket) -> None:
    """The tunnel ends with the program that started it."""
    notify = taken({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    manager.close()
    assert notify.send("WATCHDOG=1")
    (tmp_path / "notify").unlink()
    assert notify.send("WATCHDOG=1")
    notify.close()


def test_a_full_queue_is_no_wait(tmp_path: Path, manager: socket.socket) -> None:
    """A service manager that does not read stops every packet."""
    notify = taken({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    sent = 0
    while notify.send(f"STATUS={sent}"):
        sent += 1
    assert manager.recv(4096) == b"STATUS=0"
    assert notify.send("STATUS=again")
    notify.close()
