"""`{"ask": "trace", "source": ..., "destination": ...}`: would a packet pass, and who says so."""

from __future__ import annotations

from typing import Final, Protocol

from rustun.admin.asking import Ask, AskError, Document, Handler
from rustun.admin.control import SCHEMA

USUAL_BYTES: Final = 84  # of a packet; what `ping` sends
LEAST_BYTES: Final = 20
MOST_BYTES: Final = 65_535


class Trace(Protocol):
    """Returns what would become of a packet (rustun.relay.trace, rustun.client.trace). Raises UsageError."""

    def __call__(self, source: str, destination: str, *, member: str, cluster: str, size: int) -> Document:
        """Look."""


def trace_handler(role: str, trace: Trace) -> Handler:
    """Return who answers about packets.

    Args:
        role: "server" or "client".
        trace: knows.
    """

    def answer(ask: Ask) -> Document:
        source, destination = ask.text("source"), ask.text("destination")
        member, cluster = ask.text("member"), ask.text("cluster")
        size = int(ask.number("size", USUAL_BYTES, LEAST_BYTES, MOST_BYTES))
        ask.close()
        if not source or not destination:
            raise AskError("a packet goes from somewhere to somewhere", 'write "source" and "destination"')
        found = trace(source, destination, member=member, cluster=cluster, size=size)
        return {"schema": SCHEMA, "role": role, **found}

    return answer
