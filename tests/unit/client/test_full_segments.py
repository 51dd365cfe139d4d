"""What counts as evidence that full segments get through, and what does not."""

from __future__ import annotations

import pytest

from rustun.backends.base import PathReport
from rustun.client.full_segments import FullSegments

SEGMENT_BYTES = 1448


def after(*looks: tuple[int, int, int, int], segment_bytes: int = SEGMENT_BYTES) -> bool:
    """Return what is known after looks at (acknowledged bytes, sent bytes, sent segments, received segment bytes)."""
    full = FullSegments()
    for acked, sent, segments, received in looks:
        full.look(PathReport(acked, sent - acked, 0, segment_bytes, sent, segments, received))
    return full.carried


def test_a_full_segment_that_came_is_evidence_for_good() -> None:
    """If this fails, a download that is cut off makes its path narrow."""
    assert not after((100, 100, 1, 536), (200, 200, 2, 1220))
    assert after((100, 100, 1, 1228))
    assert after((100, 100, 1, 1448), (200, 200, 2, 90))


def test_full_segments_that_were_acknowledged_are_evidence() -> None:
    """If this fails, an upload that is cut off makes its path narrow."""
    bulk = 100 * SEGMENT_BYTES
    assert after((100, 100, 1, 536), (100 + bulk, 100 + bulk, 101, 536))
    assert after((100, 100, 1, 536), (50_000, 100 + bulk, 101, 536), (100 + bulk, 110 + bulk, 102, 536))
    assert after((0, 0, 0, 536), (0, bulk, 100, 536), (bulk, 2 * bulk, 200, 536), (2 * bulk, 2 * bulk, 200, 536))


@pytest.mark.parametrize("acked", [0, 100, 100 + 99 * SEGMENT_BYTES])
def test_full_segments_that_vanish_are_none(acked: int) -> None:
    """If this fails, a narrow path is taken for a dead one, and bulk stands still twice."""
    bulk = 100 + 100 * SEGMENT_BYTES
    assert not after((100, 100, 1, 536), *((acked, bulk, 101 + again, 536) for again in range(9)))


def test_small_segments_are_none_however_many() -> None:
    """If this fails, a call on a narrow path hides that, and a file that is sent then stands still twice."""
    assert not after(*((200 * look, 200 * look, look, 536) for look in range(0, 100_000, 50)))
    assert not after(*((1220 * look, 1220 * look, look, 1220) for look in range(0, 100_000, 50)))
    assert not after(*((1300 * look, 1300 * look, look, 536) for look in range(0, 100_000, 50)))


def test_a_connection_of_small_segments_proves_nothing_of_large_ones() -> None:
    """If this fails, small segments that help are taken for full ones."""
    assert not after(*((1208 * look, 1208 * look, look, 1208) for look in range(0, 1000, 50)), segment_bytes=1208)


def test_a_kernel_that_does_not_count_is_no_witness() -> None:
    """If this fails, an old kernel makes a narrow path look wide."""
    assert not after(*((5000 * look, 0, 0, 536) for look in range(100)))
