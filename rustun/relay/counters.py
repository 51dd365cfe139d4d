"""What is counted: per session and for the whole relay, drops and closes by reason."""

from __future__ import annotations

from collections import Counter

from rustun.link.rate import Rate
from rustun.protocol.packet import flow_addresses
from rustun.protocol.routing import never_inside


class Traffic:
    """Counters of one session; bytes are those of inner IP packets, a large unfinished packet counts as one.

    Args:
        now: when the session began, seconds of the reactor's clock.
    Attributes:
        drops: packets from this member that were dropped, by reason.
        refused: by reason, the addresses (a flow key) of the latest of them that were looked up. What a kernel sends by
            itself, to all neighbours or looking for routers, is left out: it would hide what people look for.
        lost_to: the member whose full queue lost packets of this one last; empty where none did.
        lost_packets: that this member's own queue lost on their way to it.
    """

    __slots__ = (
        "_rate", "drops", "lost_packets", "lost_to", "received_bytes", "received_packets", "refused", "sent_bytes",
        "sent_packets",
    )  # fmt: skip

    def __init__(self, now: float = 0.0) -> None:
        self.received_bytes = 0
        self.received_packets = 0
        self.sent_bytes = 0
        self.sent_packets = 0
        self.lost_packets = 0
        self.lost_to = ""
        self.drops: Counter[str] = Counter()
        self.refused: dict[str, bytes] = {}
        self._rate = Rate(now)

    def note_refused(self, reason: str, key: bytes) -> None:
        """Remember whose packet is dropped for this reason; called once for each pair of addresses, not each packet."""
        version, _, destination = flow_addresses(key)
        if not never_inside(destination, version):
            self.refused[reason] = key

    def mark(self, now: float) -> None:
        """Set a mark for `rates`, every RATE_SECONDS."""
        self._rate.mark(now, self.received_bytes, self.sent_bytes)

    def rates(self, now: float) -> tuple[float, float]:
        """Return bytes per second, received and sent, of the last some seconds."""
        return self._rate.per_second(now, self.received_bytes, self.sent_bytes)


class Totals:
    """Counters of all sessions together, those that have ended among them."""

    def __init__(self) -> None:
        self.received_bytes = self.received_packets = self.sent_bytes = self.sent_packets = self.lost_packets = 0
        self.drops: Counter[str] = Counter()

    def add(self, traffic: Traffic | Totals) -> None:
        """Add what one session has counted, or several."""
        self.received_bytes += traffic.received_bytes
        self.received_packets += traffic.received_packets
        self.sent_bytes += traffic.sent_bytes
        self.sent_packets += traffic.sent_packets
        self.lost_packets += traffic.lost_packets
        if traffic.drops:
            self.drops.update(traffic.drops)

    def copy(self) -> Totals:
        """Return counters that go on from here by themselves."""
        other = Totals()
        other.add(self)
        return other
