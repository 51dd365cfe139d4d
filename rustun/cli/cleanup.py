"""`rustun cleanup`: take off what a client left that was killed.

Rules of this module
  1. What a running client has is left alone.
  2. A service that did not end in order may come back, so its kill switch stays until then: systemd tells by
     $SERVICE_RESULT (systemd.exec(5)), in ExecStopPost.
  3. Where a service ended in order and no journal stands, it took all off itself. Then nothing is looked for, and what
     speaks with the kernel is not even loaded: a restart waits for this, and was a third longer.
  4. Standard output tells what was done, standard error what was left, and why.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rustun.admin.control import SCHEMA
from rustun.backends.capabilities import CAP_NET_ADMIN, permitted_capabilities
from rustun.backends.host_journal import STATE_DIR, devices
from rustun.errors import RightsError
from rustun.printable import printable

if TYPE_CHECKING:
    from rustun.backends.host_recovery import Recovered

LINE_CHARACTERS: Final = 1000


def cleanup(device: str | None, state_dir: Path | None, *, as_json: bool) -> int:
    """Take off what dead clients left.

    Args:
        device: of the client, or None for all of them.
        state_dir: folder of their journals, or None for the usual one.

    Returns: 0; 1 when something had to be left, or the client of `device` runs.
    Raises: RightsError: this process could not even see all that is left. HostError.
    """
    if CAP_NET_ADMIN not in permitted_capabilities():
        raise RightsError("no permission to look after this host's network", "run it as root (sudo rustun cleanup)")
    folder, result = state_dir or STATE_DIR, os.environ.get("SERVICE_RESULT")
    killed = result not in (None, "success")
    if device is None and result == "success" and not devices(folder):
        found = []
    else:
        found = _recovered(folder, device, keep_kill_switch=killed)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "devices": [asdict(one) for one in found]}, indent=2))
    else:
        _tell(found)
    for one in found:
        for line in one.left:
            print(f"rustun cleanup: {one.device}: {printable(line, LINE_CHARACTERS)}", file=sys.stderr)
    return int(not killed and any(_failed(one, named=device is not None) for one in found))


def _recovered(folder: Path, device: str | None, *, keep_kill_switch: bool) -> list[Recovered]:
    from rustun.backends.host_recovery import cleanup_all, recover

    if device is None:
        return cleanup_all(folder, keep_kill_switch=keep_kill_switch)
    return [recover(folder, device, keep_kill_switch=keep_kill_switch)]


def _failed(found: Recovered, *, named: bool) -> bool:
    return named if found.running else bool(found.left)


def _tell(found: list[Recovered]) -> None:
    for one in found:
        if one.done:
            print(f"{one.device}: taken off")
        for command in one.done:
            print("\n".join(f"  {printable(line, LINE_CHARACTERS)}" for line in command.splitlines()))
    if not any(one.done or one.left for one in found):
        print("nothing of a client that ended is left here")
