"""Rights of this process over itself: what it must not leave behind."""

from __future__ import annotations

import ctypes
import os
import resource
from typing import Final

PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def forbid_core_dumps() -> None:
    """Make sure that no memory of this process, with its keys, is written to a core file or read by a same-user tracer.

    The limit alone is not enough: where core_pattern is a pipe the kernel ignores it (core(5)).

    Raises: OSError when the kernel refuses, which Linux never does.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
