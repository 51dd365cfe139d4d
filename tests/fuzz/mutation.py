"""Damage: what a hostile peer, a slip of an editor or a bad disk makes of something valid.

Rules of this module
  1. It begins with a valid example. Bytes from nowhere end at the first check and test nothing behind it.
  2. Damage of bytes: bits flipped, extremes written over numbers, parts cut, removed, doubled, swapped, put in. Damage
     of texts: the same to their tokens, so that most results still are JSON or TOML, with another meaning.
  3. Every choice is drawn from Hypothesis: a failure shrinks, and the same seed gives the same damage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

MAX_BYTES: Final = 70_000  # a little more than any frame
SHOWN_BYTES: Final = 600
PLACES: Final = st.integers(0, 0xFFFF)
LENGTHS: Final = st.sampled_from([0, 1, 2, 4, 8, 16, 33, 500])
TIMES: Final = st.sampled_from([1, 2, 40, 3000])
EXTREMES: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0", b"\xff\xff", b"\0\1", bytes(4), b"\xff" * 4, b"\xff" * 8)
FLIPS: Final = tuple(bytes([1 << bit]) for bit in range(8))
BYTE_DAMAGE: Final = ("flip", "flip", "flip", "overwrite", "overwrite", "insert", "remove", "cut", "double", "swap")
TOKEN_DAMAGE: Final = ("replace", "replace", "replace", "replace", "insert", "remove", "double", "swap")

TOKEN: Final = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[\w.+%/-]+|\s+|.', re.DOTALL)
HOSTILE_TOKENS: Final = (
    # structure, whole or not
    b'"', b"'", b'"""', b"{", b"}", b"[", b"]", b"[[", b"]]", b",", b":", b"=", b"#", b"\\", b"\n", b"\r", b"//",
    b"{}", b"[]", b"[{}]", b'""', b"[" * 9, b'{"a":' * 9, b"[" * 3000, b'{"a":' * 3000, b"<<<<<<< HEAD\n",
    # numbers and words
    b"null", b"true", b"false", b"0", b"-1", b"1.5", b"1e999", b"-0.0", b"NaN", b"nan", b"inf", b"-Infinity", b"65536",
    b"4294967296", b"9" * 19, b"9" * 20, b"9" * 5000, b"0x7f", b"1979-05-27", b'"2027-06-30T18:00:00+24:00"',
    # texts
    b'"' + b"A" * 300 + b'"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u202e"', b'"\\x"', b'"\x1b[31m"',
    b'"\n"', b'"\0"', b'" "', b'"[b]x[/b]"', b'"../../x"', b'"a\\nb"', "\u0663".encode(), "\u202e".encode(),
    b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xff\xfe",
    # addresses and keys
    b'"0.0.0.0/0"', b'"::/0"', b'"10.0.0.1/8"', b'"1.2.3.4/33"', b'"fe80::1%eth0"', b'"fd00::%x/64"',
    b'"::ffff:1.2.3.4"', b'"127.0.0.1"', b'"224.0.0.0/4"', b'"[::1]:0"', b'":::"', b'"a:99999"',
    b'"' + b"A" * 43 + b'="', b'"AAAA"', b'"===="',
)  # fmt: skip


class Damaged(bytes):
    """Bytes whose repr stays readable; what Hypothesis prints beside it repeats a failure."""

    def __repr__(self) -> str:
        return super().__repr__() if len(self) <= SHOWN_BYTES else f"{self[:SHOWN_BYTES]!r} and more, {len(self)} bytes"


@st.composite
def damaged(
    draw: st.DrawFn, examples: Sequence[bytes], *, is_text: bool = False, max_bytes: int = MAX_BYTES
) -> Damaged:
    """Draw one of the examples, damaged in zero to four places.

    Args:
        examples: valid inputs; a damaged text may take tokens from any of them.
        is_text: whether they are JSON or TOML.
        max_bytes: of the result.
    """
    data = draw(st.sampled_from(examples))
    for _ in range(draw(st.integers(0, 4))):
        data = _damage_text(draw, data, examples) if is_text and draw(st.booleans()) else _damage_bytes(draw, data)
    return Damaged(data[: min(max_bytes, MAX_BYTES)])


def _damage_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    kind = draw(st.sampled_from(BYTE_DAMAGE))
    start = draw(PLACES) % (len(data) + 1)
    if kind == "cut":
        return data[:start]
    if kind in ("flip", "overwrite"):
        part = draw(st.sampled_from(FLIPS if kind == "flip" else EXTREMES))
        old = data[start : start + len(part)]
        new = bytes(left ^ right for left, right in zip(old, part, strict=False)) if kind == "flip" else part
        return data[:start] + new[: len(old)] + data[start + len(part) :]
    if kind == "insert":
        return data[:start] + draw(st.binary(max_size=9)) + data[start:]
    end = start + draw(LENGTHS)
    if kind == "remove":
        return data[:start] + data[end:]
    if kind == "double":
        return data[:end] + data[start:end] * draw(TIMES) + data[end:]
    other = end + draw(LENGTHS)
    return data[:start] + data[end:other] + data[start:end] + data[other:]


def _damage_text(draw: st.DrawFn, data: bytes, examples: Sequence[bytes]) -> bytes:
    tokens = TOKEN.findall(data)
    kind = draw(st.sampled_from(TOKEN_DAMAGE))
    start = draw(PLACES) % (len(tokens) + 1)
    if kind in ("replace", "insert"):
        foreign = st.sampled_from(examples).map(TOKEN.findall).filter(bool).flatmap(st.sampled_from)
        tokens[start : start + (kind == "replace")] = [draw(st.sampled_from(HOSTILE_TOKENS) | foreign)]
        return b"".join(tokens)
    end = start + draw(st.sampled_from([1, 1, 2, 4, 8]))
    if kind == "remove":
        del tokens[start:end]
    elif kind == "double":
        tokens[end:end] = tokens[start:end] * draw(TIMES)
    else:
        tokens[start:end] = reversed(tokens[start:end])
    return b"".join(tokens)
