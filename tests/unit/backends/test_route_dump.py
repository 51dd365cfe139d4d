"""Routes read by hand: what the library writes comes back, and what leads nowhere is passed over."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace

import pytest

from rustun.backends.host_snapshot import Route
from rustun.backends.route_dump import HEADER, ROUTE, parse_route
from tests.unit.backends.test_route_changes import OIF, encoded, some_route

MAIN = 254


def read(message: bytes, table: int = MAIN) -> Route | None:
    """Return what is read of a message as the kernel would send it, with the number of its table."""
    return parse_route(memoryview(message[HEADER.size :] + struct.pack("=HHI", 8, 15, table)), MAIN)


def with_byte(message: bytes, offset: int, value: int) -> bytes:
    at = HEADER.size + offset
    return message[:at] + bytes([value]) + message[at + 1 :]


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.2.0/24", "::/0", "fd00::/64"])
def test_route_comes_back_as_it_was(text: str) -> None:
    """If this fails, a pin is a different path from the one that it copies."""
    assert read(encoded(some_route(text))) == some_route(text)


def test_next_hop_object_is_the_whole_path() -> None:
    """If this fails, a pin along a shared next hop is refused by the kernel, or leads elsewhere."""
    by_object = ("RTA_NH_ID", (9).to_bytes(4, sys.byteorder))
    found = read(encoded(replace(some_route("10.0.0.0/8"), path=(by_object, OIF))))
    assert found is not None
    assert found.path == (by_object,)
    assert found.has_gateway


def test_dead_local_and_foreign_tables_are_passed_over() -> None:
    """If this fails, a path through an unplugged cable, or of somebody's policy, counts as one."""
    message = encoded(some_route("10.0.0.0/8"))
    assert read(message) is not None
    dead_flag, unreachable = (ROUTE.size - 4 if sys.byteorder == "little" else ROUTE.size - 1), 7
    assert read(with_byte(message, dead_flag, 5)) is None
    assert read(with_byte(message, 7, unreachable)) is None
    assert read(message, table=255) is None
    assert read(message, table=1000) is None


@pytest.mark.parametrize("metric", [0, 1, 0xFFFFFFFF])
def test_any_metric(metric: int) -> None:
    """If this fails, the best of several default routes is another than the kernel's."""
    found = read(encoded(replace(some_route("::/0"), metric=metric)))
    assert found is not None
    assert found.metric == metric
