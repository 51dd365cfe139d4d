"""The control socket on a real loop: answers, limits, and who may replace whose file."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rustun.admin import access, exchange
from rustun.admin.asking import Document, Steps
from rustun.admin.control import MAX_REQUEST_BYTES, client_socket, find_sockets
from rustun.admin.control_client import ask as ask_process
from rustun.admin.control_client import follow, read_status
from rustun.admin.control_server import MAX_CONNECTIONS, ControlServer
from rustun.backends.reactor import EpollReactor
from rustun.errors import HostError, RustunError, UsageError

WAIT_SECONDS = 10.0  # never reached unless something hangs


class Running:
    """A control server on a loop of its own thread; `call` runs something on that loop."""

    def __init__(self, path: Path, status: Callable[[], dict[str, object]]) -> None:
        self.path = path
        self.reactor = EpollReactor()
        self.server = ControlServer(self.reactor, path, "server", lambda *chosen: status())
        self.server.start()
        self._thread = threading.Thread(target=self.reactor.run)
        self._thread.start()

    def call(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def work_and_tell(_: object) -> None:
            work()
            done.set()

        self.reactor.run_in_thread(lambda: None, work_and_tell)
        assert done.wait(WAIT_SECONDS)

    def stop(self) -> None:
        self.call(self.server.close)
        self.call(self.reactor.stop)
        self._thread.join(WAIT_SECONDS)
        self.reactor.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    server = Running(tmp_path / "s.sock", lambda: {"members": 2, "sessions": [{"identity": "bj-dev"}]})
    yield server
    server.stop()


def ask(path: Path, request: bytes) -> bytes:
    """Send `request` and return everything that comes until the end."""
    with connect(path) as peer:
        peer.sendall(request)
        return receive_all(peer)


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.connect(str(path))  # with a timeout it would fail where others wait to be accepted, not wait behind them
    peer.settimeout(WAIT_SECONDS)
    return peer


def receive_all(peer: socket.socket) -> bytes:
    received = b""
    try:
        while part := peer.recv(65536):
            received += part
    except ConnectionResetError:  # closed with bytes of ours unread
        pass
    return received


def test_status_document(running: Running) -> None:
    """`rustun status`, the lab and the tests lose the keys by which they tell documents apart."""
    document: dict[str, Any] = read_status(running.path)
    assert document.pop("uptime_s") >= 0
    assert document.pop("loop")["longest_step_ms"] >= 0
    process = document.pop("process")
    assert process["cpu_s"] > 0
    assert process["resident_bytes"] > 1_000_000
    assert document.pop("build").keys() == {"python", "cryptography", "kernel"}
    assert document == {
        "schema": 1,
        "role": "server",
        "version": "0.1.0",
        "pid": os.getpid(),
        "members": 2,
        "sessions": [{"identity": "bj-dev"}],
    }


def test_only_the_owner_may_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other users of the host read who talks to whom."""
    monkeypatch.setattr(access, "USUAL_GROUP", "no-such-group-here")
    running = Running(tmp_path / "s.sock", dict)
    mode = running.path.stat().st_mode
    running.stop()
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_a_request_in_single_bytes(running: Running) -> None:
    """A request that arrives in pieces gets no answer."""
    with connect(running.path) as peer:
        for byte in b"status\n":
            peer.sendall(bytes([byte]))
        assert json.loads(receive_all(peer))["role"] == "server"


def test_an_unknown_request_is_told_what_to_ask(running: Running) -> None:
    """A newer tool that asks an older process is left without a word."""
    assert json.loads(ask(running.path, b"metrics\n")) == {
        "schema": 1,
        "error": "unknown request",
        "remedy": "ask one of: status, watch",
    }


@pytest.mark.parametrize("request_bytes", [b"", b"status", b"x" * (MAX_REQUEST_BYTES + 1), b"\0" * 100_000])
def test_no_request_no_answer(running: Running, request_bytes: bytes) -> None:
    """A request without an end is collected for ever, or the process answers or dies of one."""
    with connect(running.path) as peer:
        try:
            peer.sendall(request_bytes)
            peer.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass
        assert receive_all(peer) == b""
    assert read_status(running.path)["role"] == "server"


