"""The control socket of a laboratory, asked by those who know how and by those who do not."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from netlab.control import answering
from netlab.control.answering import MOST_ASKERS, Changing, answered, parse_request, serve
from netlab.control.asking import ask, demand
from netlab.control.runfolder import CONTROL, RunFolder
from netlab.errors import BadInput, EnvironmentLacks, ExpectationFailed

WAIT_S = 20.0  # only reached where something hangs
Document = dict[str, Any]


class Served:
    """A socket that is answered by a thread, in a folder as a laboratory has one."""

    def __init__(self, path: Path) -> None:
        self.folder = RunFolder(path)
        self.may_go_on = Event()
        self.at_work = Event()
        self.changing = Changing()
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._control.bind(str(path / CONTROL))
        self._control.listen(2 * MOST_ASKERS)
        handlers = {
            "echo": answered(lambda request: {"said": request.get("say")}),
            "refuse": answered(self._refuse),
            "full": answered(self._full),
            "fail": answered(lambda request: {"said": request["missing"]}),
            "work": answered(self.changing.alone(self._work)),
        }
        self._thread = Thread(target=serve, args=(self._control, handlers))
        self._thread.start()

    def _refuse(self, _request: Document) -> Document:
        raise EnvironmentLacks("there is no room", "make some")

    def _full(self, _request: Document) -> Document:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _work(self, _request: Document) -> Document:
        self.at_work.set()
        assert self.may_go_on.wait(WAIT_S)
        return {"done": True}

    def raw(self, data: bytes) -> bytes:
        """Send bytes, end the sending, and return what comes back."""
        with self.folder.connect() as control:
            control.settimeout(WAIT_S)
            control.sendall(data)
            control.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: control.recv(1 << 16), b""))

    def close(self) -> None:
        """Shut the socket, which ends the thread."""
        self.may_go_on.set()
        self._control.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._control.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Serve in a folder of the test's own."""
    one = Served(tmp_path)
    yield one
    one.close()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a request is one line of JSON"),
        (b"status\n", "a request is one line of JSON"),
        (b"[" * 60_000 + b"\n", "a request is one line of JSON"),
        (b"\xff\xfe\n", "a request is one line of JSON"),
        (b"[1]\n", 'a table with a text \\"do\\"'),
        (b'{"do": 7}\n', 'a table with a text \\"do\\"'),
        (b'{"do": "ecko"}\n', "did you mean echo?"),
        (b'{"do": "echo"', "a request is one line of JSON"),
        (b'{"do": "echo", "say": "' + b"x" * 70_000, "at most 65536 bytes"),
        (b'{"do": "fail"}\n', "the keeper failed at this"),
    ],
)
def test_what_is_no_request_is_answered_in_words_and_the_laboratory_lives(
    served: Served, data: bytes, words: str
) -> None:
    """A slip of whoever asks takes the laboratory down, or leaves him waiting."""
    assert words in served.raw(data).decode()
    assert ask(served.folder, {"do": "echo", "say": "still here"}) == {"said": "still here"}


def test_who_asks_half_or_slowly_holds_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One stuck script, and nobody can see or end the laboratory any more."""
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(served.folder.connect()).sendall(b'{"do": "ec')
        began = monotonic()
        assert ask(served.folder, {"do": "echo", "say": 1}) == {"said": 1}
        assert monotonic() - began < answering.REQUEST_SECONDS
    monkeypatch.setattr(answering, "REQUEST_SECONDS", 0.05)
    with served.folder.connect() as slow:
        slow.settimeout(WAIT_S)
        slow.sendall(b'{"do": "ec')
        assert b"no whole line came" in slow.recv(1 << 16)


def test_more_askers_than_there_is_room_for_are_told_so(served: Served) -> None:
    """A flood of requests makes threads without end."""
    with ExitStack() as opened:
        waiting = [opened.enter_context(served.folder.connect()) for _ in range(MOST_ASKERS)]
        for one in waiting:
            one.sendall(b'{"do": "work"}\n')
        assert served.at_work.wait(WAIT_S)
        assert "64 requests are being answered" in ask(served.folder, {"do": "echo"})["error"]
        served.may_go_on.set()
        for one in waiting:
            one.settimeout(WAIT_S)
            assert json.loads(one.recv(1 << 16)) == {"done": True}


def test_looking_needs_no_turn(served: Served) -> None:
    """While a link is measured or members are proven, nobody could see what goes on."""
    with served.folder.connect() as busy:
        busy.settimeout(WAIT_S)
        busy.sendall(b'{"do": "work"}\n')
        assert served.at_work.wait(WAIT_S)
        assert ask(served.folder, {"do": "echo", "say": 2}) == {"said": 2}
        served.may_go_on.set()
        assert json.loads(busy.recv(1 << 16)) == {"done": True}


def test_a_refusal_over_there_is_the_same_error_here(served: Served) -> None:
    """A script would get another exit code than the documents say."""
    with pytest.raises(EnvironmentLacks, match="there is no room") as caught:
        demand(served.folder, {"do": "refuse"})
    assert caught.value.remedy == "make some"
    with pytest.raises(EnvironmentLacks, match="No space left"):  # and not that nobody answered
        demand(served.folder, {"do": "full"})
    with pytest.raises(BadInput, match='no request "ecko"'):
        demand(served.folder, {"do": "ecko"})
    with pytest.raises(ExpectationFailed, match="the keeper failed"):
        demand(served.folder, {"do": "fail"})


def test_a_lack_of_descriptors_ends_no_laboratory() -> None:
    """As many askers as the keeper may have files open, and all that runs in the laboratory is gone without a word."""
    answers = iter((errno.EMFILE, errno.ECONNABORTED, errno.EINVAL))
    asked = []

    class Listening:
        """A socket that cannot take a connection, until it is shut down."""

        def accept(self) -> tuple[socket.socket, object]:
            asked.append(next(answers))
            raise OSError(asked[-1], os.strerror(asked[-1]))

    serve(Listening(), {})  # type: ignore[arg-type]
    assert asked == [errno.EMFILE, errno.ECONNABORTED, errno.EINVAL]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ExpectationFailed("it does not show")])
def test_an_end_that_fails_is_not_the_last(error: Exception) -> None:
    """After one link that could not be restored, no outage that was for a time ends any more."""
    changing, ended = Changing(), Event()
    due = [monotonic() - 1.0, monotonic() - 2.0]

    def expire(_now: float) -> None:
        due.pop()
        if due:
            raise error
        ended.set()

    Thread(target=changing.keep, args=(lambda: due[-1] if due else None, expire), daemon=True).start()
    assert ended.wait(WAIT_S)


def test_what_was_for_a_time_ends_by_itself() -> None:
    """An outage that was to last a second would last until somebody asks something."""
    changing, expired = Changing(), Event()
    due = [monotonic() - 1.0]

    def expire(_now: float) -> None:
        due.clear()
        expired.set()

    Thread(target=changing.keep, args=(lambda: due[0] if due else None, expire), daemon=True).start()
    assert expired.wait(WAIT_S)


def test_a_whole_request_is_read_as_it_stands() -> None:
    """Nothing at all would be understood."""
    assert parse_request(b'{"do": "link", "for_s": 2.5}\nmore') == {"do": "link", "for_s": 2.5}
