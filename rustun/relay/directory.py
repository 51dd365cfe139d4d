"""Who is in a cluster, told to its members: generations, pages and cursors (docs/protocol.md, section 7).

Rules of this module
  1. A change makes a new generation; its pages are encoded once, for all receivers.
  2. What a receiver still has to get is a cursor (generation, page), never queued bytes. A cursor that fell too far
     behind gets a snapshot instead of the differences.
  3. News come at most once a second; a member that went and came back in between makes none.
  4. Above PRESENCE_MEMBERS members nobody is told who is online: 5,000 flapping members would cost everybody.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rustun.protocol.control import Directory, DirectoryEntry, encode

NEWS_SECONDS: Final = 1.0
PRESENCE_MEMBERS: Final = 256
KEPT_GENERATIONS: Final = 64  # a minute of news; who is further behind reads a snapshot
PAGE_ENTRIES: Final = 200
PAGE_TEXT_BYTES: Final = 30_000  # half of what a control record may hold, since JSON escapes can double a name


class Cursor:
    """How far one receiver has got."""

    __slots__ = ("_generation", "_page", "_pages", "_target")

    def __init__(self) -> None:
        self._generation = 0
        self._target = 0
        self._pages: tuple[bytes, ...] = ()
        self._page = 0

    def next_page(self, directory: ClusterDirectory) -> bytes | None:
        """Return the next control message to send, or None when this receiver knows everything."""
        if self._page == len(self._pages):
            self._generation = self._target
            if self._generation == directory.generation:
                return None
            self._target, self._pages = directory.after(self._generation)
            self._page = 0
        page = self._pages[self._page]
        self._page += 1
        return page


class ClusterDirectory:
    """The directory of one cluster.

    Attributes:
        generation: of the news published last; 0 before the first.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._entries: dict[str, DirectoryEntry] = {}
        self._published: dict[str, DirectoryEntry] = {}
        self._changed: set[str] = set()
        self._news: deque[tuple[int, tuple[bytes, ...]]] = deque(maxlen=KEPT_GENERATIONS)
        self._snapshot: tuple[bytes, ...] | None = None

    @property
    def has_news(self) -> bool:
        """Whether `publish` would make a generation; members that are back to what was published count as none."""
        self._changed = {
            identity for identity in self._changed if self._entries.get(identity) != self._published.get(identity)
        }
        return bool(self._changed) or self.generation == 0

    def set_entry(self, identity: str, entry: DirectoryEntry | None) -> None:
        """Note how a member is now; None for a member that left the cluster."""
        if entry is None:
            self._entries.pop(identity, None)
        else:
            self._entries[identity] = entry
        self._changed.add(identity)

    def publish(self) -> None:
        """Make one generation of all that changed since the last; call where `has_news`."""
        base, self.generation = self.generation, self.generation + 1
        entries = [self._entries[identity] for identity in sorted(self._changed) if identity in self._entries]
        gone = [identity for identity in sorted(self._changed) if identity not in self._entries]
        self._news.append((self.generation, _pages(self.generation, base, entries, gone)))
        self._published = dict(self._entries)
        self._changed.clear()
        self._snapshot = None

    def after(self, generation: int) -> tuple[int, tuple[bytes, ...]]:
        """Return (generation that is known then, pages) that lead on from `generation`, which is not the newest."""
        oldest = self._news[0][0] if self._news else 0
        if generation > 0 and oldest <= generation + 1:
            return self._news[generation + 1 - oldest]
        if self._snapshot is None:
            self._snapshot = _pages(self.generation, 0, list(self._published.values()), [])
        return self.generation, self._snapshot


def _pages(generation: int, base: int, entries: list[DirectoryEntry], gone: list[str]) -> tuple[bytes, ...]:
    groups: list[tuple[list[DirectoryEntry], list[str]]] = [([], [])]
    room_entries, room_bytes = PAGE_ENTRIES, PAGE_TEXT_BYTES
    everything: list[DirectoryEntry | str] = [*entries, *gone]
    for entry in everything:
        size = _size(entry)
        if room_entries == 0 or (room_bytes < size and room_bytes < PAGE_TEXT_BYTES):
            groups.append(([], []))
            room_entries, room_bytes = PAGE_ENTRIES, PAGE_TEXT_BYTES
        if isinstance(entry, str):
            groups[-1][1].append(entry)
        else:
            groups[-1][0].append(entry)
        room_entries -= 1
        room_bytes -= size
    return tuple(
        encode(Directory(generation, base, page, len(groups), tuple(members), tuple(left)))
        for page, (members, left) in enumerate(groups)
    )


def _size(entry: DirectoryEntry | str) -> int:
    if isinstance(entry, str):
        return len(entry.encode()) + 3
    texts = (entry.identity, entry.name, entry.address, entry.address6, *entry.prefixes)
    return 80 + sum(len(text.encode()) + 3 for text in texts)
