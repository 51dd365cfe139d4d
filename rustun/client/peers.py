"""What a client knows of itself and of its cluster from one server, and what follows from it for its host.

Rules of this module
  1. News replace what was known only when all pages of a generation have come.
  2. A packet from the tunnel is delivered when its source lies in a prefix that this server tells of and the host
     routes into the tunnel, and its destination is this member's own address or a prefix that it offers; the kernel
     never sees another. Nobody in the tunnel speaks as this host, or from where the host goes by another way.
  3. A prefix that this member offers is its own LAN: it is never routed into the tunnel, and nothing comes from there.
  4. The server's word alone opens nothing: an own address counts when the host has set it, a network when the host
     routes it, and what is offered as far as this host's configuration lets it in. Where that believes the server, the
     host's other addresses are still not for the tunnel.
  5. What a server tells is bounded, complete or not: more ends the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import chain, islice
from typing import Final

from rustun.backends.base import HostReport, Interface, Prefix
from rustun.client.known_members import TEXT_BYTES, KnownMembers, entries_bytes
from rustun.config.consent import HostConsent, lets_in
from rustun.errors import ProtocolError
from rustun.protocol.control import (
    MAX_ASKED,
    MAX_CLIENT_CONTROL_BYTES,
    Directory,
    DirectoryEntry,
    Presence,
    parse_interface,
    parse_prefix,
)
from rustun.protocol.packet import flow_addresses
from rustun.protocol.routing import PrefixTable, like_default, never_inside

MAX_DIRECTORY_BYTES: Final = 32 << 20  # of memory, for about 50,000 members: what a hostile server can make us hold
MAX_VERDICTS: Final = 4096


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """This member's own entry as the server tells it.

    `offered` are the LANs behind it, `mapping` what the server says that it translates: pairs of the prefix that the
    cluster sees and the real one, as texts, since nothing but a warning comes of them.
    """

    name: str
    addresses: tuple[Interface, ...]
    offered: tuple[Prefix, ...]
    mapping: tuple[tuple[str, str], ...] = ()


def own_entry(
    name: str, address: str, address6: str, prefixes: tuple[str, ...], mapping: Mapping[str, str] | None = None
) -> OwnEntry:
    """Return the entry that a server sent as texts. Raises ProtocolError when one of them is not what it has to be."""
    try:
        return OwnEntry(
            name,
            tuple(parse_interface(text) for text in (address, address6) if text),
            tuple(parse_prefix(prefix) for prefix in prefixes),
            tuple((mapping or {}).items()),
        )
    except ProtocolError as error:
        raise ProtocolError(f"the server's configuration for this member makes no sense: {error}") from None


class Peers:
    """The cluster as this member knows it.

    Attributes:
        own: this member's entry, None before the server told it.
        heard: whether the server has told of all of them.
        current: whether the present session has told of them; else it was an earlier one.
        verdicts: of `judge`, by flow key, as far as they are remembered.
        refused: by verdict, the flow key of the latest packet that got it; without those to all neighbours.
    """

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self.own: OwnEntry | None = None
        self._known = KnownMembers()
        self.heard = False
        self.current = False
        self._presence: dict[str, bool] = {}  # as asked for, the oldest answer first
        self._wanted: dict[str, None] = {}  # whose presence matters now and may have changed
        self._pages: list[Directory] = []
        self._page_bytes = 0
        self._generation = 0
        self._inside: PrefixTable[bool] = PrefixTable()
        self._ours: PrefixTable[bool] = PrefixTable()
        self.verdicts: dict[bytes, str] = {}
        self.refused: dict[str, bytes] = {}

    @property
    def entries(self) -> Mapping[str, DirectoryEntry]:
        """The other members by identity, as they are until the next news."""
        return self._known.entries

    def online(self, entry: DirectoryEntry) -> bool | None:
        """Return whether a member is online; None where nobody has told."""
        return entry.online if entry.online is not None else self._presence.get(entry.identity)

    def owner(self, address: int, version: int) -> str | None:
        """Return the identity of the other member who has an address, as its server sees it; None for nobody's."""
        return self._known.owner(address, version)

    def presence(self, identity: str) -> bool | None:
        """Return whether a member is online, as far as it is known; where it has to be asked for, it will be."""
        entry = self.entries[identity]
        if entry.online is None:
            self._wanted[identity] = None
        return self.online(entry)

    def presence_to_ask(self) -> tuple[str, ...]:
        """Return whose presence to ask for next: those untold, then those told longest ago."""
        entries, known = self.entries, self._presence
        untold = (identity for identity, entry in entries.items() if entry.online is None and identity not in known)
        oldest = (identity for identity in known if identity in entries and entries[identity].online is None)
        return _fitting(chain(untold, oldest))

    def presence_wanted(self) -> tuple[str, ...]:
        """Return for whom `presence` was asked since this was called last, where nobody tells it unasked."""
        wanted = _fitting(self._wanted)
        self._wanted.clear()
        return wanted

    def note_presence(self, answer: Presence) -> None:
        """Take an answer about presence; what it says of strangers to the directory is passed over."""
        for identity in (*answer.online, *answer.offline):
            self._presence.pop(identity, None)  # so that it goes to the end
            if identity in self.entries:
                self._presence[identity] = identity in answer.online

    def forget_generation(self) -> None:
        """A new session begins: its server may count generations anew. What is known stays until it is replaced."""
        self._generation = 0
        self._pages.clear()
        self._page_bytes = 0
        self._presence.clear()
        self.current = False

    def replace(self, entries: list[DirectoryEntry]) -> bool:
        """Take a whole new set of members; return whether it is another one. Raises ProtocolError as `receive`."""
        return self._take({entry.identity: entry for entry in entries}, whole=True)

    def _take(self, told: dict[str, DirectoryEntry | None], *, whole: bool) -> bool:
        news = {**dict.fromkeys(self.entries), **told} if whole else told
        news.pop(self._identity, None)
        if self._known.bytes_with(news) > MAX_DIRECTORY_BYTES:
            raise ProtocolError(f"a directory of over {MAX_DIRECTORY_BYTES >> 20} MiB")
        self.heard = self.current = True
        return self._known.change(news)

    def receive(self, page: Directory) -> bool:
        """Take one page of news.

        Returns: whether what is known has changed, or is known to be true in this session.
        Raises: ProtocolError for a page that does not follow the one before, and for more than a client holds.
        """
        expected = len(self._pages)
        if page.page != expected or (page.base != 0 and page.base != self._generation):
            raise ProtocolError(f"directory page {page.page} of generation {page.generation} is out of order")
        first = self._pages[0] if self._pages else page
        if (first.generation, first.base, first.pages) != (page.generation, page.base, page.pages):
            raise ProtocolError("directory pages of two generations are mixed")
        self._page_bytes += entries_bytes(page.members) + sum(TEXT_BYTES + len(identity) for identity in page.gone)
        if self._page_bytes > MAX_DIRECTORY_BYTES:
            self._pages.clear()
            raise ProtocolError(f"directory pages of over {MAX_DIRECTORY_BYTES >> 20} MiB")
        self._pages.append(page)
        if len(self._pages) < page.pages:
            return False
        pages, self._pages, self._page_bytes = self._pages, [], 0
        self._generation = page.generation
        told: dict[str, DirectoryEntry | None] = {}
        for part in pages:
            told.update(dict.fromkeys(part.gone))
            told.update((entry.identity, entry) for entry in part.members)
        was_current = self.current
        return self._take(told, whole=page.base == 0) or not was_current

    def prefixes(self, own: OwnEntry) -> frozenset[Prefix]:
        """Return what should be routed into the tunnel: other members' addresses and LANs.

        Addresses within the networks of this member's own addresses need no route of their own: the device has one.

        Args:
            own: this member's entry as it is in force.
        """
        networks = tuple(address.network for address in own.addresses)
        return self._known.prefixes_outside(networks).difference(own.offered)

    def set_routed(self, report: HostReport, consent: HostConsent, own: OwnEntry) -> None:
        """Note what the host really has and routes into the tunnel, and what it agrees to forward for.

        Args:
            own: this member's entry as it is in force.
        """
        self._inside, self._ours = PrefixTable(), PrefixTable()
        self.verdicts.clear()
        networks = [address.network for address in self.own.addresses] if self.own is not None else []
        told = self.prefixes(own).union(networks)
        for prefix in (*own.offered, *report.refused):  # also where a default route leads into the tunnel
            self._inside.insert(prefix, False)
        for prefix in told.intersection(report.routed):
            self._inside.insert(prefix, True)
        addresses = [ip_network(address.ip) for address in report.addresses]
        local = [ip_network(address) for address in report.local]
        for prefix in (*report.elsewhere, *local, *addresses):
            self._inside.insert(prefix, False)
        for prefix in own.offered:
            if lets_in(consent, prefix) and (report.offers_exit or not like_default(prefix)):
                self._ours.insert(prefix, True)
        for prefix in local if consent.as_told else ():
            self._ours.insert(prefix, False)
        for prefix in addresses:
            self._ours.insert(prefix, True)

    def judge(self, key: bytes) -> str:
        """Return why a packet with these addresses (a flow key) is not delivered, or nothing when it is."""
        if len(self.verdicts) >= MAX_VERDICTS:
            self.verdicts.clear()
        verdict = self.verdicts[key] = self._judge(key)
        if verdict:
            version, _, destination = flow_addresses(key)
            if not never_inside(destination, version):
                self.refused[verdict] = key
        return verdict

    def _judge(self, key: bytes) -> str:
        version, source, destination = flow_addresses(key)
        if not self.is_inside(source, version):
            return "bad-source"
        if not self.is_ours(destination, version):
            return "bad-destination"
        return ""

    def is_inside(self, address: int, version: int) -> bool:
        """Return whether an address is reached through the tunnel, and nowhere else."""
        return not never_inside(address, version) and bool(self._inside.lookup(address, version))

    def is_ours(self, address: int, version: int) -> bool:
        """Return whether an address is this host's own in the tunnel, or one that it lets in."""
        return not never_inside(address, version) and bool(self._ours.lookup(address, version))


def _fitting(identities: Iterable[str]) -> tuple[str, ...]:
    """Return the first of them, as many as one question may name."""
    asked: list[str] = []
    room = MAX_CLIENT_CONTROL_BYTES // 2
    for identity in islice(identities, MAX_ASKED):
        room -= 2 * len(identity.encode()) + 3  # with every character escaped, quotes and a comma
        if room < 0:
            break
        asked.append(identity)
    return tuple(asked)
