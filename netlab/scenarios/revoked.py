"""Members are removed, disabled, moved, re-keyed and expire while everybody's packets flow, with real processes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time

from netlab.processes import Document
from netlab.scenarios.scenario import scenario
from netlab.worlds.forgeries import packed
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Tap

GATEWAY = "10.0.1.1"
STAYING = (KeyedMember("gw", "blue", GATEWAY), KeyedMember("dev", "blue", "10.0.1.2"))
LEAVING = tuple(
    KeyedMember(f"to-be-{fate}", "blue", f"10.0.1.{number}")
    for number, fate in enumerate(("removed", "disabled", "moved", "re-keyed", "expired"), start=11)
)
PROMISE_S = 1.0
SOON_S = 1.5  # until the access of the member that expires ends
OWN = packed("10.0.1.2")  # of the one that stays
MORE_ECHOES = 50  # of others, after which a packet of a member that is gone would have come


class Cluster(ExitStack):
    """All members online, each of which pings the gateway, where a tap sees it; use as a context."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        everybody = (*STAYING, *LEAVING)
        self.site = self.enter_context(KeyedLab(folder, everybody))
        self.site.start(*(member.identity for member in everybody))
        spaces = self.site.lab.namespaces
        self.tap = self.enter_context(Tap(spaces["gw"]))
        for member in LEAVING:
            self.enter_context(Pings(spaces[member.identity], GATEWAY))
        self.pings = self.enter_context(Pings(spaces["dev"], GATEWAY))

    @property
    def nodes(self) -> Collection[str]:
        """The names of its machines."""
        return self.site.nodes


def revoke(site: KeyedLab, member: KeyedMember) -> float:
    """End a member's access as its name says; return when that has to be true (monotonic seconds)."""
    now = monotonic()
    match member.identity.removeprefix("to-be-"):
        case "removed":
            site.remove(member.identity)
        case "disabled":
            site.change(member.identity, more={"enabled": False})
        case "moved":
            site.change(member.identity, cluster="red")
        case "re-keyed":
            site.change(member.identity, keys=(1,))
        case "expired":
            ends = time() + SOON_S
            site.change(member.identity, more={"expires_at": datetime.fromtimestamp(ends, UTC).isoformat()})
            now += SOON_S
    return now


def check_silence(tap: Tap, member: KeyedMember, due: float) -> None:
    """See that nothing more comes of a member whose session is gone, and that it went in time."""
    last = tap.times[packed(member.address)][-1]
    assert tap.until_more(OWN, MORE_ECHOES)
    assert tap.times[packed(member.address)][-1] == last, f"{member.identity} is heard although its session is gone"
    assert last - due < PROMISE_S, f"{member.identity} was heard {last - due:.3f} s after it lost its right"


def sessions(status: Document) -> set[tuple[str, str]]:
    """Return cluster and identity of each session."""
    return {(one["cluster"], one["identity"]) for one in status["sessions"]}


def end_one_by_one(cluster: Cluster) -> None:
    """End the right of one after the other: each falls silent within a second."""
    site, tap = cluster.site, cluster.tap
    for member in LEAVING:
        assert tap.until_more(packed(member.address)), f"{member.identity} is not heard while it may be"
        due = revoke(site, member)
        site.until("server", lambda status, one=member: ("blue", one.identity) not in sessions(status))  # type: ignore[misc]
        marker = cluster.pings.sent + 1  # the relay gets it when the session is gone, behind whatever it had sealed
        assert tap.until(lambda marker=marker: len(tap.times[OWN]) >= marker)  # type: ignore[misc]
        check_silence(tap, member, due)


def others_lost_nothing(cluster: Cluster) -> None:
    """See that those who stay have lost nothing."""
    echoes = cluster.pings.stop()
    assert echoes.missing == (), f"{len(echoes.missing)} of {echoes.sent} were lost"
    for member in STAYING:
        assert cluster.site.status(member.identity)["reconnects"] == 0


def all_were_told(cluster: Cluster) -> None:
    """See that each was told why, and that the server's log says it."""
    for member in LEAVING:
        reason = member.identity.removeprefix("to-be-")
        assert f"{member.identity}: {reason}" in cluster.site.log("server")
        assert f"the server said goodbye: {reason}" in cluster.site.log(member.identity)


@scenario(end_one_by_one, others_lost_nothing, all_were_told, rows="27")
def revoked(folder: Path) -> Iterator[Cluster]:
    """Members are removed, disabled, moved, re-keyed and expire while packets flow: they are out within a second.

    gw ----.          .--- to-be-removed, to-be-disabled
            +- server -+--- to-be-moved, to-be-re-keyed
    dev ---'          '--- to-be-expired
    """
    with Cluster(folder) as cluster:
        yield cluster
