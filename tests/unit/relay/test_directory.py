"""Cursors over generations and pages against a plain dict that is compared at the end."""

from __future__ import annotations

import random

import pytest

from rustun.client.peers import Peers
from rustun.protocol.control import MAX_CONTROL_BYTES, Directory, DirectoryEntry, decode
from rustun.relay.directory import KEPT_GENERATIONS, PAGE_ENTRIES, ClusterDirectory, Cursor
from tests.fuzz.decoders import counted_calls


def entry(identity: str, version: int = 0, *prefixes: str) -> DirectoryEntry:
    return DirectoryEntry(identity, f"name {version}", "10.0.1.2", "", prefixes, version % 2 == 0)


class Receiver:
    """A member as its client sees it: pages as bytes in, the cluster out."""

    def __init__(self) -> None:
        self.cursor = Cursor()
        self.peers = Peers("somebody who is in no directory")

    def read(self, directory: ClusterDirectory, most: int) -> int:
        """Take up to `most` pages; return how many there were."""
        for count in range(most):
            page = self.cursor.next_page(directory)
            if page is None:
                return count
            message = decode(page, MAX_CONTROL_BYTES)
            assert isinstance(message, Directory)
            self.peers.receive(message)
        return most


@pytest.mark.parametrize("seed", range(6))
def test_every_receiver_ends_up_with_what_is(seed: int) -> None:
    """If this fails, a member sees peers that are gone, or never learns of one that is there."""
    rng = random.Random(seed)
    directory, truth = ClusterDirectory(), dict[str, DirectoryEntry]()
    receivers = [Receiver() for _ in range(4)]
    names = [f"member {number}" for number in range(rng.choice((5, 900)))]
    for step in range(300):
        for identity in rng.sample(names, rng.choice((0, 1, 3, len(names) // 3))):
            if rng.random() < 0.3:
                truth.pop(identity, None)
                directory.set_entry(identity, None)
            else:
                truth[identity] = entry(identity, step)
                directory.set_entry(identity, truth[identity])
        if directory.has_news and rng.random() < 0.8:
            directory.publish()
        for number, receiver in enumerate(receivers):
            if rng.random() < (0.9, 0.5, 0.1, 0.005)[number]:  # the last one reads snapshots nearly always
                receiver.read(directory, rng.choice((1, 2, 100)))
        if rng.random() < 0.02:
            receivers[rng.randrange(4)] = Receiver()
    if directory.has_news:
        directory.publish()
    for receiver in receivers:
        receiver.read(directory, 10_000)
        assert receiver.read(directory, 1) == 0
        assert receiver.peers.entries == truth


def test_differences_are_small() -> None:
    """If this fails, each member that comes or goes sends the whole cluster to everybody."""
    directory, receiver = ClusterDirectory(), Receiver()
    for number in range(1000):
        directory.set_entry(f"m{number}", entry(f"m{number}"))
    directory.publish()
    assert receiver.read(directory, 100) == 5
    directory.set_entry("m7", None)
    directory.publish()
    page = receiver.cursor.next_page(directory)
    assert page is not None
    assert len(page) < 150
    message = decode(page, 1000)
    assert isinstance(message, Directory)
    assert (message.base, message.generation, message.members, message.gone) == (1, 2, (), ("m7",))


def test_pages_are_encoded_once_for_all() -> None:
    """If this fails, 5,000 receivers cost 5,000 times the encoding of one page."""
    directory = ClusterDirectory()
    directory.set_entry("a", entry("a"))
    directory.publish()
    pages = [Cursor().next_page(directory) for _ in range(3)]
    assert pages[0] is pages[1] is pages[2]


def test_five_thousand_members_are_told_in_short_steps() -> None:
    """If this fails, each change in a large cluster stops every packet while all of its pages are encoded."""
    directory, receiver = ClusterDirectory(), Receiver()
    for number in range(5000):
        directory.set_entry(f"m{number}", entry(f"m{number}", 1, "192.168.0.0/24"))
    directory.publish()
    directory.set_entry("m7", entry("m7", 3))
    directory.publish()
    calls, pages = [], list[bytes | None]()
    while len(receiver.peers.entries) < 5000:
        calls.append(counted_calls(lambda: pages.append(receiver.cursor.next_page(directory))))
        message = decode(pages[-1] or b"", MAX_CONTROL_BYTES)
        assert isinstance(message, Directory)
        receiver.peers.receive(message)
    assert len(calls) == 5000 / PAGE_ENTRIES
    assert max(calls[1:]) < calls[0] / 5, "the first one finds out who stands on which page"


def test_who_is_too_far_behind_reads_a_snapshot() -> None:
    """If this fails, a slow receiver gets differences that lack their beginning, or memory grows with the slowest."""
    directory = ClusterDirectory()
    behind, just_so = Receiver(), Receiver()
    directory.set_entry("a", entry("a", 0))
    directory.publish()
    behind.read(directory, 1)
    for version in range(1, KEPT_GENERATIONS + 2):
        directory.set_entry("a", entry("a", version))
        directory.publish()
        if version == 1:
            just_so.read(directory, 1)
    assert just_so.read(directory, 1000) == KEPT_GENERATIONS
    assert behind.read(directory, 1000) == 1
    assert behind.peers.entries == just_so.peers.entries == {"a": entry("a", KEPT_GENERATIONS + 1)}


def test_a_member_that_went_and_came_back_is_no_news() -> None:
    """If this fails, one flapping member keeps everybody busy."""
    directory = ClusterDirectory()
    assert directory.has_news  # the first generation, even of an empty cluster
    directory.set_entry("a", entry("a"))
    directory.publish()
    news = []
    for now in (None, entry("a"), entry("a", 2), entry("a")):
        directory.set_entry("a", now)
        news.append(directory.has_news)
    assert news == [True, False, True, False]


def test_news_while_a_snapshot_is_read_come_after_it() -> None:
    """If this fails, a receiver mixes pages of two generations, which ends its session."""
    directory, receiver = ClusterDirectory(), Receiver()
    for number in range(3 * PAGE_ENTRIES):
        directory.set_entry(f"m{number}", entry(f"m{number}"))
    directory.publish()
    receiver.read(directory, 1)
    directory.set_entry("m0", entry("m0", 1))
    directory.set_entry("m1", None)
    directory.publish()
    receiver.read(directory, 100)
    assert receiver.peers.entries["m0"] == entry("m0", 1)
    assert len(receiver.peers.entries) == 3 * PAGE_ENTRIES - 1


def test_pages_fit_a_control_record() -> None:
    """If this fails, a page is longer than a record may be, and telling the news ends every session."""
    directory, cursor = ClusterDirectory(), Cursor()
    prefixes = [f"fd00:1111:2222:3333:4444:5555:{number:x}:0/112" for number in range(400)]
    for number in range(500):
        long_name = '"\\' * 126
        directory.set_entry(
            f"{number}{long_name}", DirectoryEntry(f"{number}{long_name}", long_name, "10.0.1.2", "", (), None)
        )
        directory.set_entry(f"p{number}", entry(f"p{number}", 0, *prefixes[: number % 401]))
    directory.publish()
    members = 0
    while (page := cursor.next_page(directory)) is not None:
        message = decode(page, MAX_CONTROL_BYTES)
        assert isinstance(message, Directory)
        members += len(message.members)
    assert members == 1000
