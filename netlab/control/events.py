"""`lab-events`: what happens in a laboratory, as lines of JSON, from what it is now on (happenings.py)."""

from __future__ import annotations

import sys
from time import monotonic

from netlab.control import runfolder
from netlab.control.asking import PIECE_BYTES, send
from netlab.errors import EXIT_OK, BadInput, in_words
from netlab.links.impairment import parse_duration


@in_words("lab-events")
def run(name: str, time: str) -> int:
    """Print events for a time ("10s", "" for ever), or until the laboratory goes; return the exit code."""
    deadline = monotonic() + _seconds(time) if time else None
    folder = runfolder.find(name)
    with folder.connect() as control:
        send(control, {"do": "events"})
        while deadline is None or deadline > monotonic():
            control.settimeout(None if deadline is None else max(0.001, deadline - monotonic()))
            try:
                piece = control.recv(PIECE_BYTES)
            except TimeoutError:
                break
            if not piece:
                print(f"lab-events: {folder.name} is down", file=sys.stderr)
                break
            sys.stdout.write(piece.decode())
            sys.stdout.flush()
    return EXIT_OK


def _seconds(time: str) -> float:
    try:
        return parse_duration(time)
    except ValueError as error:
        raise BadInput(f"--for: {error}") from error
