"""What is counted: per session and for the whole relay, drops and closes by reason."""

from __future__ import annotations

from collections import Counter


class Traffic:
    """Counters of one session; bytes are those of inner IP packets, a large unfinished packet counts as one."""

    __slots__ = ("drops", "received_bytes", "received_packets", "sent_bytes", "sent_packets")

    def __init__(self) -> None:
        self.received_bytes = 0
        self.received_packets = 0
        self.sent_bytes = 0
        self.sent_packets = 0
        self.drops: Counter[str] = Counter()
