"""Cases that run inside a laboratory's own world."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from netlab.bench import crowd, iperf, measure
from netlab.configuration import configure, load
from netlab.demo import plain_spec
from netlab.errors import ExpectationFailed
from netlab.lab import Files, Laboratory
from netlab.worlds.own_world import run_in_own_world

INVENTORY = Path(__file__).parents[2] / "inventory" / "demo.toml"


def make(folder: Path, name: str, *, plain: bool = False) -> Laboratory:
    """Wire the demo's laboratory, with files below `folder`."""
    configured = configure(INVENTORY, load(INVENTORY), folder / "generated")
    return Laboratory(configured.spec, Files(configured.folder, folder / name, Path("/run", name)), plain=plain)


def loads_measure_the_plain_path(folder: Path) -> None:
    """Send each kind of load once over plain routing."""
    whole = make(folder, "whole", plain=True)
    lab = Laboratory(plain_spec(whole.spec, "shanghai"), whole.files, plain=True)
    path = measure.Path("sh-printer", "sh-db", "10.0.2.2")
    assert measure.throughput(lab, path, streams=2, seconds=0.3).gigabits > 0.1
    found, trips = measure.loaded_trips(lab, path, streams=1, seconds=0.3)
    assert found.gigabits > 0.1
    assert trips.lost == 0
    assert 0 < trips.median <= trips.p99 <= trips.longest
    assert measure.datagrams(lab, path, size=100, rate=5000, seconds=0.3).lost < 0.5
    pages = measure.visits(lab, path, size=10_000, at_a_time=2, seconds=0.2)
    assert pages.per_second > 5
    assert 0 < pages.median <= pages.p95
    assert iperf.throughput(lab, path, streams=2, seconds=0.3) > 0.1
    assert min(measure.both_ways(lab, measure.Path("sh-office-gw", "sh-db", "10.0.2.2"), seconds=0.3)) > 0.1
    six = measure.Path("sh-office-gw", "sh-db", "fd00:2::2")
    assert measure.trips(lab, six, echoes=20).lost == 0
    assert lab.close() == []
    assert whole.close() == []


def a_crowd_joins_and_a_process_that_ends_is_told(folder: Path) -> None:
    """Let a hundred idle members join the server beside the real ones, then kill a client and wait for what is not."""
    lab = make(folder, "crowd")
    crowd.extend(lab.files.configuration / "routes.json", 100)
    lab.start()
    path = measure.Path("bj-dev", "bj-office-gw", "10.0.1.1")
    found = measure.crowd(lab, path, clients=100, echoes=50)
    assert found.dropped == 0
    assert found.kibibytes_each < 64
    assert found.beside.lost == 0
    lab.processes["bj-dev"].signal(signal.SIGKILL)
    try:
        lab.wait_until(lambda: False, "never")
    except ExpectationFailed as error:
        assert "rustun in bj-dev ended" in error.message
    else:
        raise AssertionError("nobody noticed")
    assert lab.close() == ["rustun in bj-dev ended with exit code -9", f"control socket {lab.control('bj-dev')}"]


CASES: dict[str, Callable[[Path], None]] = {
    case.__name__: case
    for case in (
        loads_measure_the_plain_path,
        a_crowd_joins_and_a_process_that_ends_is_told,
    )
}


def inside(name: str, folder: str) -> int:
    """Run one case in a world of its own."""
    return run_in_own_world(lambda: CASES[name](Path(folder)), Path(folder))
