"""What a capture takes from what it watches: both ends of a tunnel, inner and outer side, under one TCP stream."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from netlab import facts
from netlab.bench import measure
from netlab.bench.sample import Values
from netlab.capture.process import Capture
from netlab.capture.taps import Wish, choose
from netlab.lab import Laboratory


def stream_captured(lab: Laboratory, path: measure.Path, seconds: float) -> Values:
    """Measure one TCP stream between two members for half of the time alone, then with a capture at both of its ends.

    Raises:
        LabError: a load or the capture failed.
    """
    wish = Wish(choose(facts.planned(lab.spec, lab.topology), f"{path.sender},{path.receiver}"))
    alone = measure.throughput(lab, path, streams=1, seconds=seconds / 2).gigabits
    with TemporaryDirectory() as folder:
        capture = Capture(wish, lab.namespaces, Path(folder, "stream.pcapng"))
        try:
            capture.wait_until_read()
            captured = measure.throughput(lab, path, streams=1, seconds=seconds / 2).gigabits
        finally:
            tallies = capture.close()
    received, dropped = sum(tally.received for tally in tallies), sum(tally.dropped for tally in tallies)
    return {
        "alone Gbit/s": alone,
        "captured Gbit/s": captured,
        "captured/alone": captured / alone,
        "lost %": 100 * dropped / max(received, 1),
    }
