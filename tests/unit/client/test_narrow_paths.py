"""What is remembered of narrow paths, and for how long."""

from __future__ import annotations

from rustun.client.narrow_paths import AGAIN_SECONDS, REMEMBERED_SECONDS, SMALL_SEGMENT_BYTES, NarrowPaths

HOST, OTHER = "192.0.2.1", "2001:db8::1"


def test_a_suspicion_holds_until_it_is_judged() -> None:
    """If this fails, a path that is dead is used with small segments for an hour, or a narrow one never is."""
    paths = NarrowPaths()
    assert paths.segment_bytes(HOST, 0.0) == 0
    paths.suspect(HOST, 0.0, carried_full=False)
    assert paths.segment_bytes(HOST, 0.0) == SMALL_SEGMENT_BYTES
    assert paths.segment_bytes(OTHER, 0.0) == 0
    paths.acquit()
    assert paths.segment_bytes(HOST, 0.0) == 0
    assert not paths.confirm(HOST, 0.0)
    paths.suspect(HOST, 0.0, carried_full=False)
    assert not paths.confirm(OTHER, 0.0), "another address of the server answered: nothing is known of this one"
    assert paths.segment_bytes(HOST, 0.0) == 0


def test_what_is_confirmed_holds_for_an_hour_or_until_the_network_changes() -> None:
    """If this fails, each connection finds out anew, or a laptop is slow wherever it goes."""
    paths = NarrowPaths()
    paths.suspect(HOST, 100.0, carried_full=False)
    assert paths.confirm(HOST, 100.0)
    assert not paths.confirm(HOST, 200.0), "it is told once"
    paths.acquit()
    assert paths.segment_bytes(HOST, 100.0 + REMEMBERED_SECONDS - 1) == SMALL_SEGMENT_BYTES
    assert paths.segment_bytes(HOST, 100.0 + REMEMBERED_SECONDS) == 0
    paths.suspect(HOST, 5000.0, carried_full=False)
    assert paths.confirm(HOST, 5000.0)
    paths.forget()
    assert paths.segment_bytes(HOST, 5000.0) == 0


def test_who_has_carried_full_segments_is_spared_once() -> None:
    """If this fails, an outage costs an hour of throughput, or a path that became narrow is never found."""
    paths = NarrowPaths()
    paths.suspect(HOST, 100.0, carried_full=True)
    assert paths.segment_bytes(HOST, 100.0) == 0
    paths.suspect(OTHER, 110.0, carried_full=True)
    assert paths.segment_bytes(OTHER, 110.0) == 0, "each address for itself"
    paths.suspect(HOST, 99.0 + AGAIN_SECONDS, carried_full=True)
    assert paths.segment_bytes(HOST, 99.0 + AGAIN_SECONDS) == SMALL_SEGMENT_BYTES
    paths.acquit()
    paths.suspect(HOST, 100.0 + AGAIN_SECONDS, carried_full=True)
    assert paths.segment_bytes(HOST, 100.0 + AGAIN_SECONDS) == 0, "that was long ago"
    paths.forget()
    paths.suspect(HOST, 101.0 + AGAIN_SECONDS, carried_full=True)
    assert paths.segment_bytes(HOST, 101.0 + AGAIN_SECONDS) == 0, "that was another network"


def test_who_has_carried_nothing_is_suspected_at_once() -> None:
    """If this fails, a narrow path takes twice as long to be found on a new session that follows a long one."""
    paths = NarrowPaths()
    paths.suspect(HOST, 100.0, carried_full=True)
    paths.suspect(HOST, 104.0, carried_full=False)
    assert paths.segment_bytes(HOST, 104.0) == SMALL_SEGMENT_BYTES
