"""Ask a running rustun process for its status document."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from rustun.admin.control import EXCHANGE_SECONDS, MAX_DOCUMENT_BYTES, MAX_PATH_BYTES, SCHEMA, STATUS_REQUEST
from rustun.errors import HostError, RightsError


def read_status(path: Path, timeout_seconds: float = EXCHANGE_SECONDS) -> dict[str, object]:
    """Return the status document of the process that listens on `path`.

    Raises:
        RightsError: the socket belongs to another user.
        HostError: nothing answers there, not in time, or not with a document of this schema.
    """
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise HostError(f"no control socket at {path}", f"the path is longer than the {MAX_PATH_BYTES} bytes of one")
    deadline = time.monotonic() + timeout_seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.settimeout(timeout_seconds)
            peer.connect(os.fspath(path))
            peer.sendall(STATUS_REQUEST + b"\n")
            answer = _receive_all(peer, deadline)
        except OSError as error:
            raise _read_error(path, error) from error
    return _judge(path, answer)


def _receive_all(peer: socket.socket, deadline: float) -> bytes:
    answer = bytearray()
    while len(answer) <= MAX_DOCUMENT_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        peer.settimeout(left)
        received = peer.recv(1 << 16)
        if not received:
            break
        answer += received
    return bytes(answer)


def _judge(path: Path, answer: bytes) -> dict[str, object]:
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError) as error:
        remedy = "it may be overloaded: try again" if not answer else "does another program own this socket?"
        raise HostError(f"the answer from {path} is not a status document", remedy) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        remedy = "use the `rustun status` of the version that runs there"
        raise HostError(f"the answer from {path} is not of schema {SCHEMA}", remedy)
    return document


def _read_error(path: Path, error: OSError) -> HostError | RightsError:
    if isinstance(error, PermissionError):
        return RightsError(f"no permission to read {path}", "run it as root, or as the user whose process that is")
    if isinstance(error, FileNotFoundError):
        return HostError(f"no control socket at {path}", "is the process up, and started with this --control PATH?")
    if isinstance(error, ConnectionRefusedError) and not path.is_socket():
        return HostError(f"{path} is not a control socket", "name the one of a running process with --control PATH")
    if isinstance(error, ConnectionRefusedError):
        return HostError(f"nobody answers on {path}: its process is gone", "start it again; the file is replaced then")
    if isinstance(error, TimeoutError):
        return HostError(f"no answer on {path} in time", "the process hangs or is overloaded: see its log")
    return HostError(f"cannot read {path}: {error.strerror or error}", "name the control socket with --control PATH")
