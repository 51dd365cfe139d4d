"""Where a process logs to, and in which form: for people on a terminal, for the journal in its own, else as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

from rustun.journal import JOURNAL_SOCKET, JournalWriter, is_journal
from rustun.logs import LineWriter, LogFormat, Sink


def log_output(
    style: LogFormat, verbosity: int, stream: TextIO, environ: Mapping[str, str], journal: str = JOURNAL_SOCKET
) -> Sink:
    """Return what writes the log.

    Args:
        style: as it was asked for; "auto" looks at the stream.
        verbosity: how often -v was given.
        stream: standard error.
        environ: of this process.
        journal: path of the journal's socket.
    """
    lowest = "debug" if verbosity else "info"
    if style != "auto":
        return LineWriter(stream, style, lowest)
    if is_journal(stream, environ):
        with suppress(OSError):  # out of reach: the journal takes lines by standard error as well
            return JournalWriter(lowest, journal)
        return LineWriter(stream, "text", lowest)
    return LineWriter(stream, "text" if stream.isatty() else "json", lowest)
