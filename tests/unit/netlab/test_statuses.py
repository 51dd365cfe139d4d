"""Status documents of many processes at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from netlab.statuses import read_statuses

ANSWERS = {"good": b'{"online": 3}\n', "list": b"[1]\n", "garbled": b"{", "silent": b""}


def serve(listener: socket.socket, answer: bytes) -> None:
    """Answer one request, in two pieces."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(100)
        for piece in (answer[:3], answer[3:]):
            connection.sendall(piece)


@pytest.fixture
def controls(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """Make a control socket for each kind of answer, and one that nobody serves any more."""
    with ExitStack() as opened:
        paths = {name: tmp_path / name for name in ANSWERS}
        threads = []
        for name, path in paths.items():
            listener = opened.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            listener.listen()
            threads.append(Thread(target=serve, args=(listener, ANSWERS[name])))
            threads[-1].start()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        yield {**paths, "dead": tmp_path / "dead", "missing": tmp_path / "missing"}
        for thread in threads:
            thread.join()


def test_who_answers_with_a_document_is_told(controls: dict[str, Path]) -> None:
    """One dead client would hide the counters of all others."""
    assert read_statuses(controls) == {"good": {"online": 3}}
