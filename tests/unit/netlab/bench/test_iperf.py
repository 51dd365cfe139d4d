"""What is read from iperf3."""

from __future__ import annotations

import pytest

from netlab.bench.iperf import received_gigabits
from netlab.errors import ExpectationFailed

# The end of what iperf3 3.12 prints with --json, shortened.
GOOD = """{"start": {"version": "iperf 3.12"}, "intervals": [], "end": {
  "sum_sent": {"seconds": 1.0, "bytes": 262144000, "bits_per_second": 2097152000.0, "retransmits": 3, "sender": true},
  "sum_received": {"seconds": 1.04, "bytes": 236978176, "bits_per_second": 1822909046.1, "sender": true}}}"""


def test_what_arrived_counts() -> None:
    """What the sender believes to have sent would be taken for what arrived."""
    assert received_gigabits(GOOD) == pytest.approx(1.8229, abs=0.0001)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ('{"start": {}, "end": {}, "error": "unable to connect to server: Connection refused"}', "Connection refused"),
        ('{"start": {}, "end": {}}', "no end.sum_received"),
        ('{"end": {"sum_received": null}}', "no end.sum_received"),
        ("iperf3: error", "no JSON"),
        ("", "no JSON"),
    ],
)
def test_what_iperf_complains_of_is_told(said: str, complaint: str) -> None:
    """A failed second opinion would be a speed of nothing, or a traceback."""
    with pytest.raises(ExpectationFailed, match=complaint):
        received_gigabits(said)
