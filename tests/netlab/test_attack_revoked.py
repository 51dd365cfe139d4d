"""Members are removed, disabled, moved, re-keyed and expire while everybody's packets flow, with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time

from netlab.processes import Document
from netlab.worlds.forgeries import packed
from netlab.worlds.keyed_lab import KeyedLab, KeyedMember
from netlab.worlds.traffic import Pings, Tap
from tests.netlab.own_world import in_own_world

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


@contextmanager
def everybody_pings(site: KeyedLab) -> Iterator[Pings]:
    """Let all members ping the gateway, and yield what the one that stays sends."""
    with ExitStack() as stack:
        spaces = site.lab.namespaces
        for member in LEAVING:
            stack.enter_context(Pings(spaces[member.identity], GATEWAY))
        yield stack.enter_context(Pings(spaces["dev"], GATEWAY))


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


@in_own_world
def test_a_session_ends_with_the_right_to_it(tmp_path: Path) -> None:
    """Row 27. Whoever lost the right to be there still sends, or others pay for it with lost packets."""
    with KeyedLab(tmp_path, (*STAYING, *LEAVING)) as site:
        site.start(*(member.identity for member in (*STAYING, *LEAVING)))
        with Tap(site.lab.namespaces["gw"]) as tap, everybody_pings(site) as pings:
            for member in LEAVING:
                assert tap.until_more(packed(member.address)), f"{member.identity} is not heard while it may be"
                due = revoke(site, member)
                site.until("server", lambda status, one=member: ("blue", one.identity) not in sessions(status))  # type: ignore[misc]
                marker = pings.sent + 1  # the relay gets it when the session is gone, behind whatever it had sealed
                assert tap.until(lambda marker=marker: len(tap.times[OWN]) >= marker)  # type: ignore[misc]
                check_silence(tap, member, due)
            echoes = pings.stop()
        assert echoes.missing == (), f"{len(echoes.missing)} of {echoes.sent} were lost"
        for identity in ("gw", "dev"):
            assert site.status(identity)["reconnects"] == 0
        for member in LEAVING:
            reason = member.identity.removeprefix("to-be-")
            assert f"{member.identity}: {reason}" in site.log("server")
            assert f"the server said goodbye: {reason}" in site.log(member.identity)


def check_silence(tap: Tap, member: KeyedMember, due: float) -> None:
    """See that nothing more comes of a member whose session is gone, and that it went in time."""
    last = tap.times[packed(member.address)][-1]
    assert tap.until_more(OWN, MORE_ECHOES)
    assert tap.times[packed(member.address)][-1] == last, f"{member.identity} is heard although its session is gone"
    assert last - due < PROMISE_S, f"{member.identity} was heard {last - due:.3f} s after it lost its right"


def sessions(status: Document) -> set[tuple[str, str]]:
    """Return cluster and identity of each session."""
    return {(one["cluster"], one["identity"]) for one in status["sessions"]}
