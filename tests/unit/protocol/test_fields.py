"""Fields of a peer's JSON object: exactly what they have to be, or our protocol error."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from rustun.errors import ProtocolError
from rustun.protocol.fields import base64_bytes, boolean, integer, number, objects, string_map, strings, text

Read = Callable[[dict[str, object]], object]


def read_text(fields: dict[str, object]) -> object:
    return text(fields, "x", 1, 4)


def read_integer(fields: dict[str, object]) -> object:
    return integer(fields, "x", 0, 9)


def read_number(fields: dict[str, object]) -> object:
    return number(fields, "x", 0, 9)


def read_boolean(fields: dict[str, object]) -> object:
    return boolean(fields, "x")


def read_strings(fields: dict[str, object]) -> object:
    return strings(fields, "x")


def read_objects(fields: dict[str, object]) -> object:
    return objects(fields, "x")


def read_map(fields: dict[str, object]) -> object:
    return string_map(fields, "x")


def read_base64(fields: dict[str, object]) -> object:
    return base64_bytes(fields, "x", 4)


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (read_text, "a"), (read_text, "abcd"), (read_text, "éé"), (read_integer, 0), (read_integer, 9),
        (read_number, 0), (read_number, 8.5), (read_number, 9), (read_number, None), (read_boolean, True),
        (read_boolean, False), (read_strings, []), (read_strings, ["", "b"]), (read_objects, [{}, {"a": 1}]),
        (read_map, {}), (read_map, {"a": "b"}),
    ],
)  # fmt: skip
def test_right_values_come_back_as_they_are(read: Read, value: object) -> None:
    """If this fails, an honest peer is refused, or misread."""
    assert read({"x": value, "other": 5}) == value


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (read_text, ""), (read_text, "abcde"), (read_text, "ééé"), (read_text, 1), (read_text, None),
        (read_text, ["a"]), (read_integer, -1), (read_integer, 10), (read_integer, 1.0), (read_integer, True),
        (read_integer, "1"), (read_integer, None), (read_number, -0.1), (read_number, 9.1), (read_number, False),
        (read_number, "1"), (read_number, float("nan")), (read_boolean, 0), (read_boolean, None),
        (read_boolean, "true"), (read_strings, "ab"), (read_strings, [1]), (read_strings, {"a": 1}),
        (read_strings, None), (read_objects, {}), (read_objects, [[]]), (read_objects, None), (read_map, []),
        (read_map, {"a": 1}), (read_map, None), (read_base64, ""), (read_base64, 4), (read_base64, "AAAAA==="),
        (read_base64, "AB=="), (read_base64, "AAA"), (read_base64, "A A="), (read_base64, "AA=\n"),
        (read_base64, "éé=="), (read_base64, "AAAA" * 3),
    ],
)  # fmt: skip
def test_wrong_values_are_our_protocol_error(read: Read, value: object) -> None:
    """If this fails, a peer's odd field ends the process, or passes for something that it is not."""
    with pytest.raises(ProtocolError, match="'x'"):
        read({"x": value})


def test_what_may_be_absent_is_empty() -> None:
    """If this fails, a peer that leaves out what it has nothing to say about is refused."""
    assert text({}, "x", 0, 4) == ""
    assert number({}, "x", 0, 1) is None
    assert boolean({}, "x") is False
    assert (strings({}, "x"), objects({}, "x"), string_map({}, "x")) == ([], [], {})
    for read in (read_text, read_integer, read_base64):
        with pytest.raises(ProtocolError):
            read({})


def test_base64_has_one_spelling() -> None:
    """If this fails, one message has two spellings, and what is compared as text may differ where it is equal."""
    for length in range(1, 5):
        data = bytes(range(length))
        assert base64_bytes({"x": base64.b64encode(data).decode()}, "x", 4) == data
