"""Read what a request carries: bounded, strict JSON, and nothing that is not expected.

Rules of this module
  1. A body is JSON by its Content-Type as well: a form of another site cannot send that.
  2. Size, depth and number of items are judged before anything is built (rustun.protocol.strict_json).
  3. A word of the query that the route does not know is refused: a misspelt `preview` would make a change true.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aiohttp import web

from rustun.errors import ProtocolError
from rustun.printable import quoted
from rustun.protocol.strict_json import loads_list, loads_object
from rustun.web.envelope import Refusal

MAX_DEPTH: Final = 4  # of a member's entry: the object, a list or a mapping, and one to spare
MAX_ENTRY_BYTES: Final = 64 << 10  # 400 prefixes with a mapping each take some 40 KiB
MAX_ENTRY_ITEMS: Final = 4_096
MAX_LIST_BYTES: Final = 8 << 20  # 50,000 connections take some 4 MiB
MAX_LIST_ITEMS: Final = 400_000


async def entry_of(request: web.Request) -> dict[str, object]:
    """Return the JSON object that a request carries. Raises: Refusal."""
    data = await _body(request, MAX_ENTRY_BYTES)
    try:
        return loads_object(data, max_bytes=MAX_ENTRY_BYTES, max_depth=MAX_DEPTH, max_items=MAX_ENTRY_ITEMS)
    except ProtocolError as error:
        raise Refusal(400, error.message, 'send an object, as {"cluster": ..., "identity": ...}') from None


async def list_of(request: web.Request) -> list[object]:
    """Return the JSON list that a request carries. Raises: Refusal."""
    data = await _body(request, MAX_LIST_BYTES)
    try:
        return loads_list(data, max_bytes=MAX_LIST_BYTES, max_depth=MAX_DEPTH, max_items=MAX_LIST_ITEMS)
    except ProtocolError as error:
        raise Refusal(400, error.message, "send a list") from None


async def _body(request: web.Request, max_bytes: int) -> bytes:
    if request.content_type != "application/json":
        raise Refusal(415, "the body is not said to be JSON", "write Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity") != "identity":  # small on the wire, huge in memory
        raise Refusal(415, "the body is packed", "send it as it is")
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > max_bytes:
            raise Refusal(413, f"the body is over {max_bytes:,} bytes long", "is this the right file?")
    return bytes(data)


def query_of(request: web.Request, known: Collection[str]) -> dict[str, str]:
    """Return the words of a request's query. Raises: Refusal: one that is not known, or stands there twice."""
    for key in request.query:
        if key not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise Refusal(400, f"{quoted(key)} is no parameter of this", takes)
        if len(request.query.getall(key)) > 1:
            raise Refusal(400, f"{quoted(key)} stands there twice", "keep one of them")
    return dict(request.query)


def flag_of(query: dict[str, str], key: str) -> bool:
    """Return whether a word of the query is true. Raises: Refusal: it is neither true nor false."""
    value = query.get(key, "false")
    if value not in ("true", "false", "1", "0"):
        raise Refusal(400, f"{key} is {quoted(value)}", "write true or false")
    return value in ("true", "1")
