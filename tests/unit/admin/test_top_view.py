"""One screen of `rustun top`."""

from __future__ import annotations

from typing import Any

import pytest

from rustun.admin.order import Order
from rustun.admin.top_view import top_lines

HOSTILE = "a[/b][link=http://x]\x1b[31m\n\u202e" + "x" * 500


def session(name: str, received: int) -> dict[str, Any]:
    """Return a session that receives so many bytes a second."""
    rates = {"received_bytes_per_s": received, "sent_bytes_per_s": 0}
    return {"cluster": "beijing", "identity": name, "address": "10.0.1.1", "state": "online", "age_s": 3700.0,
            "rtt_ms": 0.6, "drops": {"no-route": 3}, "lost_packets": 2, **rates}  # fmt: skip


SERVER: dict[str, Any] = {
    "role": "server", "version": "0.1.0", "uptime_s": 93.5, "online": 2, "members": 3, "sent_bytes_per_s": 1_000_000,
    "queued_bytes": 1234, "loop": {"longest_step_ms": 1.2}, "alarms": [],
    "sessions": [session("quiet", 0), session("busy", 1_000_000)],
    "offline": [{"cluster": "beijing", "identity": "gone", "address": "10.0.1.3", "state": "offline"}],
}  # fmt: skip
CLIENT: dict[str, Any] = {
    "role": "client", "version": "0.1.0", "uptime_s": 93.5, "identity": "bj-dev", "state": "online", "drops": {},
    "received_bytes_per_s": 125_000, "sent_bytes_per_s": 0, "refused": {},
    "servers": [{"server": "a:1", "remote": "192.0.2.1:1", "state": "online", "proof_age_s": 1.0, "rtt_ms": 0.5}],
    "peers": [{"identity": "b", "name": "B", "address": "10.0.1.2", "online": True, "ciders": []}],
}  # fmt: skip


def texts(document: dict[str, Any], width: int = 80, height: int = 24, **more: Any) -> list[str]:
    return [line.plain.rstrip() for line in top_lines(document, more.pop("order", Order()), width, height, **more)]


def test_a_server_on_a_small_screen() -> None:
    """The busiest member is not on top, or the keys are not on the screen."""
    lines = texts(SERVER)
    assert len(lines) == 24
    assert lines[:3] == [
        "rustun server 0.1.0   up 1 min 33 s   2 of 3 members online",
        "8.0 Mbit/s now   1,234 B wait   longest step 1.2 ms   0 alarms",
        "member  state    rtt     in now      out now  drops  age  cluster  address",
    ]
    assert [line.split()[0] for line in lines[3:6]] == ["busy", "quiet", "gone"]
    assert lines[3] == "busy    online   0.6 ms  8.0 Mbit/s  0 bit/s  5      1 h  beijing  10.0.1.1"
    assert lines[-1].startswith("sort by: n now") and len(lines[-1]) <= 80
    assert [line.split()[0] for line in texts(SERVER, order=Order("member"))[3:6]] == ["busy", "gone", "quiet"]


def test_a_client() -> None:
    """A user of a client is shown an empty screen."""
    lines = texts(CLIENT)
    assert lines[:2] == [
        "rustun client 0.1.0   up 1 min 33 s   bj-dev online",
        "received 1.0 Mbit/s   sent 0 bit/s   drops -",
    ]
    assert any(line.startswith("a:1") for line in lines)
    assert any(line.startswith("b ") for line in lines)


@pytest.mark.parametrize("document", [SERVER, CLIENT, {}, {"role": "server"}])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (20, 5), (1, 1), (200, 60)])
def test_nothing_leaves_the_screen(document: dict[str, Any], width: int, height: int) -> None:
    """A small terminal scrolls or wraps, so that lines of two looks are mixed."""
    many = [session(f"member-{number}", number) for number in range(100)]
    document = {**document, **({"sessions": many} if "sessions" in document else {})}
    for trouble in ("", "no answer"):
        lines = top_lines(document, Order(), width, height, trouble)
        assert len(lines) <= height
        assert all(line.cell_len <= width for line in lines)


def test_names_are_only_text() -> None:
    """A member's name steers the terminal of who looks at it."""
    document = {**SERVER, "sessions": [{**session("x", 1), "identity": HOSTILE, "cluster": HOSTILE, "state": HOSTILE}]}
    assert all(line.isprintable() for line in texts(document, trouble=HOSTILE))
    assert any("a[/b]" in line for line in texts(document))


def test_without_a_screen_all_is_there() -> None:
    """`rustun top --once` in a pipe leaves members out."""
    many = [session(f"member-{number}", number) for number in range(100)]
    assert len(texts({**SERVER, "sessions": many}, height=0)) == 2 + 1 + 100 + 1
