"""Every limit of the server with its default and its range (docs/protocol.md, section 8)."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final, TypeVar

from rustun.config.findings import Complaint
from rustun.config.toml import Table
from rustun.printable import quoted

MIB: Final = 1 << 20
T = TypeVar("T", "LimitConfig", "QueueConfig")


def _whole(default: int, low: int, high: int) -> int:
    number: int = field(default=default, metadata={"low": low, "high": high})
    return number


def _number(default: float, low: float, high: float) -> float:
    number: float = field(default=default, metadata={"low": low, "high": high})
    return number


@dataclass(frozen=True, slots=True)
class LimitConfig:
    """[limit_config]: what strangers and members may cost; a source is an IPv4 address or an IPv6 /64."""

    # Before a peer has proved its key
    pending_connections: int = _whole(1024, 1, 65536)
    pending_per_source: int = _whole(16, 1, 65536)
    pending_per_site: int = _whole(64, 1, 65536)  # a site is an IPv6 /48
    handshake_seconds: float = _number(5.0, 0.1, 60.0)
    first_frame_bytes: int = _whole(512, 128, 65535)
    connections_per_second_per_source: int = _whole(200, 1, 1_000_000)
    handshakes_per_second_per_source: int = _whole(50, 1, 1_000_000)
    handshake_burst_per_source: int = _whole(500, 1, 1_000_000)
    source_table_entries: int = _whole(16384, 16, 10_000_000)
    # In a session
    rekey_interval_seconds: float = _number(30.0, 1.0, 3600.0)
    control_messages_per_second: int = _whole(20, 1, 10_000)
    control_bytes: int = _whole(16384, 1024, 60_000)
    json_depth: int = _whole(8, 4, 64)
    json_items: int = _whole(8192, 64, 1_000_000)
    queued_bytes_total: int = _whole(64 * MIB, MIB, 1 << 40)
    receiver_stall_seconds: float = _number(10.0, 1.0, 3600.0)
    receiver_stall_bytes: int = _whole(65536, 1, 64 * MIB)  # less than this in that time is no progress
    silence_intervals: float = _number(2.5, 1.5, 100.0)  # of the keepalive interval that a client announced
    legacy_silence_seconds: float = _number(20.0, 5.0, 3600.0)
    takeovers_per_minute: int = _whole(3, 1, 10_000)  # more of one identity raise an alarm


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """[queue_config]: how much waits for one receiver, and how much is done in one turn of the loop."""

    receiver_bytes: int = _whole(MIB, 131072, 1 << 30)
    receiver_packets: int = _whole(8192, 16, 1_000_000)
    turn_packets: int = _whole(256, 1, 65536)
    turn_bytes: int = _whole(262144, 65536, 64 * MIB)
    turn_ms: float = _number(1.0, 0.1, 100.0)
    tcp_notsent_lowat_bytes: int = _whole(65536, 4096, 64 * MIB)
    congestion: str = "auto"  # a name of TCP_CONGESTION, or auto: bbr on long paths, cubic on short ones


def read_numbers(table: Table, kind: type[T]) -> T:
    """Return the record of a table whose keys are the record's fields; wrong ones are reported and stay default."""
    values: dict[str, int | float | str] = {}
    for entry in fields(kind):
        if isinstance(entry.default, str):
            values[entry.name] = table.text(entry.name, _word, entry.default)
            continue
        low, high = entry.metadata["low"], entry.metadata["high"]
        if isinstance(entry.default, int):
            values[entry.name] = table.whole(entry.name, entry.default, low, high)
        elif isinstance(entry.default, float):
            values[entry.name] = table.number(entry.name, entry.default, low, high)
    table.close()
    return kind(**values)  # type: ignore[arg-type]  # each value has its field's type, read above


def _word(text: str) -> str:
    if text.isascii() and text.replace("_", "").replace("-", "").isalnum() and len(text) < 16:
        return text
    raise Complaint(f"is {quoted(text)}", "a short name, as bbr or cubic")
