"""What a link to a server (server_link.py) needs around it: its client, and what all links of that share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rustun.backends.base import Network, Reactor, TunDevice
from rustun.client.session import Tools
from rustun.client.settings import Settings
from rustun.errors import RefusedError
from rustun.link.buffers import Buffers
from rustun.logs import EventLog

if TYPE_CHECKING:
    from rustun.client.server_link import ServerLink


class LinkOwner(Protocol):
    """What a link asks of its client, and tells it.

    Attributes:
        tun: the device, None while there is none.
        tools: what a new session uses; only while there is a device.
    """

    tun: TunDevice | None
    tools: Tools

    def prepare_device(self) -> str:
        """See to it that there is a device before a try; return why there is none, or nothing."""

    def link_resolved(self) -> None:
        """The addresses of a server (`outside`) are to be kept outside the tunnel, at once."""

    def link_online(self) -> None:
        """A session is about to begin; its server told this member its own entry."""

    def ways_changed(self) -> None:
        """Sessions have begun or ended."""

    def has_session_beside(self, link: ServerLink) -> bool:
        """Tell whether another link has a session, maybe with the same server."""

    def session_ended(self) -> None:
        """A session that was in use has ended, and its place at the server may be free for another link."""

    def link_news(self) -> None:
        """What is known of this member or of the cluster has changed."""

    def link_refused(self, error: RefusedError) -> bool:
        """A server that has our key will not have us; return whether it is asked again after a while."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all links of one client share."""

    reactor: Reactor
    network: Network
    random_bytes: Callable[[int], bytes]
    log: EventLog
    buffers: Buffers
    settings: Settings
