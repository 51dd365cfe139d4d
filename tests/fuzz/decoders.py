"""What a decoder promises, and how its work is counted.

A decoder takes foreign bytes and returns, or raises what it says it raises; nothing else. Its work is counted in calls
of Python and C functions: the same number on every machine and under every load, and at most a few for each byte.
What one call may cost is bounded elsewhere, in a process of its own (hostile.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Final

CALLS_BESIDES: Final = 20_000  # for tables, messages and the like; a loop without end passes it at once
CALLS_PER_BYTE: Final = 60  # a list of bad prefixes costs most: 40 a byte, each of them one problem with its line


@dataclass(frozen=True, slots=True)
class Decoder:
    """Something that reads foreign bytes.

    Attributes:
        name: module and function, as a reader would look for it.
        examples: valid inputs, each taken without a refusal.
        read: reads one input; what it returns does not matter.
        refusal: what it may raise.
        is_text: whether the examples are JSON or TOML.
        max_bytes: the longest input that it looks into.
    """

    name: str
    examples: tuple[bytes, ...]
    read: Callable[[bytes], object]
    refusal: type[Exception]
    is_text: bool = False
    max_bytes: int = 65_535

    def __repr__(self) -> str:
        return self.name

    def takes(self, data: bytes) -> bool:
        """Return whether the input was taken; any exception but the refusal goes through."""
        try:
            self.read(data)
        except self.refusal as refusal:
            words = str(refusal).splitlines()
            assert words and all(line.isprintable() for line in words), f"no words for a terminal: {words}"
            return False
        return True

    def allowed_calls(self, data: bytes) -> int:
        """Return how many calls this input may cost."""
        return CALLS_BESIDES + CALLS_PER_BYTE * len(data)


def counted_calls(work: Callable[[], object]) -> int:
    """Return how many Python and C functions `work` calls; its exceptions go through."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def functions_called(decoders: Iterable[Decoder]) -> set[tuple[str, str]]:
    """Return (file, qualified name) of every Python function that the decoders' examples run through."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        for decoder in decoders:
            for example in decoder.examples:
                with suppress(decoder.refusal):
                    decoder.read(example)
    finally:
        sys.setprofile(before)
    return {(code.co_filename, code.co_qualname) for code in seen}
