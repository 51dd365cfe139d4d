"""The control socket: what a program of this host may send to it, and what a process may answer on it."""

from __future__ import annotations

import io
import json
import select
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from rustun.admin.control import MAX_REQUEST_BYTES, SCHEMA
from rustun.admin.control_client import read_status
from rustun.admin.control_server import ControlServer
from rustun.admin.status_view import show_status
from rustun.backends.base import Callback, Source
from rustun.backends.memory import VirtualReactor
from rustun.errors import HostError
from tests.fuzz.mutation import damaged

QUESTIONS: Final = (b"status\n", b" status \n", b"statu\n", b"\n", b"status\nstatus\n", b"status" + b" " * 60,
                    b'{"ask": "status"}\n', b'{"ask": "status", "member": "m1"}\n', b'{"ask": 1, "x": [[]]}\n')
DOCUMENTS: Final = tuple(json.dumps(document).encode() for document in (
    {
        "schema": SCHEMA, "role": "server", "version": "0.1.0", "pid": 7, "uptime_s": 93.5, "listen": ["0.0.0.0:8080"],
        "online": 1, "members": 2, "alarms": ["one alarm"], "drops": {"bad-source": 3},
        "routes": {"problems": ["a problem"], "not_in_force": ["m9"]},
        "sessions": [{"cluster": "c", "identity": "m1", "address": "10.0.1.1", "state": "online", "proof_age_s": 1.5,
                      "rtt_ms": 0.3, "tier": "key", "received_bytes": 9, "sent_bytes": 9, "drops": {"no-route": 1}}],
        "offline": [{"cluster": "c", "identity": "m2", "last_seen_age_s": None, "last_error": "refused"}],
    },
    {
        "schema": SCHEMA, "role": "client", "version": "0.1.0", "uptime_s": 93.5, "identity": "m1", "state": "online",
        "server": "a:1", "remote": "192.0.2.1:1", "tier": "key", "cipher": "aes256", "proof_age_s": 1, "rtt_ms": None,
        "last_error": "closed", "next_try_s": 3.5, "refused_routes": {"10.0.0.0/8": "a LAN"}, "reconnects": 1,
        "tun": {"name": "rustun0", "mtu": 1500, "offloads": ["csum"]}, "addresses": ["10.0.1.1/24"], "routes": [],
        "received_bytes": 1, "received_packets": 1, "sent_bytes": 1, "sent_packets": 1, "drops": {},
        "peers": [{"identity": "m2", "name": "Two", "address": "10.0.1.2", "online": True, "ciders": ["10.9.0.0/16"]}],
    },
))  # fmt: skip


class StandingReactor(VirtualReactor):
    """Time stands still; `turn` calls back what the kernel says is ready."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: dict[Source, tuple[Callback | None, Callback | None]] = {}

    def watch(self, source: Source, on_readable: Callback | None, on_writable: Callback | None) -> None:
        self._callbacks[source] = (on_readable, on_writable)

    def unwatch(self, source: Source) -> None:
        self._callbacks.pop(source, None)

    def turn(self) -> bool:
        """Call back once; return whether anything was ready."""
        readers = [source for source, (on_readable, _) in self._callbacks.items() if on_readable]
        writers = [source for source, (_, on_writable) in self._callbacks.items() if on_writable]
        readable, writable, _ = select.select(readers, writers, (), 0)
        for ready, which in ((readable, 0), (writable, 1)):
            for source in ready:
                callback = self._callbacks.get(source, (None, None))[which]
                if callback is not None:
                    callback()
        if not (readable or writable) and self._when_idle:
            self._when_idle.popleft()()
            return True
        return bool(readable or writable)


class Served:
    """A control server in a folder of its own, driven by hand."""

    def __init__(self, folder: Path) -> None:
        self.reactor = StandingReactor()
        self.path = folder / "s.sock"
        self.server = ControlServer(self.reactor, self.path, "server", self.document)
        self.server.start()

    def document(self, cluster: str, member: str, since: str) -> dict[str, object]:
        return {"members": 2, "sessions": iter([1])}

    def exchange(self, pieces: list[bytes]) -> bytes:
        """Send a request in pieces, end it, and return the answer."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as peer, suppress(ConnectionResetError):
            peer.connect(str(self.path))
            with suppress(BrokenPipeError):  # it has heard enough; its answer is here to be read
                for piece in pieces:
                    peer.sendall(piece)
                    self.run()
                peer.shutdown(socket.SHUT_WR)
                self.run()
            while part := peer.recv(1 << 16):
                answer += part
        return answer

    def run(self) -> None:
        while self.reactor.turn():
            pass


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with tempfile.TemporaryDirectory() as folder:
        one = Served(Path(folder))
        yield one
        one.server.close()


def asks_for_status(line: bytes) -> bool:
    """Tell by other means than the program's whether this line is answered with a document."""
    text = line.strip().decode("utf-8", "replace")
    if text == "status":
        return True
    try:
        question = json.loads(text)
    except (ValueError, RecursionError):
        return False
    known = isinstance(question, dict) and {*question} <= {"ask", "cluster", "member"}
    return known and question.get("ask") == "status" and all(isinstance(value, str) for value in question.values())


@given(damaged(QUESTIONS, max_bytes=200), st.lists(st.integers(0, 80), max_size=4))
def test_a_question_in_pieces_is_the_same_question(served: Served, question: bytes, cuts: list[int]) -> None:
    """A program of this host stops a running relay, or its answer depends on how its question was cut."""
    edges = [0, *sorted(min(cut, len(question)) for cut in cuts), len(question)]
    pieces = [question[left:right] for left, right in zip(edges, edges[1:], strict=False)]
    line, newline, _ = question.partition(b"\n")
    expected = b""
    if newline and len(line) <= MAX_REQUEST_BYTES:
        expected = b'"members"' if asks_for_status(line) else b'"error"'
    for form in ([question], pieces, [question[at : at + 1] for at in range(len(question))]):
        answer = served.exchange(form)
        assert expected in answer and bool(answer) == bool(expected)


class Impostor:
    """A process that answers on a control socket with what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "i.sock"
        self.answer = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer:
                if peer.recv(99) != b"status\n":
                    return
                peer.sendall(self.answer)

    def close(self) -> None:
        """Ask something else, which ends it."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(self.path))
            peer.sendall(b"end")
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def impostor() -> Iterator[Impostor]:
    with tempfile.TemporaryDirectory() as folder:
        one = Impostor(Path(folder))
        yield one
        one.close()


@given(damaged(DOCUMENTS, is_text=True))
@example(DOCUMENTS[0].replace(b'["one alarm"]', b"5"))
@example(DOCUMENTS[1].replace(b"93.5", b"1e999"))
@example(DOCUMENTS[1].replace(b'"m2"', b'"\\u001b[31m"'))
def test_an_answer_is_shown_or_refused_in_words(impostor: Impostor, answer: bytes) -> None:
    """Another program on the socket, or another release, makes `rustun status` show a traceback or steer a terminal."""
    impostor.answer = answer
    screen = io.StringIO()
    try:
        document = read_status(impostor.path)
        show_status(document, Console(file=screen, width=100, highlight=False))
    except HostError as error:
        assert error.message.isprintable() and error.remedy
    assert all(line.isprintable() for line in screen.getvalue().split("\n"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_are_shown(impostor: Impostor, document: bytes) -> None:
    """The test above would pass if every answer were refused."""
    impostor.answer = document
    screen = io.StringIO()
    show_status(read_status(impostor.path), Console(file=screen, width=100, highlight=False))
    assert "m1" in screen.getvalue()
