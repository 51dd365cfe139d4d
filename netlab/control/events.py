"""`lab-events`: what happens in a laboratory, as lines of JSON, from what it is now on (happenings.py)."""

from __future__ import annotations

import json
import sys
from time import monotonic
from typing import Final

from netlab.control import runfolder
from netlab.control.asking import PIECE_BYTES, refusal, send
from netlab.errors import EXIT_OK, BadInput, in_words
from netlab.links.impairment import parse_duration

LOOK_SECONDS: Final = 3600.0  # at a time: no socket can be told to wait for centuries


@in_words("lab-events")
def run(name: str, time: str) -> int:
    """Print events for a time ("10s", "" for ever), or until the laboratory goes; return the exit code."""
    deadline = monotonic() + _seconds(time) if time else None
    folder = runfolder.find(name)
    with folder.connect() as control:
        send(control, {"do": "events"})
        begun = b""  # a line that is not whole yet
        while deadline is None or deadline > monotonic():
            control.settimeout(None if deadline is None else min(max(0.001, deadline - monotonic()), LOOK_SECONDS))
            try:
                piece = control.recv(PIECE_BYTES)
            except TimeoutError:
                continue
            except ConnectionResetError:  # its keeper was killed
                piece = b""
            if not piece:
                _see_refusal(begun)
                print(f"lab-events: {folder.name} is down", file=sys.stderr)
                break
            whole, newline, begun = (begun + piece).rpartition(b"\n")
            sys.stdout.write((whole + newline).decode())
            sys.stdout.flush()
    return EXIT_OK


def _see_refusal(words: bytes) -> None:
    """Raise the error that stands behind the last line; that of a refusal has no end, nor has one that was cut off."""
    try:
        document = json.loads(words)
    except ValueError:
        return
    if isinstance(document, dict) and "error" in document:
        raise refusal(document)


def _seconds(time: str) -> float:
    try:
        return parse_duration(time)
    except ValueError as error:
        raise BadInput(f"--for: {error}") from error
