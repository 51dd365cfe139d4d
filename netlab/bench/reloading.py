"""A change of a large routes.json while the server runs: one member of MEMBERS is taken out.

    python -m netlab.bench.reloading MEMBERS

Starts a relay of its own (`timed_server`) and prints {"seconds": S} from the new file to the server's word that it
is in force, and what the relay says of its steps meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from netlab.bench.rekeying import START_SECONDS, start_relay

LOOK_SECONDS: Final = 0.002
APPLY_SECONDS: Final = 60.0  # only reached where something hangs


def main() -> None:
    """Start a relay, let it read its file once, change the file, report."""
    members = int(sys.argv[1])
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        relay, _ = start_relay(folder, X25519PrivateKey.generate(), members)
        try:
            routes = folder / "routes.json"
            entries = json.loads(routes.read_text())
            (folder / "draft").write_text(json.dumps(entries[:-1]))
            relay.send_signal(signal.SIGUSR1)
            began = monotonic()
            os.replace(folder / "draft", routes)
            relay.send_signal(signal.SIGHUP)
            wait_for(folder / "log", f"{members - 1} members from", began + APPLY_SECONDS)
            took = monotonic() - began
            relay.send_signal(signal.SIGTERM)
            steps = json.loads(relay.communicate(timeout=START_SECONDS)[0])
        finally:
            relay.kill()
            relay.wait()
    print(json.dumps({"seconds": took, **steps}), flush=True)


def wait_for(log: Path, words: str, deadline: float) -> None:
    """Wait until a log has these words. Raises: RuntimeError: they did not come."""
    while words not in (said := log.read_text()):
        if monotonic() > deadline:
            raise RuntimeError(said)
        select.select((), (), (), LOOK_SECONDS)


if __name__ == "__main__":
    main()
