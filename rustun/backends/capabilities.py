"""The pieces of root's power that this thread has (capabilities(7)); a server has one thread.

Struct of capget(2), version 3: a header (version u32, pid i32; 0 is the caller) and two elements, for capabilities 0
to 31 and 32 to 63, of effective, permitted and inheritable (u32 each).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

from rustun.backends.process import prctl

CAP_SETPCAP: Final = 8  # linux/capability.h
CAP_NET_BIND_SERVICE: Final = 10
CAP_NET_ADMIN: Final = 12

PR_CAPBSET_READ: Final = 23  # linux/prctl.h
PR_CAPBSET_DROP: Final = 24

_HEADER: Final = struct.Struct("=Ii")
_VERSION: Final = 0x20080522
_SETS: Final = struct.Struct("=6I")
_HIGHEST: Final = 63

_libc = ctypes.CDLL(None, use_errno=True)


def permitted_capabilities() -> frozenset[int]:
    """Return the capabilities that this thread has or could give itself."""
    answer = ctypes.create_string_buffer(_SETS.size)
    _checked(_libc.capget(_HEADER.pack(_VERSION, 0), answer))
    effective, permitted, _, effective_high, permitted_high, _ = _SETS.unpack(answer.raw)
    mask = effective | permitted | (effective_high | permitted_high) << 32
    return frozenset(number for number in range(_HIGHEST + 1) if mask >> number & 1)


def set_capabilities(wanted: Iterable[int]) -> None:
    """Have these capabilities, permitted and effective, and no others; children inherit none.

    Raises: OSError (EPERM) when one is wanted that is not permitted; nothing has changed then.
    """
    mask = sum(1 << number for number in wanted)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    _checked(_libc.capset(_HEADER.pack(_VERSION, 0), _SETS.pack(low, low, 0, high, high, 0)))


def empty_bounding_set() -> None:
    """Make sure that no program that is run later has a capability, were it root's; needs CAP_SETPCAP."""
    for number in range(_HIGHEST + 1):
        try:
            bounded = prctl(PR_CAPBSET_READ, number)
        except OSError:  # EINVAL: this kernel knows no more of them
            return
        if bounded:
            prctl(PR_CAPBSET_DROP, number)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
