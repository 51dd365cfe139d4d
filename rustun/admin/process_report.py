"""What every status document begins with: what the process is, and how it does (docs/status.md)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

import cryptography

import rustun
from rustun.admin.control import SCHEMA
from rustun.backends.base import Reactor

STATM: Final = Path("/proc/self/statm")  # proc(5): sizes in pages, the second is what is resident


def process_report(role: str, reactor: Reactor, started: float) -> dict[str, object]:
    """Return the head of a document.

    Args:
        role: "server" or "client".
        reactor: whose loop does the work.
        started: when the process began it, seconds of `now()`.
    """
    return {
        "schema": SCHEMA,
        "role": role,
        "version": rustun.__version__,
        "pid": os.getpid(),
        "uptime_s": round(reactor.now() - started, 3),
        "build": {
            "python": ".".join(map(str, sys.version_info[:3])),
            "cryptography": cryptography.__version__,
            "kernel": os.uname().release,
        },
        "process": {"cpu_s": round(time.process_time(), 3), "resident_bytes": _resident_bytes()},
        "loop": {"longest_step_ms": round(reactor.longest_step_s() * 1e3, 3)},
    }


def _resident_bytes() -> int | None:
    """Return how much memory this process takes; None where /proc is hidden."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