def test_a_long_document_arrives_whole(tmp_path: Path) -> None:
    """A status larger than the socket's buffer is cut, or blocks the loop that carries the traffic."""
    sessions: list[object] = [{"identity": f"member-{number}", "note": "x" * 500} for number in range(5_000)]
    running = Running(tmp_path / "s.sock", lambda: {"sessions": sessions})
    try:
        with connect(running.path) as peer:
            peer.sendall(b"status\n")
            turns: list[int] = []
            running.call(lambda: turns.append(1))  # the loop turns while our side has read nothing
            assert turns == [1]
            assert json.loads(receive_all(peer))["sessions"] == sessions
    finally:
        running.stop()


def test_a_reader_that_leaves_midway_harms_nobody(tmp_path: Path) -> None:
    """`rustun status | head` ends the relay."""
    running = Running(tmp_path / "s.sock", lambda: {"text": "x" * 5_000_000})
    try:
        with connect(running.path) as peer:
            peer.sendall(b"status\n")
            peer.recv(10)
        assert len(str(read_status(running.path)["text"])) == 5_000_000
    finally:
        running.stop()


def test_silent_connections_make_room_for_the_next(running: Running) -> None:
    """A few connections that say nothing lock the operator out."""
    with ExitStack() as opened:
        silent = [opened.enter_context(connect(running.path)) for _ in range(MAX_CONNECTIONS)]
        assert read_status(running.path)["role"] == "server"
        assert receive_all(silent[0]) == b"", "the oldest had to go"


def test_a_silent_connection_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that says nothing keeps its descriptor for ever."""
    monkeypatch.setattr(exchange, "EXCHANGE_SECONDS", 0.05)
    running = Running(tmp_path / "s.sock", dict)
    try:
        with connect(running.path) as peer:
            assert receive_all(peer) == b""
    finally:
        running.stop()


def test_closing_removes_the_file_and_only_its_own(tmp_path: Path) -> None:
    """A stopped process leaves a dead socket behind, or removes that of the one that came after it."""
    path = tmp_path / "s.sock"
    first = Running(path, dict)
    first.stop()
    assert not path.exists()
    second = Running(path, dict)
    path.unlink()
    third = Running(path, dict)
    second.stop()
    assert read_status(path)["role"] == "server"
    third.stop()


def test_a_dead_process_socket_is_replaced(tmp_path: Path) -> None:
    """After a crash a process cannot start again until somebody removes a file."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    running = Running(path, dict)
    assert read_status(path)["role"] == "server"
    running.stop()


def failure(path: Path) -> RustunError:
    """Return why no control server can be started on `path`."""
    with EpollReactor() as reactor:
        server = ControlServer(reactor, path, "server", lambda *chosen: {})
        with pytest.raises(RustunError) as caught:
            server.start()
        server.close()
    return caught.value


def test_a_living_process_keeps_its_socket(running: Running) -> None:
    """A second start takes the socket away from a running process, or does not say which one that is."""
    error = failure(running.path)
    assert error.message == f"already running (pid {os.getpid()}): a process answers on {running.path}"
    assert "--control" in error.remedy
    assert read_status(running.path)["role"] == "server"


def test_a_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    """A mistyped --control removes a file of the user's, or follows a link to one."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    assert failure(path).message == f"{path} is there and is not a socket"
    link = tmp_path / "link"
    link.symlink_to(path)
    assert failure(link).message == f"{link} is there and is not a socket"
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["no/such/folder/s.sock", "x" * 120, "file/s.sock"])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, name: str) -> None:
    """A mistyped --control ends in a traceback, or in a message that does not say which path."""
    (tmp_path / "file").write_text("")
    error = failure(tmp_path / name)
    assert isinstance(error, HostError)
    assert str(tmp_path / name) in error.message
    assert "--control" in error.remedy


def test_its_folder_is_made(tmp_path: Path) -> None:
    """The first start after a boot, when /run is empty, has no control socket."""
    running = Running(tmp_path / "rustun" / "s.sock", dict)
    assert stat.S_IMODE((tmp_path / "rustun").stat().st_mode) & 0o022 == 0
    running.stop()


def test_reading_where_nothing_answers(tmp_path: Path) -> None:
    """A user who asks a process that is not there gets a traceback, or no hint what to do."""
    missing = tmp_path / "none.sock"
    with pytest.raises(HostError, match=r"no control socket at .*none\.sock"):
        read_status(missing)
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(dead))
    with pytest.raises(HostError, match="its process is gone"):
        read_status(dead)
    with pytest.raises(HostError, match="no control socket"):
        read_status(tmp_path / ("x" * 120))
    file = tmp_path / "server.toml"
    file.touch()
    with pytest.raises(HostError, match=r"server\.toml is not a control socket"):
        read_status(file)


@pytest.mark.parametrize("answer", [b"", b"hello", b"[1]", b'{"schema": 2}', b"[" * 100_000, b'"\xff"'])
def test_an_answer_that_is_no_document(tmp_path: Path, answer: bytes) -> None:
    """Another program behind the path, or another schema, ends `rustun status` in a traceback or in nonsense."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(HostError, match=r"the answer from .*other\.sock is not"):
            read_status(path)
        thread.join(WAIT_SECONDS)


