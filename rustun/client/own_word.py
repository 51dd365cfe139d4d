"""What several servers say of this member: the word of the first counts, and who says something else is named.

Rules of this module
  1. Without a session the last word stays in force, and what it says of prefixes until the first server has told its.
  2. Each server is named once for what it says, again when it says something new; nothing older is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rustun.backends.base import Endpoint
from rustun.client.peers import OwnEntry
from rustun.client.server_link import ServerLink
from rustun.logs import EventLog


class OwnWord:
    """This member's own entry.

    Attributes:
        entry: in force; None before a server told one.
    """

    def __init__(self, log: EventLog) -> None:
        self.entry: OwnEntry | None = None
        self._log = log
        self._differing: dict[Endpoint, OwnEntry] = {}  # what each server was named for

    def ask(self, links: Sequence[ServerLink]) -> OwnEntry | None:
        """Take this member's entry as the first server with a session tells it; return what is in force."""
        first = next((link for link in links if link.session is not None), None)
        if first is None or first.peers.own is None:
            return self.entry
        own = first.peers.own
        if self.entry is not None and not first.configured:
            own = replace(own, offered=self.entry.offered, mapping=self.entry.mapping)
        self.entry = own
        for link in links if first.configured else ():
            theirs = link.peers.own
            if link.session is None or not link.configured or theirs is None:
                continue
            differs = (theirs.addresses, set(theirs.offered)) != (own.addresses, set(own.offered))
            if differs and self._differing.get(link.server) != theirs:
                self._differing[link.server] = theirs
                text = f"{first.server} and {link.server} do not tell the same addresses and prefixes of this member"
                text = f"{text}: those of {first.server} count"
                self._log.event("warning", "servers-differ", text, server=link.server)
        return own
