"""Which interfaces a capture listens at, and their sockets, opened inside the namespaces.

Rules of this module
  1. A capture begins when its taps are open: the kernel keeps what they see until somebody reads it.
  2. Interfaces are named by node and name, and listened at below the routing table: a member's TUN device shows what is
     inside the tunnel, its cable what is outside. Of a LAN, each port of the bridge, not the bridge, which would show
     all twice.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

from netlab.capture import filters
from netlab.capture.ring import BLOCK_BYTES, attach, open_tap
from netlab.errors import BadInput, EnvironmentLacks
from netlab.isolation.taps import Tap
from netlab.lab import TUN
from netlab.namespaces import NetworkNamespace

ALL: Final = "all"
SNAP_BYTES: Final = 256  # of each packet: headers and the start of what is inside; more would slow down what it shows
MOST_SNAP_BYTES: Final = 1 << 18
ETHERNET_BYTES: Final = 14
MEMORY_BYTES: Final = 128 << 20  # of all taps together
LARGEST_RING: Final = 16 << 20
RTMGRP_LINK: Final = 1  # linux/rtnetlink.h


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be captured.

    Attributes:
        filter: an expression of filters.py, "" for all packets.
        snap_bytes: how much of each packet is kept, from its IP header on, so that taps are alike; 0 for all of it.
        comment: goes into the file, and so do
        peers: by tap the tap at the other end of its cable.
        last_bytes: keep what is newest, about so much, in memory, and write it at the end; 0 for everything.
    """

    taps: tuple[Tap, ...]
    filter: str = ""
    snap_bytes: int = SNAP_BYTES
    comment: str = ""
    peers: Mapping[str, str] = field(default_factory=dict)
    last_bytes: int = 0

    @property
    def ring_bytes(self) -> int:
        """How much memory each tap gets."""
        share = min(MEMORY_BYTES // max(len(self.taps), 1), LARGEST_RING)
        return max(share // BLOCK_BYTES, 2) * BLOCK_BYTES


@dataclass(frozen=True, slots=True)
class OpenTaps:
    """Sockets that keep what they see from now on.

    Attributes:
        sockets: one for each tap of the wish.
        watches: by node, readable when one of its interfaces comes, goes or changes.
    """

    wish: Wish
    sockets: tuple[socket.socket, ...]
    watches: Mapping[str, socket.socket]

    def close(self) -> None:
        """Let go of all; a second call is harmless."""
        for one in (*self.sockets, *self.watches.values()):
            one.close()


def open_taps(wish: Wish, namespaces: Mapping[str, NetworkNamespace]) -> OpenTaps:
    """Open the taps of a wish, each in its node's namespace.

    Raises:
        BadInput: the filter cannot be read.
        EnvironmentLacks: the kernel refuses packet sockets, or their memory.
    """
    kept = wish.snap_bytes or MOST_SNAP_BYTES
    inside, outside = (filters.compiled(wish.filter, kept + link) for link in (0, ETHERNET_BYTES))
    sockets: list[socket.socket] = []
    watches: dict[str, socket.socket] = {}
    try:
        for tap in wish.taps:
            space = namespaces[tap.node]
            if tap.node not in watches:
                watches[tap.node] = space.run(_link_watch)
            sockets.append(space.run(partial(open_tap, inside if tap.tunnel else outside, wish.ring_bytes)))
    except OSError as error:
        OpenTaps(wish, tuple(sockets), watches).close()
        words = f"no packet socket with {wish.ring_bytes >> 20} MiB of memory: {error.strerror}"
        raise EnvironmentLacks(words, "capture fewer nodes, as the user who ran lab-up") from error
    for tap, sock in zip(wish.taps, sockets, strict=True):
        attach(sock, tap.interface)  # one that is missing is listened at when it comes
    return OpenTaps(wish, tuple(sockets), watches)


def _link_watch() -> socket.socket:
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    watch.bind((0, RTMGRP_LINK))
    return watch


def choose(status: Mapping[str, Any], wanted: str) -> tuple[Tap, ...]:
    """Return the taps that words mean, in the order of the laboratory.

    Args:
        status: a laboratory's status document, of which `nodes` and `cables` are read.
        wanted: by comma: a node (all its interfaces), a cable "A-B" (both its ends), "NODE:INTERFACE", or "all".

    Raises:
        BadInput: there is no such thing; says what there is.
    """
    cables = [tuple(_tap(end) for end in cable["ends"]) for cable in status["cables"]]
    known: dict[str, list[Tap]] = {}
    for node in status["nodes"]:
        ends = [end for cable in cables for end in cable if end.node == node["node"]]
        inner = [Tap(node["node"], TUN, tunnel=True)] if node["role"] == "member" else []
        known[node["node"]] = [*inner, *ends]
    names = {**known, ALL: [tap for taps in known.values() for tap in taps]}
    names |= {str(tap): [tap] for tap in names[ALL]}
    for near, far in cables:
        names[f"{near.node}-{far.node}"] = names[f"{far.node}-{near.node}"] = [near, far]
    chosen: set[str] = set()
    for word in filter(None, (word.strip() for word in wanted.split(","))):
        if word not in names:
            close = get_close_matches(word, names, n=1)
            remedy = f'did you mean "{close[0]}"? ' if close else ""
            raise BadInput(f'no node or cable "{word}"', f"{remedy}nodes: {', '.join(known)}; cables: A-B; or: all")
        chosen.update(str(tap) for tap in names[word])
    if not chosen:
        raise BadInput("nothing to capture was named", f"nodes: {', '.join(known)}; or: all")
    return tuple(tap for tap in names[ALL] if str(tap) in chosen)


def peers(status: Mapping[str, Any]) -> dict[str, str]:
    """Return by tap what is at the other end of its cable, from a status document."""
    ends = [cable["ends"] for cable in status["cables"]]
    return {one: other for near, far in ends for one, other in ((near, far), (far, near))}


def _tap(end: str) -> Tap:
    node, _, interface = end.rpartition(":")
    return Tap(node, interface)