def test_one_cluster_or_member_is_asked_for(tmp_path: Path) -> None:
    """Who asks for one member is told of all, or of nobody; a misspelt filter passes unseen."""
    with EpollReactor() as reactor:
        path = tmp_path / "s.sock"
        server = ControlServer(reactor, path, "server", lambda *chosen: {"of": list(chosen)})
        assert told(server.document("beijing", "bj-dev"))["of"] == ["beijing", "bj-dev", ""]
        assert told(server.document(since="1f-7"))["of"] == ["", "", "1f-7"]
        assert told(server.document())["of"] == ["", "", ""]


def told(steps: Steps) -> Document:
    """Return a document, made at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Document = end.value
            return made


def test_questions_with_values_are_answered(running: Running) -> None:
    """A dashboard that asks for one member, or misspells that, hears something else than it should."""
    assert ask_process(running.path, {"ask": "status", "member": "bj-dev"})["members"] == 2
    with pytest.raises(UsageError, match="\"status\" knows no \"menber\"") as caught:
        ask_process(running.path, {"ask": "status", "menber": "bj-dev"})
    assert caught.value.remedy == 'did you mean "member"?'
    with pytest.raises(UsageError, match="the question is too long"):
        ask_process(running.path, {"ask": "status", "member": "x" * MAX_REQUEST_BYTES})


def test_the_longest_names_fit_a_question(running: Running) -> None:
    """If this fails, nobody can ask about members whose names are as long as routes.json lets them be."""
    assert ask_process(running.path, {"ask": "status", "cluster": "é" * 127, "member": '"' * 255})["members"] == 2


def test_a_process_is_followed_until_it_ends(tmp_path: Path) -> None:
    """`rustun top` shows one moment for ever, or does not notice that the process has ended."""
    running = Running(tmp_path / "s.sock", lambda: {"n": 1})
    answers = follow(running.path, {"ask": "watch", "seconds": 0.1})
    seen = [next(answers) for _ in range(3)]
    assert [one.document["n"] for one in seen] == [1, 1, 1]
    running.stop()
    assert len(list(answers)) <= 1, "one may have been on its way"


def test_who_follows_is_not_crowded_out_by_silence(running: Running) -> None:
    """A few connections that say nothing end the dashboard."""
    answers = follow(running.path, {"ask": "watch", "seconds": 0.1})
    next(answers)
    with ExitStack() as opened:
        silent = [opened.enter_context(connect(running.path)) for _ in range(MAX_CONNECTIONS + 2)]
        made_room_for_the_last = silent[len(silent) - MAX_CONNECTIONS]
        assert receive_all(made_room_for_the_last) == b""  # so all were accepted: none is while that many wait
        assert read_status(running.path)["role"] == "server"
        assert next(answers).document["role"] == "server"


def test_a_process_that_hangs_is_given_up(tmp_path: Path) -> None:
    """`rustun status` waits for ever for a process that hangs."""
    path = tmp_path / "hung.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(HostError, match="in time"):
            read_status(path, timeout_seconds=0.05)
        listener.listen(0)  # as many wait to be accepted as may
        with pytest.raises(HostError, match="in time"):
            read_status(path, timeout_seconds=0.05)


def test_sockets_are_found_server_first(tmp_path: Path) -> None:
    """`rustun status` without a path shows something that is no socket, or misses one."""
    for name in ("client-b.sock", "client-a.sock", "server.sock", "other.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(tmp_path / name))
    (tmp_path / "client-c.sock").write_text("")
    assert [path.name for path in find_sockets(tmp_path)] == ["server.sock", "client-a.sock", "client-b.sock"]
    assert find_sockets(tmp_path / "none") == []
    assert client_socket("rustun0").name == "client-rustun0.sock"
