"""Who is in a cluster, told to its members: generations, pages and cursors (docs/protocol.md, section 7).

Rules of this module
  1. A change makes a new generation; each of its pages is encoded once, for all receivers, when the first one takes it:
     all pages of 5,000 members at a time would hold the loop for 12 ms.
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


class Pages:
    """What leads from one generation to another, as control messages.

    Args:
        generation, base: where they lead to, and from; a base of 0 makes a snapshot.
        entries, gone: the members that are told, and those that left.
    """

    def __init__(self, generation: int, base: int, entries: list[DirectoryEntry], gone: list[str]) -> None:
        groups = _groups(entries, gone)
        self._pages: list[Directory | bytes] = [
            Directory(generation, base, page, len(groups), tuple(members), tuple(left))
            for page, (members, left) in enumerate(groups)
        ]

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, number: int) -> bytes:
        page = self._pages[number]
        if isinstance(page, Directory):
            page = self._pages[number] = encode(page)
        return page


class Cursor:
    """How far one receiver has got."""

    __slots__ = ("_generation", "_page", "_pages", "_target")

    def __init__(self) -> None:
        self._generation = 0
        self._target = 0
        self._pages: Pages | None = None  # under way
        self._page = 0

    def next_page(self, directory: ClusterDirectory) -> bytes | None:
        """Return the next control message to send, or None when this receiver knows everything."""
        if self._pages is None:
            if self._generation == directory.generation:
                return None
            self._target, self._pages = directory.after(self._generation)
            self._page = 0
        page = self._pages[self._page]
        self._page += 1
        if self._page == len(self._pages):
            self._generation, self._pages = self._target, None
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
        self._news: deque[tuple[int, Pages]] = deque(maxlen=KEPT_GENERATIONS)
        self._snapshot: Pages | None = None

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
        self._news.append((self.generation, Pages(self.generation, base, entries, gone)))
        self._published = dict(self._entries)
        self._changed.clear()
        self._snapshot = None

    def after(self, generation: int) -> tuple[int, Pages]:
        """Return (generation that is known then, pages) that lead on from `generation`, which is not the newest."""
        oldest = self._news[0][0] if self._news else 0
        if generation > 0 and oldest <= generation + 1:
            return self._news[generation + 1 - oldest]
        if self._snapshot is None:
            self._snapshot = Pages(self.generation, 0, list(self._published.values()), [])
        return self.generation, self._snapshot


def _groups(entries: list[DirectoryEntry], gone: list[str]) -> list[tuple[list[DirectoryEntry], list[str]]]:
    """Return what each page tells."""
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
    return groups


def _size(entry: DirectoryEntry | str) -> int:
    if isinstance(entry, str):
        return len(entry.encode()) + 3
    texts = (entry.identity, entry.name, entry.address, entry.address6, *entry.prefixes)
    return 80 + len("".join(texts).encode()) + 3 * len(texts)
