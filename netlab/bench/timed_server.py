"""`rustun serve` as it is, with a clock at every step of its loop.

    python -m netlab.bench.timed_server CONFIG CONTROL

A step is one call of the loop: members' packets wait for its end. SIGUSR1 forgets what was measured so far. At the end
it prints {"steps": N, "longest_ms": L, "longest_cpu_ms": C}: the longest step by the clock, which goes on while another
process has the core, and by this process's own processor time.
"""

from __future__ import annotations

import json
import signal
import sys
from functools import partial
from pathlib import Path
from time import monotonic, thread_time

from rustun.backends.base import Callback, Source, Timer
from rustun.backends.reactor import EpollReactor
from rustun.cli import running
from rustun.cli.serve import serve


class TimedReactor(EpollReactor):
    """The loop, with the longest of its steps so far."""

    steps = 0
    longest_s = 0.0
    longest_cpu_s = 0.0

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
        super().call_when_idle(partial(self._step, callback))

    def _timed(self, callback: Callback | None) -> Callback | None:
        return None if callback is None else partial(self._step, callback)

    def _step(self, callback: Callback) -> None:
        began, used = monotonic(), thread_time()
        callback()
        TimedReactor.steps += 1
        TimedReactor.longest_s = max(TimedReactor.longest_s, monotonic() - began)
        TimedReactor.longest_cpu_s = max(TimedReactor.longest_cpu_s, thread_time() - used)

    def _begin_anew(self) -> None:
        TimedReactor.steps = 0
        TimedReactor.longest_s = TimedReactor.longest_cpu_s = 0.0


def main() -> None:
    """Serve until SIGTERM, then say how long the steps were."""
    config, control = sys.argv[1:]
    vars(running)["EpollReactor"] = TimedReactor  # from here, so that the runtime needs no switch for it
    serve(Path(config), None, Path(control), 0, "text")
    longest = {"longest_ms": TimedReactor.longest_s * 1e3, "longest_cpu_ms": TimedReactor.longest_cpu_s * 1e3}
    print(json.dumps({"steps": TimedReactor.steps, **longest}), flush=True)


if __name__ == "__main__":
    main()
