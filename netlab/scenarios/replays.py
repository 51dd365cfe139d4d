"""What was recorded on the path is replayed to the server, while its member is there and after the server's restart."""

from __future__ import annotations

import select
import socket
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from netlab.bench import measure
from netlab.namespaces import NetworkNamespace
from netlab.scenarios.scenario import scenario
from netlab.topology import SERVER
from netlab.worlds.keyed_lab import PATIENCE_S, PORT, KeyedLab, KeyedMember
from rustun.protocol.frames import HEADER, HEADER_BYTES, FrameType
from rustun.protocol.handshake import MAX_REPLY_BYTES

MEMBERS = (KeyedMember("dev", "blue", "10.0.1.1"), KeyedMember("witness", "blue", "10.0.1.2"))
MIDDLE = "127.0.0.1"
FIRST_MESSAGES = 50
HANDSHAKE_S = 1.0  # instead of 5: this is what a replayed first message is waited for
LIMITS = f"[limit_config]\nhandshake_seconds = {HANDSHAKE_S}\npending_per_source = {2 * FIRST_MESSAGES}\n"


class Recorder(ExitStack):
    """Sits between one client and the server, passes everything on, and keeps what the client sent.

    Attributes:
        sessions: the bytes of each connection, in order.
    """

    def __init__(self, namespace: NetworkNamespace, server: str) -> None:
        super().__init__()
        self.sessions: list[bytearray] = []
        self._namespace, self._server = namespace, server
        self._listener = self.enter_context(namespace.run(lambda: socket.create_server((MIDDLE, PORT))))
        self._wake, wake = socket.socketpair()
        self.enter_context(self._wake)
        self.enter_context(wake)
        thread = threading.Thread(target=self._run)
        thread.start()
        self.callback(thread.join)
        self.callback(lambda: wake.send(b"."))

    def _run(self) -> None:
        while self._listener in select.select((self._listener, self._wake), (), ())[0]:
            near, _ = self._listener.accept()
            with near:
                try:
                    far = self._namespace.run(lambda: socket.create_connection((self._server, PORT), PATIENCE_S))
                except OSError:  # the server is down
                    continue
                with far:
                    self.sessions.append(bytearray())
                    self._pass_on(near, far)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        while self._wake not in (ready := select.select((near, far, self._wake), (), ())[0]):
            for one in ready:
                try:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    (far if one is near else near).sendall(data)
                except OSError:
                    return
                if one is near:
                    self.sessions[-1] += data


def replay(site: KeyedLab, *parts: bytes, times: int = 1) -> list[bytes]:
    """Send recorded bytes from another machine, each part after an answer; return what came until the server closed."""
    with ExitStack() as stack:
        namespace = site.lab.namespaces["witness"]
        connect = partial(socket.create_connection, (site.server_address, PORT), PATIENCE_S)
        streams = [stack.enter_context(namespace.run(connect)) for _ in range(times)]
        for stream in streams:
            stream.sendall(parts[0])
        return [_rest(stream, parts[1:]) for stream in streams]


def _rest(stream: socket.socket, parts: tuple[bytes, ...]) -> bytes:
    answer = b""
    try:
        for part in parts:
            answer += stream.recv(1 << 16)
            stream.sendall(part)
        while data := stream.recv(1 << 16):
            answer += data
    except ConnectionError:
        pass
    return answer


def nothing_comes_of(site: KeyedLab, session: bytes) -> None:
    """Replay a session's first message many times, and the whole of it, as it was sent and as an answer allows it."""
    end = HEADER_BYTES + HEADER.unpack_from(session)[3]
    assert len(session) > 2 * end, "nothing of a session was recorded"
    before: Counter[str] = Counter(site.status()["closes"])
    view = everything(site)
    answers = replay(site, session[:end], times=FIRST_MESSAGES)
    assert {answer[5] for answer in answers} == {FrameType.KEY_REPLY}, "the recording is not worth anything"
    assert all(len(answer) <= HEADER_BYTES + MAX_REPLY_BYTES for answer in answers)
    assert replay(site, session) == [b""]
    [answer] = replay(site, session[:end], session[end:])
    assert len(answer) <= HEADER_BYTES + MAX_REPLY_BYTES
    after: Counter[str] = Counter(site.status()["closes"])
    assert after - before == {"handshake-timeout": FIRST_MESSAGES, "handshake-failed": 1, "protocol-error": 1}
    assert everything(site) == view


def everything(site: KeyedLab) -> tuple[object, ...]:
    """Return who is there, since when and from where, and whom the others think to be there."""
    sessions = {one["identity"]: (one["remote"], one["sent_packets"]) for one in site.status()["sessions"]}
    return sessions, site.log(SERVER).count("dev is online"), site.status("witness")["peers"]


class Recorded(ExitStack):
    """Two members and a server, and a recorder between one of them and the server; use as a context."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.site = self.enter_context(KeyedLab(folder, MEMBERS, more=LIMITS))
        self.site.write_client("dev", address=MIDDLE)
        self.recorder = self.enter_context(Recorder(self.site.lab.namespaces["dev"], self.site.server_address))
        self.site.start("witness", "dev")
        self.site.until("witness", lambda status: status["peers"][0]["online"])
        ping(self.site)

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes


def ping(site: KeyedLab) -> None:
    """Let echoes cross the tunnel that is recorded."""
    assert measure.trips(site.lab, measure.Path("dev", "witness", MEMBERS[1].address), echoes=5).lost == 0


def while_it_is_there(recorded: Recorded) -> None:
    """Replay what a member sent, while it is there: its first message fifty times, the whole, and part by part."""
    site = recorded.site
    nothing_comes_of(site, bytes(recorded.recorder.sessions[0]))
    ping(site)
    assert site.status("dev")["reconnects"] == 0


def after_a_restart(recorded: Recorded) -> None:
    """Restart the server, which remembers nothing, and replay it while the member is away."""
    site = recorded.site
    site.end("dev")
    site.end(SERVER)
    site.start()
    site.until("witness", lambda status: status["state"] == "online" and not status["peers"][0]["online"])
    nothing_comes_of(site, bytes(recorded.recorder.sessions[0]))


def the_member_comes(recorded: Recorded) -> None:
    """Let the member come by the same way, with bytes of its own."""
    site = recorded.site
    site.start("dev")
    site.until("witness", lambda status: status["peers"][0]["online"])
    ping(site)


@scenario(while_it_is_there, after_a_restart, the_member_comes, rows="9, 10")
def replays(folder: Path) -> Iterator[Recorded]:
    """Who recorded a session cannot take its member's place with it, now or after the server's restart.

    dev --- a recorder on its host --- server --- witness
    """
    with Recorded(folder) as recorded:
        yield recorded
