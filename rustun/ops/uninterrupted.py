"""A few steps that ctrl-C does not cut in half.

Blocking the signals would not do: where the process has another thread, the kernel gives them to that one, and Python
raises KeyboardInterrupt in the main thread all the same. So they are caught, and sent again behind the last step.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let SIGINT and SIGTERM wait until the steps inside are done; they arrive right behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no signal ever interrupts Python code in another thread
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: one that was not set by Python
        for late in dict.fromkeys(came):
            signal.raise_signal(late)
