"""Status documents of many rustun processes, asked for at once: the slowest takes the time, not their sum."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, Final

STATUS_SECONDS: Final = 2.0
PIECE_BYTES: Final = 1 << 16
Document = dict[str, Any]


def read_statuses(controls: Mapping[str, Path]) -> dict[str, Document]:
    """Ask control sockets for their documents and return those of all that answer within two seconds, by name."""
    answers: dict[str, bytearray] = {}
    with ExitStack() as opened:
        asked: dict[int, tuple[str, socket.socket]] = {}
        for name, path in controls.items():
            control = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            control.settimeout(STATUS_SECONDS)
            try:
                control.connect(str(path))
                control.sendall(b"status\n")
            except OSError:  # nobody is there
                continue
            asked[control.fileno()] = (name, control)
            answers[name] = bytearray()
        _collect(asked, answers)
    documents = {name: _document(answer) for name, answer in answers.items()}
    return {name: document for name, document in documents.items() if document is not None}


def read_status(control: Path) -> Document | None:
    """Ask one control socket for its document; None where none comes within two seconds."""
    return read_statuses({"": control}).get("")


def _collect(asked: dict[int, tuple[str, socket.socket]], answers: dict[str, bytearray]) -> None:
    poll = select.poll()
    for descriptor in asked:
        poll.register(descriptor, select.POLLIN)
    deadline = monotonic() + STATUS_SECONDS
    while asked and (left := deadline - monotonic()) > 0:
        for descriptor, _ in poll.poll(left * 1000):
            name, control = asked[descriptor]
            try:
                piece = control.recv(PIECE_BYTES)
            except OSError:
                piece = b""
            answers[name] += piece
            if not piece:
                poll.unregister(descriptor)
                del asked[descriptor]


def _document(answer: bytes | bytearray) -> Document | None:
    try:
        document = json.loads(answer)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
