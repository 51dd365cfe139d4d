"""A packet socket whose packets the kernel puts into memory that it shares with us (packet_mmap, TPACKET_V3).

Rules of this module
  1. The kernel fills blocks and hands them over, full ones at once and others after BLOCK_MILLISECONDS. A block that
     has been read goes back. No system call for a packet: at 60,000 packets a second plain reads take three times the
     processor time.
  2. What finds no room is counted by the kernel, and so is what came (`counts`); nothing is lost without a number.
  3. The interface may be missing, go down, or come again as another one with the same name: `attach` tries.
  4. No right is needed but CAP_NET_RAW in the namespace, which its maker has there.

Layout of a block (linux/if_packet.h, host byte order):
    0 version  4 offset of private data  8 status  12 packets  16 offset of the first one ...
of a packet, and behind its 48 bytes a sockaddr_ll (the direction is its byte 10):
    0 offset of the next one  4 seconds  8 nanoseconds  12 captured  16 length  20 status  24 mac  26 net ...
"""

from __future__ import annotations

import mmap
import socket
import struct
from ctypes import addressof, create_string_buffer
from typing import Final

from netlab.capture.pcapng import INBOUND, OUTBOUND
from netlab.capture.pcapng import packet as packet_block

BLOCK_BYTES: Final = 1 << 18  # holds any packet of a TUN device or cable whole, 64 KiB and its headers
BLOCK_MILLISECONDS: Final = 20

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_RX_RING: Final = 5
_STATISTICS: Final = 6
_VERSION: Final = 10
_TPACKET_V3: Final = 2
_ATTACH_FILTER: Final = 26
_INSTRUCTION_BYTES: Final = 8
_NOTHING: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)  # a program that keeps no byte of a packet
_FRAME_BYTES: Final = 2048  # a formality: frames of version 3 are as long as they are
_REQUEST: Final = struct.Struct("=7I")  # tpacket_req3
_STATUS: Final = 8
_OURS: Final = 1  # TP_STATUS_USER
_BLOCK: Final = struct.Struct("=12xII")
_PACKET: Final = struct.Struct("=5I4xH32xB")


def open_tap(program: bytes, size: int) -> socket.socket:
    """Return a packet socket of the calling thread's network namespace, which sees nothing before `attach`.

    Args:
        program: a classic BPF program (filters.compiled) that also says how much of a packet is kept.
        size: bytes of memory for it, a multiple of BLOCK_BYTES.

    Raises:
        OSError: the kernel refuses.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        _set_filter(sock, program)
        sock.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        frames = size // _FRAME_BYTES
        request = _REQUEST.pack(BLOCK_BYTES, size // BLOCK_BYTES, _FRAME_BYTES, frames, BLOCK_MILLISECONDS, 0, 0)
        sock.setsockopt(_SOL_PACKET, _RX_RING, request)
    except BaseException:
        sock.close()
        raise
    return sock


def _set_filter(sock: socket.socket, program: bytes) -> None:
    kept = create_string_buffer(program, len(program))
    instructions = struct.pack("HP", len(program) // _INSTRUCTION_BYTES, addressof(kept))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, instructions)


def attach(tap: socket.socket, interface: str) -> bool:
    """Let a tap see the interface that has this name now; return whether there is one. It may be down."""
    try:
        tap.bind((interface, _ETH_P_ALL))
    except OSError:
        return False
    return True


class Ring:
    """The memory of a tap, read by one process.

    Args:
        tap: of `open_tap`; belongs to this object from now on.
        size: as it was opened with.
    """

    def __init__(self, tap: socket.socket, size: int) -> None:
        self._socket = tap
        self._memory = mmap.mmap(tap.fileno(), size)
        self._size = size
        self._block = 0
        self._received = self._dropped = 0

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a block is ours, or when the interface has gone down."""
        return self._socket.fileno()

    def attach(self, interface: str) -> bool:
        """Like `attach` of this module."""
        return attach(self._socket, interface)

    def stop(self) -> None:
        """Let nothing more come; what has come is handed over within BLOCK_MILLISECONDS."""
        _set_filter(self._socket, _NOTHING)

    def read(self, number: int) -> list[tuple[int, bytes]]:
        """Take all that has come, as (nanoseconds since 1970, pcapng block); `number` is the tap's in the file."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # that it went down: it may come up again
        memory, taken = self._memory, []
        unpack = _PACKET.unpack_from
        while memory[self._block + _STATUS] & _OURS:
            packets, first = _BLOCK.unpack_from(memory, self._block)
            at = self._block + first
            for _ in range(packets):
                step, seconds, nanoseconds, captured, length, mac, kind = unpack(memory, at)
                when = seconds * 1_000_000_000 + nanoseconds
                begin = at + mac
                direction = OUTBOUND if kind == socket.PACKET_OUTGOING else INBOUND
                taken.append((when, packet_block(number, when, memory[begin : begin + captured], length, direction)))
                at += step
            memory[self._block + _STATUS] = 0
            self._block = (self._block + BLOCK_BYTES) % self._size
        return taken

    def counts(self) -> tuple[int, int]:
        """Return how many packets have come to this tap so far, and how many of them found no room."""
        counted = self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12)
        received, dropped, _ = struct.unpack("=III", counted)  # since the last time; the first number has both
        self._received += received
        self._dropped += dropped
        return self._received, self._dropped

    def close(self) -> None:
        """Let go of it; a second call is harmless."""
        self._memory.close()
        self._socket.close()
