"""Which servers are behind paths that swallow full segments without telling anybody, as far as is known.

Rules of this module
  1. A path is suspected when a session stands still (path_watch.py); a session that begins with small segments confirms
     it, and a try that fails acquits it: then the path is dead, not narrow.
  2. A session that has carried full segments is spared the suspicion: it was cut off, or a NAT box forgot it. When its
     address stands still again within AGAIN_SECONDS, the path has become narrow, or is so in one direction.
  3. What is confirmed holds for REMEMBERED_SECONDS or until this host's network changes. A mistake costs some
     throughput for that long, and no more.
"""

from __future__ import annotations

from typing import Final

SMALL_SEGMENT_BYTES: Final = 1220  # IPv6's least MTU of 1280 without the headers of IPv6 and TCP (RFC 8200, section 5)
REMEMBERED_SECONDS: Final = 3600.0
AGAIN_SECONDS: Final = 60.0  # what goes on sending stands still within seconds, what is idle after some keepalives


class NarrowPaths:
    """What one link knows of the paths to its server's addresses."""

    def __init__(self) -> None:
        self._suspected = ""
        self._until: dict[str, float] = {}
        self._spared_until: dict[str, float] = {}

    def segment_bytes(self, host: str, now: float) -> int:
        """Return the largest segment for connections to a numeric address; 0 for whatever the kernel likes."""
        return SMALL_SEGMENT_BYTES if host == self._suspected or self._until.get(host, now) > now else 0

    def suspect(self, host: str, now: float, *, carried_full: bool) -> None:
        """A session with this address stands still; `carried_full` says whether it has carried full segments before."""
        if carried_full and now >= self._spared_until.get(host, now):
            self._spared_until[host] = now + AGAIN_SECONDS
        else:
            self._suspected = host

    def confirm(self, host: str, now: float) -> bool:
        """A session with this address begins; return whether its path was suspected, and is narrow from now on."""
        confirmed = host == self._suspected
        if confirmed:
            self._until[host] = now + REMEMBERED_SECONDS
        self._suspected = ""
        return confirmed

    def acquit(self) -> None:
        """The session goes on, or nothing gets through at all."""
        self._suspected = ""

    def forget(self) -> None:
        """This host's network is another one."""
        self._suspected = ""
        self._until.clear()
        self._spared_until.clear()
