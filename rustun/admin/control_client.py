"""Ask a running rustun process on its control socket.

Rules of this module
  1. A process that is silent for `timeout_seconds` is given up; one that answers slowly, as a loaded relay does, is
     not, nor one that has just told a long document and makes a pause before the next (FOLLOWED_BYTES_PER_S).
  2. What comes back is judged before anybody sees it: one JSON object of this schema a line, of MAX_DOCUMENT_BYTES at
     the most. That another program owns the socket is said, whatever it sends.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.admin.control import (
    EXCHANGE_SECONDS,
    FOLLOWED_BYTES_PER_S,
    MAX_DOCUMENT_BYTES,
    MAX_PATH_BYTES,
    MAX_REQUEST_BYTES,
    SCHEMA,
    STATUS_REQUEST,
)
from rustun.errors import HostError, RightsError, RustunError, UsageError

PIECE_BYTES: Final = 1 << 16
WHOLE_ANSWER_SECONDS: Final = 60.0  # for one document, however steadily it drips
PLAIN: Final = bytes(range(0x20, 0x7F))  # ASCII without control characters, which an answer may have between its words


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process said: a document, and the line that it was read from."""

    document: dict[str, object]
    line: bytes

    def as_line(self) -> str:
        """Return the document as JSON on one line: as it came, where no byte of it could be more than a character."""
        if self.line.translate(None, PLAIN):
            return json.dumps(self.document)
        return self.line.decode("ascii")


def read_status(path: Path, timeout_seconds: float = EXCHANGE_SECONDS) -> dict[str, object]:
    """Return the status document of the process that listens on `path`.

    Raises:
        RightsError: the socket belongs to another user.
        HostError: nothing answers there, not in time, or not with a document of this schema.
    """
    return _first(path, STATUS_REQUEST, timeout_seconds).document


def ask(path: Path, question: Mapping[str, object], timeout_seconds: float = EXCHANGE_SECONDS) -> dict[str, object]:
    """Return the document that answers a question: the word under "ask", and what is told beside it.

    Raises: as `answer_to`.
    """
    return answer_to(path, question, timeout_seconds).document


def answer_to(path: Path, question: Mapping[str, object], timeout_seconds: float = EXCHANGE_SECONDS) -> Answer:
    """Return the answer to a question, with its line.

    Raises: as `read_status`; UsageError, in the process's words, where it has no answer.
    """
    alone = str(question["ask"]) if len(question) == 1 else json.dumps(question)  # so an older process understands
    return _granted(_first(path, alone, timeout_seconds))


def follow(path: Path, question: Mapping[str, object], timeout_seconds: float = EXCHANGE_SECONDS) -> Iterator[Answer]:
    """Yield the answers to a question that has no end of its own, until the process ends or the caller closes this.

    Raises: as `ask`.
    """
    with closing(_answers(path, json.dumps(question), timeout_seconds)) as answers:
        yield from map(_granted, answers)


def _granted(answer: Answer) -> Answer:
    """Return an answer that is none of "error". Raises: UsageError."""
    if "error" in answer.document:
        raise UsageError(str(answer.document["error"]), str(answer.document.get("remedy") or ""))
    return answer


def _first(path: Path, question: str, timeout_seconds: float) -> Answer:
    with closing(_answers(path, question, timeout_seconds)) as answers:
        return next(answers, None) or _judge(path, b"")


def _answers(path: Path, question: str, timeout_seconds: float) -> Generator[Answer, None, None]:
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise HostError(f"no control socket at {path}", f"the path is longer than the {MAX_PATH_BYTES} bytes of one")
    line = f"{question}\n".encode("utf-8", "surrogatepass")
    if len(line) > MAX_REQUEST_BYTES:
        raise UsageError("the question is too long", "a name has 255 bytes at the most")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.settimeout(timeout_seconds)
            peer.connect(os.fspath(path))
            peer.sendall(line)
            for answered in _lines(peer, timeout_seconds):
                yield _judge(path, answered)
        except OSError as error:
            raise _read_error(path, error) from error


def _lines(peer: socket.socket, timeout_seconds: float) -> Iterator[bytes]:
    """Yield whole lines, and what is behind the last one; raises OSError, TimeoutError among them."""
    held = bytearray()
    deadline = time.monotonic() + WHOLE_ANSWER_SECONDS
    while received := peer.recv(PIECE_BYTES):
        at = received.find(b"\n")
        while at >= 0:
            held += received[:at]
            yield bytes(held)
            pause = len(held) / FOLLOWED_BYTES_PER_S
            peer.settimeout(timeout_seconds + pause)
            held.clear()
            received = received[at + 1 :]
            at = received.find(b"\n")
            deadline = time.monotonic() + pause + WHOLE_ANSWER_SECONDS
        held += received
        if len(held) > MAX_DOCUMENT_BYTES or time.monotonic() > deadline:
            raise TimeoutError
    if held:
        yield bytes(held)


def _judge(path: Path, line: bytes) -> Answer:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        remedy = "it may be overloaded: try again" if not line else "does another program own this socket?"
        raise HostError(f"the answer from {path} is not a status document", remedy) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        remedy = "use the `rustun status` of the version that runs there"
        raise HostError(f"the answer from {path} is not of schema {SCHEMA}", remedy)
    return Answer(document, line)


def _read_error(path: Path, error: OSError) -> RustunError:
    if isinstance(error, PermissionError):
        remedy = "run it as root, as the user whose process that is, or in the socket's group: ls -l shows them"
        return RightsError(f"no permission to read {path}", remedy)
    if isinstance(error, FileNotFoundError):
        return HostError(f"no control socket at {path}", "is the process up, and started with this --control PATH?")
    if isinstance(error, ConnectionRefusedError) and not path.is_socket():
        return HostError(f"{path} is not a control socket", "name the one of a running process with --control PATH")
    if isinstance(error, ConnectionRefusedError):
        return HostError(f"nobody answers on {path}: its process is gone", "start it again; the file is replaced then")
    if isinstance(error, (TimeoutError, BlockingIOError)):  # the latter where too many wait to be accepted
        return HostError(f"no answer on {path} in time", "the process hangs or is overloaded: see its log")
    return HostError(f"cannot read {path}: {error.strerror or error}", "name the control socket with --control PATH")
