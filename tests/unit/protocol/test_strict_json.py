"""JSON of a peer: refused or read in one way only, in bounded time and memory."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.strict_json import MAX_DEPTH, MAX_ITEMS, dumps, loads_object

LIMIT = 65_535

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def loads(data: bytes) -> dict[str, object]:
    return loads_object(data, max_bytes=LIMIT)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_our_own_objects_come_back(value: dict[str, object]) -> None:
    """Fails if something that we send would be refused or changed by a strict reader."""
    data = dumps(value)
    if depth_of(value) > MAX_DEPTH:
        with pytest.raises(ProtocolError, match="levels"):
            loads(data)
    elif re.search(rb"[0-9]{20}", re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data)):  # a float that Python writes out in full
        with pytest.raises(ProtocolError, match="digits"):
            loads(data)
    else:
        assert loads(data) == json.loads(data) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"{", "not JSON"),
        (b"}", "not JSON"),
        (b"{]", "not JSON"),
        (b'{"a":1}{}', "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":"\\x41"}', "not JSON"),
        (b'{"a":"unfinished\\', "not JSON"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "Infinity"),
        (b'{"a":1e999}', "beyond all floats"),
        (b'{"a":-1.5e999}', "beyond all floats"),
        (b'{"a":12345678901234567890}', "digits"),
        (b'{"a":0.12345678901234567890}', "digits"),
        (b'{"a":1,"a":1}', "twice"),
        (b'{"b":[{"a":1,"\\u0061":2}]}', "twice"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\udc00\\ud800"}', "surrogate"),
        (b'{"\\udfff":[1]}', "surrogate"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a":1}'.encode("utf-16"), "UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "not JSON"),
        ('{"a":1}'.encode("utf-32-be"), "not JSON"),
    ],
)
def test_what_readers_understand_differently_is_refused(data: bytes, reason: str) -> None:
    """Fails if two readers of one message could see two different things, or a bad byte ends in another error."""
    with pytest.raises(ProtocolError, match=reason):
        loads(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":"[[[[[[[[[[[[[[[[{{{{"}',
        b'{"a":"12345678901234567890123456789"}',
        b'{"a":"\\\\\\"[[[[[[[[[[["}',
        b'{"a":"\\\\ud800"}',
        b'{"a":"\\ud83d\\udd11"}',
        b'{"a":-1234567890123456789}',
        b' \r\n\t{ "a" : [ ] } ',
        '{"\u202e":"\u0000b"}'.encode().replace(b"\x00", b"\\u0000"),
    ],
)
def test_what_only_looks_wrong_is_read(data: bytes) -> None:
    """Fails if the scan takes the inside of a string for structure."""
    assert loads(data) == json.loads(data)
    assert loads_object(memoryview(data), max_bytes=LIMIT) == json.loads(data)


def test_limits_hold_to_the_unit() -> None:
    """Fails if size, depth or number of items is judged one off, or not at all."""
    nested = b'{"a":' * 3 + b"[]" + b"}" * 3  # 4 levels, 4 containers
    assert loads_object(nested, max_bytes=len(nested), max_depth=4, max_items=4)
    for limits in ({"max_bytes": len(nested) - 1}, {"max_depth": 3}, {"max_items": 3}):
        with pytest.raises(ProtocolError):
            loads_object(nested, **{"max_bytes": LIMIT, **limits})
    full = b'{"a":[' + b",".join([b"1"] * (MAX_ITEMS - 1)) + b"]}"
    assert loads(full)
    with pytest.raises(ProtocolError, match="items"):
        loads(full.replace(b"[", b"[1,"))


HOSTILE: dict[str, bytes] = {
    "100,000 levels": b"[" * 100_000,
    "32,000 levels, closed": b'{"a":' + b"[" * 32_000 + b"]" * 32_000 + b"}",
    "64 KiB of closing brackets": b"]" * LIMIT,
    "64 KiB of commas": b"[" + b"," * (LIMIT - 1),
    "21,000 empty arrays": b"[" + b"[]," * 21_000,
    "number of 5,000 digits": b'{"a":' + b"9" * 5_000 + b"}",
    "number of 60,000 digits": b'{"a":' + b"9" * 60_000 + b"}",
    "64 KiB of quotes": b'"' * LIMIT,
    "64 KiB of escaped quotes": b'{"' + b'\\"' * 32_000,
    "64 KiB of backslashes": b'{"a":"' + b"\\" * 65_000,
    "64 KiB of lone surrogates": b'{"a":"' + b"\\ud800" * 10_000 + b'"}',
    "21,000 short strings": b'{"a":' + b'"" ' * 21_000,
    "5,000 equal keys": b"{" + b",".join([b'"a":1'] * 5_000) + b"}",
    "64 KiB of blanks": b" " * LIMIT,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_costs_little(name: str) -> None:
    """Fails if one message of a stranger can hold the loop for long, or make the process grow."""
    tracemalloc.start()
    try:
        started = time.thread_time()
        with pytest.raises(ProtocolError):
            loads_object(HOSTILE[name], max_bytes=200_000)
        spent_s = time.thread_time() - started
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert spent_s < 0.5  # under tracing; a quadratic or exponential reader takes tens of seconds
    assert peak_bytes < 4 << 20


@pytest.mark.parametrize(
    "name", ["100,000 levels", "number of 5,000 digits", "64 KiB of commas", "64 KiB of closing brackets"]
)
def test_judged_before_anything_is_built(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails if depth, digits or items were left to json's own scanner, which recurses and builds first."""

    def refuse(*_args: object, **_options: object) -> Callable[[], None]:
        raise AssertionError("json was asked")

    monkeypatch.setattr(json, "loads", refuse)
    with pytest.raises(ProtocolError):
        loads_object(HOSTILE[name], max_bytes=200_000)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0d8019eE.+-tnN \n', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Fails if some bytes raise anything but ProtocolError, or are read otherwise than json reads them."""
    try:
        value = loads(data)
    except ProtocolError as error:
        assert "\n" not in error.message
    else:
        assert value == json.loads(data)


def test_dumps_is_compact_utf8() -> None:
    """Fails if our messages grow past their frame for blanks and escapes."""
    assert dumps({"名": ["a", 1, None]}) == '{"名":["a",1,null]}'.encode()
    for bad in ({"a": float("nan")}, {"a": "\ud800"}):
        with pytest.raises(ValueError):
            dumps(bad)
