"""What every command says to the keeper of a laboratory that is up: one line of JSON there, one document back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from netlab.control.runfolder import RunFolder
from netlab.errors import EXIT_UNEXPECTED, EnvironmentLacks, ExpectationFailed, LabError, of_exit_code

ANSWER_SECONDS: Final = 10.0
PIECE_BYTES: Final = 1 << 16
MOST_NAMESPACES: Final = 8
Document = dict[str, Any]


def ask(folder: RunFolder, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Document:
    """Send a request to a laboratory's keeper and return the answer.

    Args:
        seconds: of silence after which nobody is expected to answer any more.

    Raises:
        BadInput: nobody is there.
        ExpectationFailed: no answer came in time, or none that can be read.
    """
    with folder.connect() as control:
        control.settimeout(seconds)
        try:
            with suppress(BrokenPipeError):  # it has no room for one more: its answer is here to be read
                send(control, request)
            document = json.loads(b"".join(_pieces(control)))
        except (OSError, ValueError) as error:
            raise silent(folder) from error
    if not isinstance(document, dict):
        raise ExpectationFailed(f'laboratory "{folder.name}" answered no document', "./invoke lab-down")
    return document


def _pieces(control: socket.socket) -> Iterator[bytes]:
    try:
        yield from iter(lambda: control.recv(PIECE_BYTES), b"")
    except ConnectionResetError:  # it did not want to hear all of the request; what it said until then counts
        return


def demand(folder: RunFolder, request: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Document:
    """Like `ask`, but an answer that is a refusal is raised as the error that it was over there."""
    document = ask(folder, request, seconds)
    if "error" in document:
        raise refusal(document)
    return document


def ask_the_way(folder: RunFolder, node: str) -> tuple[Document, list[int]]:
    """Return the keeper's words about the way into a node, and the open descriptors that lead there.

    Raises:
        LabError: the keeper's refusal, or it did not answer.
        EnvironmentLacks: this process may not open as many files.
    """
    with folder.connect() as control:
        control.settimeout(ANSWER_SECONDS)
        try:
            send(control, {"do": "enter", "node": node})
            answer, descriptors, _, _ = socket.recv_fds(control, PIECE_BYTES, MOST_NAMESPACES)
            document: Document = json.loads(answer)
        except (OSError, ValueError) as error:
            raise silent(folder) from error
    if "error" in document:
        raise refusal(document)
    if len(descriptors) != len(document["flags"]):
        raise EnvironmentLacks(f"{node} cannot be entered: too many open files", "ulimit -n 4096, or name fewer nodes")
    return document, list(descriptors)


def silent(folder: RunFolder) -> ExpectationFailed:
    """Return the error that says that a keeper says nothing."""
    return ExpectationFailed(f'laboratory "{folder.name}" did not answer', "./invoke lab-down ends it, if it has to")


def refusal(document: Mapping[str, Any]) -> LabError:
    """Return the error that a refusing answer stands for."""
    kind = of_exit_code(document.get("exit_code", EXIT_UNEXPECTED))
    return kind(str(document["error"]), str(document.get("remedy", "")))


def send(control: socket.socket, request: Mapping[str, Any]) -> None:
    """Send a request on a connection."""
    control.sendall(json.dumps(request).encode() + b"\n")
