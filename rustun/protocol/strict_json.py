"""JSON from a peer, read strictly: one meaning for every reader, and bounded work before anything is built.

Rules of this module
  1. Size, depth and number of items are judged by one linear scan of the text, before `json` builds an object: its
     scanner recurses per level and builds first.
  2. What readers understand differently is refused: duplicate keys, NaN and Infinity, numbers of more than 19 digits
     or beyond a float, lone surrogates, any encoding but UTF-8, a byte order mark.
  3. Whatever bytes arrive, the only exception is ProtocolError, and its text never quotes them.

RFC 8259 leaves all of these to the reader; RFC 7493 (I-JSON) asks for most of them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from rustun.errors import ProtocolError

MAX_DEPTH: Final = 8  # our deepest message has 4 levels
MAX_ITEMS: Final = 8_192  # about 800 peers of 10 keys; a HandshakeReply of 64 KiB has 300
MAX_DIGITS: Final = 19  # every 63-bit number; longer runs cost quadratic time and fit no field

# A string is one token whatever stands in it; an unfinished one reaches to the end, so no byte is looked at twice.
_TOKEN: Final = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?' r"|[\[{\]},]" rf"|[0-9]{{{MAX_DIGITS + 1}}}",
    re.DOTALL,
)


def loads_object(
    data: bytes | bytearray | memoryview, *, max_bytes: int, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS
) -> dict[str, object]:
    """Return the JSON object that `data` is.

    Args:
        data: UTF-8 text.
        max_bytes: refuse longer data unread.
        max_depth: how many objects and arrays may stand inside each other, the outermost included.
        max_items: members of all objects and elements of all arrays together; an empty one counts one more.
    Raises: ProtocolError for anything that breaks the rules above.
    """
    value = _loads(data, max_bytes, max_depth, max_items)
    if not isinstance(value, dict):
        raise ProtocolError("JSON is not an object")
    return value


def loads_list(
    data: bytes | bytearray | memoryview, *, max_bytes: int, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS
) -> list[object]:
    """Return the JSON array that `data` is; all else as `loads_object`."""
    value = _loads(data, max_bytes, max_depth, max_items)
    if not isinstance(value, list):
        raise ProtocolError("JSON is not an array")
    return value


def _loads(data: bytes | bytearray | memoryview, max_bytes: int, max_depth: int, max_items: int) -> object:
    if len(data) > max_bytes:
        raise ProtocolError(f"JSON of {len(data)} bytes, at most {max_bytes}")
    try:
        text = str(data, "utf-8")
    except UnicodeDecodeError:
        raise ProtocolError("JSON is not UTF-8") from None
    _judge_shape(text, max_depth, max_items)
    try:
        value: object = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        raise ProtocolError(f"not JSON at character {error.pos}") from None
    if "\\u" in text:  # only an escape can bring a surrogate past the UTF-8 decoder
        _refuse_lone_surrogates(value)
    return value


def dumps(value: object) -> bytes:
    """Return compact UTF-8 JSON of our own data; ValueError where it holds NaN or a lone surrogate."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _judge_shape(text: str, max_depth: int, max_items: int) -> None:
    depth = items = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            items += 1
            if depth > max_depth:
                raise ProtocolError(f"JSON has more than {max_depth} levels")
        elif first in "]}":
            depth -= 1
            if depth < 0:
                raise ProtocolError(f"not JSON at character {match.start()}")
        elif first == ",":
            items += 1
        elif first != '"':
            raise ProtocolError(f"JSON has a number of more than {MAX_DIGITS} digits")
        if items > max_items:
            raise ProtocolError(f"JSON has more than {max_items} items")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ProtocolError("JSON has a key twice in one object")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise ProtocolError("JSON has NaN or Infinity")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ProtocolError("JSON has a number beyond all floats")
    return number


def _refuse_lone_surrogates(value: object) -> None:
    try:
        dumps(value)
    except UnicodeEncodeError:
        raise ProtocolError("JSON has a lone surrogate") from None
