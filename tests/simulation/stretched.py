"""The stretched form of a shared key, made once in a process: 0.1 s each, and most worlds of tests have the same key.

Tests of the stretching itself take `shared_psk` by name from rustun.protocol.suites, and get it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest

import rustun.protocol.suites
from rustun.protocol.suites import shared_psk

stretched = cache(shared_psk)


@contextmanager
def stretched_once() -> Iterator[None]:
    """Let the program, too, stretch each key once until the context ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rustun.protocol.suites, "shared_psk", stretched)
        yield
