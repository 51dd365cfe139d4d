"""Whole clients with a kill switch, killed at random moments, and a detector outside that sees nothing in clear.

Rules of this module
  1. Programs of the host, and a guest behind it, want to get out all the time, from before the first start on; until
     then the detector sees all of them, and again after the orderly end.
  2. A switch that stood has no gap. Where a client that was told to stop had taken it off before it died, nothing is
     promised until the next one has set it again.
  3. Somebody adds routes around the tunnel and gives the host IPv6 meanwhile, and takes them away again.
  4. The host knows its routers' link addresses: a packet that waits for one has passed every table, and leaves later.
  5. Twenty crashes here, a hundred in `./invoke soak`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random
from select import select

import pytest

from netlab.worlds.host_picture import assert_same, host_picture, settle
from tests.netlab.crashes import BATCHES, CRASHES, World
from tests.netlab.leaks import KINDS, Detector, Programs
from tests.netlab.own_world import in_own_world

AT_THE_START, AT_THE_END, WITH_THE_SERVER = "at the start", "at the end", "after the server"
WHEN = (AT_THE_START, AT_THE_START, AT_THE_END, WITH_THE_SERVER)
ROUTERS, ROUTER_MAC = ("198.18.1.1", "2a00:1::1", "fe80::1"), "02:00:00:00:00:01"
SOMEBODY = {  # what somebody adds: lines for `ip`
    "rogue routes": tuple(
        f"route add {prefix} via {router} dev eth0"
        for router, prefixes in (("198.18.1.1", ("0.0.0.0/1", "128.0.0.0/1")), ("fe80::1", ("::/1", "8000::/1")))
        for prefix in prefixes
    ),
    "more IPv6": ("address add 2a00:7::2/64 dev eth0 nodad", "route add 2001:4860::/32 via fe80::1 dev eth0"),
}
IN_CLEAR = ("8.8.8.8", "198.18.1.2")  # destination, and the source that is seen there
BY_THE_EXIT = (
    ("free", "8.8.8.8", "198.18.2.2"),
    ("free", "2001:4860::8", "2a00:2::2"),
    ("guest", "8.8.8.8", "198.18.2.2"),
)
TRIES = 1000  # only reached where something hangs


class Somebody:
    """Somebody else on the host, who adds and takes away."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._added: set[str] = set()

    def acts(self) -> None:
        """Add something, or take it away, or neither."""
        what = self._random.choice([*SOMEBODY, ""])
        if what:
            self._toggle(what)

    def goes(self) -> None:
        """Take away what was added."""
        for what in sorted(self._added):
            self._toggle(what)

    def _toggle(self, what: str) -> None:
        lines = SOMEBODY[what]
        if what in self._added:
            lines = tuple(line.replace(" add ", " del ").replace(" nodad", "") for line in reversed(lines))
        self._world.host.ip(*lines)
        self._added ^= {what}


@in_own_world
def nothing_in_clear(folder: Path) -> None:
    random = Random(folder.name)
    with World(folder, kill_switch=True) as world, Detector(world) as detector:
        world.internet.ip("address add fe80::1/64 dev host nodad", f"link set host address {ROUTER_MAC}")
        world.host.ip(*(f"neigh replace {one} lladdr {ROUTER_MAC} nud permanent dev eth0" for one in ROUTERS))
        world.host.do(settle)
        before = world.host.do(host_picture)
        with Programs(world) as programs:
            all_leave_in_clear(programs, detector)
            world.start_whole()
            all_leave_by_the_exit(programs, detector)
            world.stop_in_order()
            all_leave_in_clear(programs, detector)
            somebody, stands = Somebody(world, random), False
            for crash in range(CRASHES):
                when, moment = random.choice(WHEN), random.uniform(0, 1.2)
                somebody.acts()
                if not stands:
                    set_kill_switch(world, detector)
                die(world, detector, when, moment)
                stands = kill_switch_stands(world)
                what = f"crash {crash}: {when}, moment {moment:.3f}"
                assert stands or when == AT_THE_END, what
                if stands:
                    detector.saw_nothing(what)
            somebody.goes()
            world.start_whole()
            all_leave_by_the_exit(programs, detector)
            world.stop_in_order()
            all_leave_in_clear(programs, detector)
        assert_same(before, world.host.do(host_picture))


def set_kill_switch(world: World, detector: Detector) -> None:
    """Start a client and kill it once its switch stands; what left before does not count."""
    world.start_client()
    world.client.until_up()
    detector.seen()
    assert world.client.end(signal.SIGKILL) == -signal.SIGKILL


def die(world: World, detector: Detector, when: str, moment: float) -> None:
    """Kill the client at a moment after it was started, was told to stop, or has lost its server."""
    seconds = moment * (world.end_s if when == AT_THE_END else world.start_s)
    if when == AT_THE_START:
        world.start_client()
    else:
        world.start_whole()
        detector.saw_nothing(f"start before the crash {when}")
    if when == AT_THE_END:
        world.client.tell(signal.SIGTERM)
    if when == WITH_THE_SERVER:
        assert world.server.end(signal.SIGKILL) == -signal.SIGKILL
        assert world.client.lives_for(seconds / 2), world.client.log
        world.start_server()
    if world.client.lives_for(seconds):
        world.client.tell(signal.SIGKILL)
    code = world.client.code()
    assert code == -signal.SIGKILL or (code == 0 and when == AT_THE_END), world.client.log
    until_no_program_of_it_runs()


def until_no_program_of_it_runs() -> None:
    """Wait for an `nft` that the client had started just before it died."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "comm").read_text() == "nft\n":
                running = os.pidfd_open(int(folder.name))
                select([running], [], [])
                os.close(running)
        except (FileNotFoundError, ProcessLookupError):
            continue


def kill_switch_stands(world: World) -> bool:
    return "chain kill_switch " in world.host.run("nft", "list", "ruleset")


def all_leave_in_clear(programs: Programs, detector: Detector) -> None:
    """Wait until the detector has seen a packet of each kind."""
    seen = detector.seen()
    for _ in range(TRIES):
        seen |= detector.seen()
        if seen >= KINDS:
            return
        programs.until_heard("free", *IN_CLEAR)
    raise AssertionError(f"never seen: {KINDS - seen}")


def all_leave_by_the_exit(programs: Programs, detector: Detector) -> None:
    """Wait until packets arrive by way of the exit node; what left in clear before the first one does not count."""
    for kind, target, source in BY_THE_EXIT:
        programs.until_heard(kind, target, source)
    detector.seen()
    for kind, target, source in BY_THE_EXIT:
        programs.until_heard(kind, target, source)
    detector.saw_nothing("tunnel")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_nothing_leaves_in_clear_whenever_a_client_dies(tmp_path: Path, batch: int) -> None:
    """If this fails, a host with a kill switch talks in clear when its client crashes at a bad moment."""
    folder = tmp_path / f"batch-{batch}"
    folder.mkdir()
    nothing_in_clear(folder)
