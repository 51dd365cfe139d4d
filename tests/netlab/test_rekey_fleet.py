"""All keys of a fleet are exchanged for new ones, the server's too, while its traffic runs; with real processes.

Three steps, as docs/inventory.md has them: everybody learns the new keys; everybody uses them; the old ones are
forgotten. Each step is done everywhere before the next one begins.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic

from netlab.topology import SERVER
from netlab.worlds.hostile import STILL_OPEN
from netlab.worlds.keyed_lab import PATIENCE_S, KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Transfer
from tests.netlab.own_world import in_own_world

FLEET = ("one", "two", "three")
ADDRESSES = {"one": "10.0.1.1", "two": "10.0.1.2", "three": "10.0.1.3"}
MEMBERS = tuple(KeyedMember(identity, "blue", ADDRESSES[identity]) for identity in FLEET)
SPARE = KeyedMember("spare", "blue", "10.0.1.9")  # comes in by hand, with any pair of keys


@in_own_world
def test_a_fleet_gets_new_keys_under_traffic(tmp_path: Path) -> None:
    """New keys for a fleet are an outage: packets are lost, connections break, or the old keys still open doors."""
    with KeyedLab(tmp_path, MEMBERS, (SPARE,)) as site, ExitStack() as stack:
        site.start(*FLEET)
        assert doors(site) == [True, False, False, False]
        spaces = site.lab.namespaces
        ring = zip(FLEET, (*FLEET[1:], FLEET[0]), strict=True)
        pings = [stack.enter_context(Pings(spaces[here], ADDRESSES[there])) for here, there in ring]
        transfer = stack.enter_context(Transfer(spaces["one"], spaces["two"], ADDRESSES["two"]))
        bring_in(site, server=(0, 1), members=(0, 1))
        assert doors(site) == [True, True, True, True]
        bring_in(site, server=(1, 0), members=(1, 0))
        bring_in(site, server=(1,), members=(1,))
        assert doors(site) == [False, False, False, True]
        echoes = [ping.stop() for ping in pings]
        assert [one.missing for one in echoes] == [()] * len(FLEET), echoes
        sent, arrived = transfer.stop()
        assert sent == arrived > 0
        assert [site.status(identity)["reconnects"] for identity in FLEET] == [0] * len(FLEET)
        closes = site.status()["closes"]
        by_keys = {reason: closes.pop(reason) for reason in ("envelope", "wrong-key")}
        assert by_keys == {"envelope": 4, "wrong-key": 2}, "other doors stayed shut than those of wrong keys"
        assert closes.keys() <= {"superseded", "connection-lost", "end-of-stream"}, closes
        assert not any("goodbye" in site.log(identity) for identity in FLEET), "a session did not end by its own member"


def bring_in(site: KeyedLab, *, server: Sequence[int], members: Sequence[int]) -> None:
    """Write these keys into all files, the first of each for use, and let every process read them."""
    site.write_server(*server)
    site.members = {identity: replace(one, keys=tuple(members)) for identity, one in site.members.items()}
    site.write_routes()
    site.reload(SERVER, "keys and tiers of")
    for identity in FLEET:
        site.write_client(identity, members, server)
        before = place(site, identity)
        site.lab.processes[identity].signal(signal.SIGHUP)
        site.lab.wait_until(lambda: place(site, identity) != before, f"{identity} makes no new session")  # noqa: B023


def place(site: KeyedLab, identity: str) -> str:
    """Return the far end of the session that has a member's place."""
    session = site.session(identity)
    assert session is not None, f"{identity} has no session"
    return str(session["remote"])


def doors(site: KeyedLab) -> list[bool]:
    """Return whether a member gets in by its old and old, old and new, new and old, new and new of the server's key."""
    with site.hostile("one", "enter", SPARE.identity) as process:
        outcomes = process.line(monotonic() + PATIENCE_S)["outcomes"]
    return [outcome == STILL_OPEN for outcome in outcomes]
