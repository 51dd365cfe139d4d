"""What dead clients left on this host, taken off: after a SIGKILL, a crash, a power cut.

Rules of this module
  1. A journal that nobody holds belongs to a dead client. Its device went with it: an interface of that name is
     somebody else's by now, and is not touched. Where it is a TUN device, a client lives there that has its journal in
     another folder, and all is left alone.
  2. What tells by itself whose it is (table, rules, the block in /etc/hosts) goes also where the journal is lost.
  3. A kill switch outlives its client where that is asked for: who died may come back, and nothing is to leave until
     then.
  4. What a running client has is left alone, and reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rustun.backends import hosts_file, nft
from rustun.backends.base import HostState
from rustun.backends.firewall import KILL_SWITCH, table_name
from rustun.backends.host_executor import Hands, bring_about
from rustun.backends.host_journal import HeldError, HostJournal, devices
from rustun.backends.host_judgement import is_tun
from rustun.backends.host_table import HostTable
from rustun.backends.rtnetlink import RouteSocket
from rustun.errors import HostError, RightsError, RustunError

USUAL_DEVICE: Final = "rustun0"  # where nothing names one: routes and rules are looked for all the same
BLOCK: Final = re.compile(r"^# begin rustun (\S+)$", re.MULTILINE)
TABLE: Final = re.compile(r"^table inet rustun-(\S+)$", re.MULTILINE)
RIGHTS: Final = "run it as root (sudo rustun cleanup)"
IN_USE: Final = (
    "there is a TUN device {device}, so a client runs that has no journal in {folder}: give its --state-dir; "
    "where it is no client's, `ip link del {device}` first"
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was taken off for one device.

    Attributes:
        device: name of the TUN device that it belonged to.
        done: commands for the steps that were done.
        left: what was left alone, and why; a line each.
        running: whether a client has the device now, so that all of it was left alone.
    """

    device: str
    done: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    running: bool = False


def recover(state_dir: Path, device: str, *, keep_kill_switch: bool = False) -> Recovered:
    """Take off what a dead client left.

    Args:
        state_dir: folder of the journals.
        device: name of the TUN device that it had.
        keep_kill_switch: let a kill switch stand.

    Raises: RightsError (no CAP_NET_ADMIN) or HostError (the host cannot be looked at); what is left can be tried again.
    """
    journal = HostJournal(state_dir, device)
    if isinstance(journal.problem, HeldError):
        return Recovered(device, (), (journal.problem.message,), running=True)
    keep_table = keep_kill_switch and (journal.kept.kill_switch or _stands_closed(device))
    try:
        with RouteSocket() as sock:
            snapshot = sock.snapshot()
            link = snapshot.link(device)
            if link is not None and is_tun(link.index, snapshot):
                return Recovered(device, (), (IN_USE.format(device=device, folder=state_dir),), running=True)
            names = {link.index: link.name for link in snapshot.links}
            hands = Hands(sock, HostTable(device), journal)
            outcome = bring_about(HostState(device, 0), hands, keep_table=keep_table, dead=True)
    except PermissionError as error:
        raise RightsError("no permission to change this host's network", RIGHTS) from error
    except OSError as error:
        raise HostError(f"cannot clean up after {device}: {error.strerror or error}") from error
    finally:
        journal.close()
    remedy = f"nothing leaves this host but through it, until: rustun cleanup --device {device}"
    stays = (f"the kill switch of {device} stands, its client is dead; {remedy}",) if keep_table else ()
    done = tuple(step.command(names) for step in outcome.done)
    return Recovered(device, done, (*journal.warnings, *outcome.report.warnings, *stays))


def _stands_closed(device: str) -> bool:
    """Return whether the device's table holds a kill switch: a journal that could not be written does not tell."""
    try:
        return f"chain {KILL_SWITCH} " in (nft.listed(table_name(device)) or "")
    except RustunError:  # no nft, and so no table of ours
        return False


def cleanup_all(state_dir: Path, *, keep_kill_switch: bool = False) -> list[Recovered]:
    """Take off what all dead clients left on this host; nothing is returned for a device that had nothing.

    Raises: as `recover`.
    """
    found = [recover(state_dir, device, keep_kill_switch=keep_kill_switch) for device in _devices(state_dir)]
    return [one for one in found if one.done or one.left]


def _devices(state_dir: Path) -> list[str]:
    found = set(devices(state_dir))
    try:
        found.update(BLOCK.findall(hosts_file.read_hosts(hosts_file.HOSTS)))
        found.update(TABLE.findall(nft.tables()))
    except RustunError:  # no such file, no nft: nothing of ours is in it
        pass
    return sorted(found or {USUAL_DEVICE})
