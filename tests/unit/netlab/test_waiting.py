"""Waiting until descriptors can be read."""

from __future__ import annotations

import os
import socket
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from time import monotonic

from netlab.waiting import readable


def test_what_can_be_read_or_has_ended_is_told() -> None:
    """A laboratory would wait for a process that has died until its patience is over."""
    ended, other = socket.socketpair()
    quiet, far = socket.socketpair()
    reading, writing = os.pipe()
    with ended, quiet, far:
        os.write(writing, b"x")
        other.close()
        assert readable([ended, quiet], 10) == [ended]
        assert readable([reading], 10) == [reading]
        assert readable([quiet], 0) == readable([quiet], -1.0) == []
        began = monotonic()
        assert readable([quiet], 0.01) == readable([], 0.01) == []
        assert monotonic() - began >= 0.02
    os.close(reading)
    os.close(writing)


def test_a_large_number_is_waited_for_like_a_small_one() -> None:
    """A laboratory of more than 300 members would end in a traceback: select(2) names no descriptor above 1,023."""
    soft, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (min(hard, 4096), hard))
    reading, writing = os.pipe()
    try:
        os.dup2(reading, 3000, inheritable=False)
        os.write(writing, b"x")
        assert readable([3000], 10) == [3000]
        os.close(3000)
    finally:
        os.close(reading)
        os.close(writing)
        setrlimit(RLIMIT_NOFILE, (soft, hard))
