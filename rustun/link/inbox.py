"""The receiving half of a connection: bytes of the stream become frames, without a copy on the way.

A turn is `begin`, any number of `next_frame`, `end`. Frames are views of the shared scratch buffer: they are good until
`end`, and nobody else may begin a turn meanwhile.
"""

from __future__ import annotations

from rustun.backends.base import Stream
from rustun.link.buffers import TURN_BYTES, Buffers
from rustun.protocol.frames import FrameReader


class Inbox:
    """Finds frames in what a stream delivers.

    Args:
        stream: where bytes come from.
        reader: says which frames may come.
        buffers: the process's scratch memory.
        held: bytes that were received before this object took over.
    """

    __slots__ = ("_buffers", "_end", "_held", "_position", "_stream", "reader")

    def __init__(self, stream: Stream, reader: FrameReader, buffers: Buffers, held: bytes = b"") -> None:
        self._stream = stream
        self._buffers = buffers
        self._held = held
        self._position = self._end = 0
        self.reader = reader

    @property
    def held(self) -> bytes:
        """What was received and not yet handed out, between turns."""
        return self._held

    def begin(self, *, receive: bool, max_bytes: int = TURN_BYTES) -> int | None:
        """Begin a turn, and with `receive` read from the stream.

        Returns: bytes read; 0 at the end of the stream; None where nothing was there or asked for.
        Raises: ConnectionError when the connection is dead.
        """
        held = self._held
        start = len(held)
        scratch = self._buffers.received
        if start:
            scratch[:start] = held
        self._position = 0
        self._end = start
        if not receive:
            return None
        received = self._stream.receive_into(scratch[start : start + max_bytes])
        if received:
            self._end = start + received
        return received

    def next_frame(self) -> tuple[int, memoryview] | None:
        """Return (type, whole frame) of the next frame, or None until more bytes came. Raises ProtocolError."""
        position, end = self._position, self._end
        if position == end:
            return None
        received = self._buffers.received
        found = self.reader.next_frame(received, position, end)
        if found is None:
            return None
        frame_type, stop = found
        self._position = stop
        return frame_type, received[position:stop]

    def end(self) -> None:
        """End the turn and keep what was not handed out."""
        self._held = bytes(self._buffers.received[self._position : self._end]) if self._position < self._end else b""
