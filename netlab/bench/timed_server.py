"""`rustun serve` as it is, with a clock at every step of its loop.

    python -m netlab.bench.timed_server CONFIG CONTROL

A step is one call of the loop: members' packets wait for its end. SIGUSR1 forgets what was measured so far. At the end
it prints {"steps": N, "longest_ms": L, "longest_cpu_ms": C, "idle_ms": I, "idle_cpu_ms": P}: the longest step by the
clock, which goes on while another process has the core, and by this process's own processor time; of all steps,
packets' too, and of those that are made when nothing else is ready: answers to who asks over the control socket.
"""

from __future__ import annotations

import json
import signal
import sys
from functools import partial
from pathlib import Path
from time import monotonic, thread_time
from typing import Final

from rustun.backends.base import Callback, Source, Timer
from rustun.backends.reactor import EpollReactor
from rustun.cli import running
from rustun.cli.serve import serve


class Longest:
    """The longest step so far, seconds: by the clock, and of this process's own time."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.steps = 0
        self.elapsed = self.used = 0.0

    def add(self, elapsed: float, used: float) -> None:
        """Take a step in."""
        self.steps += 1
        self.elapsed, self.used = max(self.elapsed, elapsed), max(self.used, used)


ALL: Final = Longest()
IDLE: Final = Longest()


class TimedReactor(EpollReactor):
    """The loop, with a clock at every step."""

    def run(self) -> None:
        """Take turns until `stop`."""
        self.on_signal(signal.SIGUSR1, self._begin_anew)
        super().run()

    def watch(self, source: Source, on_readable: Callback | None, on_writable: Callback | None) -> None:
        """Call back whenever `source` is ready."""
        super().watch(source, self._timed(on_readable), self._timed(on_writable))

    def call_at(self, when: float, callback: Callback) -> Timer:
        """Call back once at `when`."""
        return super().call_at(when, partial(self._step, callback))

    def call_soon(self, callback: Callback) -> None:
        """Call back once in the next turn."""
        super().call_soon(partial(self._step, callback))

    def call_when_idle(self, callback: Callback) -> None:
        """Call back once when nothing else is ready."""
        super().call_when_idle(partial(self._step, callback, IDLE))

    def _timed(self, callback: Callback | None) -> Callback | None:
        return None if callback is None else partial(self._step, callback)

    def _step(self, callback: Callback, kind: Longest = ALL) -> None:
        began, used = monotonic(), thread_time()
        callback()
        elapsed, used = monotonic() - began, thread_time() - used
        for longest in {ALL, kind}:
            longest.add(elapsed, used)

    def _begin_anew(self) -> None:
        ALL.forget()
        IDLE.forget()


def main() -> None:
    """Serve until SIGTERM, then say how long the steps were."""
    config, control = sys.argv[1:]
    vars(running)["EpollReactor"] = TimedReactor  # from here, so that the runtime needs no switch for it
    serve(Path(config), None, Path(control), 0, "text")
    longest = {"longest_ms": ALL.elapsed, "longest_cpu_ms": ALL.used, "idle_ms": IDLE.elapsed, "idle_cpu_ms": IDLE.used}
    told = {name: seconds * 1e3 for name, seconds in longest.items()}
    print(json.dumps({"steps": ALL.steps, **told}), flush=True)


if __name__ == "__main__":
    main()
