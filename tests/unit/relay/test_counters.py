"""What is counted per session."""

from __future__ import annotations

from rustun.relay.counters import Traffic


def test_sessions_count_for_themselves() -> None:
    """If this fails, one member's drops appear at another, or counting a new reason ends a session."""
    one, other = Traffic(), Traffic()
    one.drops["no-route"] += 3
    one.received_packets += 1
    assert other.drops == {}
    assert [getattr(other, name) for name in Traffic.__slots__ if name != "drops"] == [0, 0, 0, 0]
