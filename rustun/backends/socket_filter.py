"""Which messages get into a socket at all: classic BPF (linux/filter.h, linux/bpf_common.h)."""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Sequence
from typing import Final

# half-word and byte at an offset, jumps, verdict
LOAD_HALF, LOAD_BYTE, IF_EQUAL, IF_GREATER, RETURN = 0x28, 0x30, 0x15, 0x25, 0x06
PASS, DROP = 0xFFFF_FFFF, 0
Step = tuple[int, int, int, int]  # code, steps to skip if true, if false, operand

_SO_ATTACH_FILTER: Final = 26
_INSTRUCTION: Final = struct.Struct("=HBBI")  # struct sock_filter
_PROGRAM: Final = struct.Struct("@HP")  # struct sock_fprog: number of instructions, their address


def attach(sock: socket.socket, steps: Sequence[Step]) -> None:
    """Let a program judge each message that comes from now on, instead of the one before. Raises: OSError."""
    program = array("B", b"".join(_INSTRUCTION.pack(*step) for step in steps))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _PROGRAM.pack(len(steps), program.buffer_info()[0]))
