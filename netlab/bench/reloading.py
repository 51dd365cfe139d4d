"""A change of a large routes.json while the server runs: one member of MEMBERS is taken out.

    python -m netlab.bench.reloading MEMBERS

Starts a relay of its own (`timed_relay`) and prints {"seconds": S} from the new file to the server's word that it
is in force, and what the relay says of its steps meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import Final

from netlab.bench.timed_relay import timed_relay

LOOK_SECONDS: Final = 0.002
APPLY_SECONDS: Final = 60.0  # only reached where something hangs


def main() -> None:
    """Start a relay, let it read its file once, change the file, report."""
    members = int(sys.argv[1])
    with timed_relay(members) as relay:
        routes, draft = relay.folder / "routes.json", relay.folder / "draft"
        draft.write_text(json.dumps(json.loads(routes.read_text())[:-1]))
        relay.forget_steps()
        began = monotonic()
        os.replace(draft, routes)
        relay.process.send_signal(signal.SIGHUP)
        wait_for(relay.folder / "log", f"{members - 1} members from", began + APPLY_SECONDS)
        took = monotonic() - began
        steps = relay.end()
    print(json.dumps({"seconds": took, **steps}), flush=True)


def wait_for(log: Path, words: str, deadline: float) -> None:
    """Wait until a log has these words. Raises: RuntimeError: they did not come."""
    while words not in (said := log.read_text()):
        if monotonic() > deadline:
            raise RuntimeError(said)
        select.select((), (), (), LOOK_SECONDS)


if __name__ == "__main__":
    main()
