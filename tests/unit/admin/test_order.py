"""In which order `rustun top` shows members."""

from __future__ import annotations

from typing import Any

from rustun.admin.order import SORT_KEYS, Order

BUSY: dict[str, Any] = {"identity": "b", "received_bytes_per_s": 50, "sent_bytes_per_s": 50, "rtt_ms": 1, "age_s": 9}
QUIET: dict[str, Any] = {"identity": "a", "received_bytes_per_s": 0, "sent_bytes_per_s": 1, "rtt_ms": None, "age_s": 5}
GONE: dict[str, Any] = {"identity": "c", "state": "offline"}


def shown(order: Order) -> str:
    members = [{**QUIET, "drops": {"no-route": 2}}, GONE, {**BUSY, "drops": {"queue-full": 1}, "lost_packets": 5}]
    return "".join(member["identity"] for member in order.sorted(members))


def test_what_comes_first() -> None:
    """Who looks for the busiest, the slowest or the unluckiest member reads somebody else's name on top."""
    assert {key: shown(Order(key)) for key in SORT_KEYS} == {
        "now": "bac", "member": "abc", "rtt": "bac", "drops": "bac", "age": "bac",
    }  # fmt: skip
    assert [shown(Order(key, turned=True)) for key in ("now", "member", "rtt")] == ["abc", "cba", "bac"]


def test_keys_choose_and_turn() -> None:
    """A key sorts by something else than the line below says, or an arrow key does something."""
    order = Order().after("m")
    assert order == Order("member")
    assert order.after("m") == Order("member", turned=True)
    assert order.after("m").after("d") == Order("drops")
    assert order.after("\x1b[A") == order
    assert len({key[0] for key in SORT_KEYS}) == len(SORT_KEYS)
