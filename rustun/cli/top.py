"""`rustun top`: a live view of one process on a terminal.

Rules of this module
  1. However it ends, by a key, a signal or a fault, the terminal is as it was: its screen, its cursor, its modes. It
     cannot be put aside (Ctrl-Z), for then nobody would restore it.
  2. A process that stops answering is shown as it was last, with what is wrong, until it answers again.
  3. Nothing is asked while the last answer is shown but what the next look needs: one document an interval.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live

from rustun.admin.control_client import ask
from rustun.admin.differences import with_rates
from rustun.admin.order import Order
from rustun.admin.top_view import top_lines
from rustun.cli.status import PLAIN_COLUMNS, Wanted, read_documents
from rustun.errors import RustunError, UsageError

END_KEYS: Final = frozenset(("q", "Q", "\x03", "\x04", "\x1b", ""))  # Ctrl-C, Ctrl-D, Escape, the terminal is gone
KEY_BYTES: Final = 32  # an arrow key is a sequence, read as one
STATUS: Final = {"ask": "status"}
Document = Mapping[str, Any]


def top(wanted: Wanted, sort: str, interval: float, *, once: bool) -> int:
    """Show one process live until a key ends it, and return the exit code 0.

    Args:
        wanted: which one; the relay where there are several.
        sort: what comes first, of rustun.admin.order.SORT_KEYS.
        interval: seconds between two looks.
        once: print it once.
    Raises: RustunError: nothing answers, or there is no terminal.
    """
    path, document = next(iter(read_documents(wanted).items()))
    order = Order(sort)
    if once:
        time.sleep(interval)
        _print(with_rates(document, ask(path, STATUS)), order)
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("a live view needs a terminal", "rustun top --once prints it once")
    try:
        with _ended_by_signals(), _keys(sys.stdin.fileno()) as descriptor:
            _show(path, document, order, interval, descriptor)
    except KeyboardInterrupt:
        pass
    return 0


def _print(document: Document, order: Order) -> None:
    console = Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False)
    for line in top_lines(document, order, console.width, 0):
        console.print(line, soft_wrap=True)


def _show(path: Path, document: Document, order: Order, interval: float, keyboard: int) -> None:
    console = Console(highlight=False)
    trouble = ""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            due = time.monotonic() + interval
            while True:
                width, height = console.size
                live.update(Group(*top_lines(document, order, width, height, trouble)), refresh=True)
                pressed = _pressed(keyboard, due - time.monotonic())
                if not pressed:
                    break
                for key in pressed:
                    if key in END_KEYS:
                        return
                    order = order.after(key)
            try:
                document, trouble = with_rates(document, ask(path, STATUS)), ""
            except RustunError as error:
                trouble = error.message


def _pressed(keyboard: int, seconds: float) -> list[str]:
    """Return the keys that were pressed, none where that was not in time; a sequence, as of an arrow, is one key."""
    if not select.select((keyboard,), (), (), max(seconds, 0.0))[0]:
        return []
    text = os.read(keyboard, KEY_BYTES).decode("utf-8", "replace")
    return [text] if text.startswith("\x1b") or not text else list(text)


@contextmanager
def _keys(descriptor: int) -> Iterator[int]:
    """Let a terminal hand over each key at once, unseen, until the context ends."""
    before = termios.tcgetattr(descriptor)
    modes = termios.tcgetattr(descriptor)
    modes[3] &= ~(termios.ICANON | termios.ECHO)
    modes[6][termios.VSUSP] = b"\0"  # _POSIX_VDISABLE: no key puts it aside
    termios.tcsetattr(descriptor, termios.TCSANOW, modes)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let signals that end a process end the context in order."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
