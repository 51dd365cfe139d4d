"""The control socket of a laboratory: who asks, what is a request, and who answers it.

One connection, one line of JSON, one answer; after that the keeper closes.

Rules of this module
  1. Each connection has a thread of its own, so that who asks slowly, or listens for hours, holds nobody. There are at
     most MOST_ASKERS; one more is told so.
  2. Whatever comes in, the laboratory lives: what is no request gets an error as its answer.
  3. What changes the laboratory is done by one request at a time (`Changing`); looking at it needs no turn.
"""

from __future__ import annotations

import errno
import json
import socket
import traceback
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from threading import BoundedSemaphore, Condition, Thread
from time import monotonic
from typing import Any, Final

from netlab.errors import EXIT_UNEXPECTED, BadInput, EnvironmentLacks, LabError
from netlab.waiting import readable
from rustun.printable import printable

REQUEST_BYTES: Final = 65_536
REQUEST_SECONDS: Final = 2.0  # from accept to the request's last byte
MOST_ASKERS: Final = 64
ANSWER_SECONDS: Final = 5.0  # for who asked to take a piece of the answer
SHORT_SECONDS: Final = 0.1  # until the next try to take a connection, where descriptors are short
SHUT: Final = (errno.EINVAL, errno.EBADF)  # of accept(2): the socket is none that listens any more
Document = dict[str, Any]
Work = Callable[[Document], Document]
Handler = Callable[[socket.socket, Document], None]


def parse_request(data: bytes) -> Document:
    """Return the request in a line of JSON. Raises BadInput where it is none."""
    line = data.partition(b"\n")[0]
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput("a request is one line of JSON", 'as in {"do": "status"}') from error
    if not isinstance(request, dict) or not isinstance(request.get("do"), str):
        raise BadInput('a request is a table with a text "do"', 'as in {"do": "status"}')
    return request


def receive(connection: socket.socket) -> Document:
    """Read a request, however it is cut into pieces.

    Raises:
        BadInput: it is none, too long, or half of one.
        OSError: whoever asked has gone.
    """
    deadline = monotonic() + REQUEST_SECONDS
    data = b""
    while b"\n" not in data:
        connection.settimeout(max(0.001, deadline - monotonic()))
        try:
            piece = connection.recv(REQUEST_BYTES)
        except TimeoutError:
            words = f"no whole line came within {REQUEST_SECONDS:.0f} s"
            raise BadInput(words, "end a request with a newline") from None
        data += piece
        if not piece:
            break
        if len(data) > REQUEST_BYTES:
            raise BadInput(f"a request has at most {REQUEST_BYTES} bytes")
    return parse_request(data)


def answered(work: Work) -> Handler:
    """Return what sends the document that a piece of work returns, or its refusal."""

    def handle(connection: socket.socket, request: Document) -> None:
        try:
            document = work(request)
        except LabError as error:
            document = refused(error)
        except OSError as error:  # of the work: who asked is there, and waits
            traceback.print_exc()
            words = f"the system refused the laboratory something: {error.strerror or error}"
            document = refused(EnvironmentLacks(words, "check the room on the disk; its keeper's log says where"))
        connection.sendall(json.dumps(document).encode())

    return handle


def refused(error: LabError) -> Document:
    """Return the answer that says why something is not done."""
    return {"error": error.message, "remedy": error.remedy, "exit_code": error.exit_code}


class Changing:
    """The turn of who changes the laboratory; `wait` lets others have it meanwhile."""

    def __init__(self) -> None:
        self._turn = Condition()

    def alone(self, work: Work) -> Work:
        """Return the same work, done only while nobody else changes anything."""

        def done(request: Document) -> Document:
            with self._turn:
                document = work(request)
                self._turn.notify_all()
            return document

        return done

    def keep(self, deadline: Callable[[], float | None], expire: Callable[[float], object]) -> None:
        """Call `expire` whenever a deadline (monotonic seconds, None for never) has come, for ever."""
        with self._turn:
            while True:
                due = deadline()
                self._turn.wait(None if due is None else max(0.0, due - monotonic()))
                try:
                    expire(monotonic())
                except (LabError, OSError) as error:
                    print(error, flush=True)


def serve(control: socket.socket, handlers: Mapping[str, Handler]) -> None:
    """Answer requests until somebody shuts the listening socket down.

    Args:
        handlers: what is done, by the request's "do".
    """
    room = BoundedSemaphore(MOST_ASKERS)
    while True:
        try:
            connection, _ = control.accept()
        except OSError as error:
            if error.errno in SHUT:
                return
            readable((), SHORT_SECONDS)
            continue
        if not (room.acquire(blocking=False) and _begun(connection, handlers, room)):
            _turn_away(connection)


def _begun(connection: socket.socket, handlers: Mapping[str, Handler], room: BoundedSemaphore) -> bool:
    """Begin to answer; return whether the system has room for one more thread."""
    try:
        Thread(target=_answer, args=(connection, handlers, room), daemon=True).start()
    except RuntimeError:
        room.release()
        return False
    return True


def _turn_away(connection: socket.socket) -> None:
    busy = LabError(f"{MOST_ASKERS} requests are being answered", "try again when some of them are done")
    with connection:
        try:
            connection.setblocking(False)
            connection.sendall(json.dumps(refused(busy)).encode())
        except OSError:
            return


def _answer(connection: socket.socket, handlers: Mapping[str, Handler], room: BoundedSemaphore) -> None:
    try:
        with connection:
            _try_to_answer(connection, handlers)
    except OSError:  # whoever asked went away: nobody is left to be told
        pass
    finally:
        room.release()


def _try_to_answer(connection: socket.socket, handlers: Mapping[str, Handler]) -> None:
    try:
        request = receive(connection)
        handler = handlers.get(request["do"])
        if handler is None:
            raise _unknown(request["do"], handlers)
    except BadInput as error:
        connection.sendall(json.dumps(refused(error)).encode())
        return
    connection.settimeout(ANSWER_SECONDS)
    try:
        handler(connection, request)
    except OSError:
        raise
    except Exception:  # noqa: BLE001  a bug in one answer must not look like a laboratory that hangs
        traceback.print_exc()
        words = {"error": "the keeper failed at this; why is in its log", "exit_code": EXIT_UNEXPECTED}
        connection.sendall(json.dumps(words).encode())


def _unknown(name: str, handlers: Mapping[str, Handler]) -> BadInput:
    near = get_close_matches(name, handlers, n=1)
    known = ", ".join(sorted(handlers))
    return BadInput(f'no request "{printable(name)}"', f"did you mean {near[0]}?" if near else f"there are {known}")
