"""Reading the fields of a peer's JSON object: each either is what it has to be or ends the connection."""

from __future__ import annotations

import base64

from rustun.errors import ProtocolError


def text(fields: dict[str, object], key: str, min_bytes: int, max_bytes: int) -> str:
    """Return a string field whose UTF-8 length lies in the range; absent means empty. Raises ProtocolError."""
    value = fields.get(key, "")
    if not isinstance(value, str) or not min_bytes <= len(value.encode()) <= max_bytes:
        raise ProtocolError(f"field {key!r} has to be text of {min_bytes} to {max_bytes} bytes")
    return value


def integer(fields: dict[str, object], key: str, least: int, most: int) -> int:
    """Return an integer field in the range. Raises ProtocolError."""
    value = fields.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ProtocolError(f"field {key!r} has to be a number from {least} to {most}")
    return value


def strings(fields: dict[str, object], key: str) -> list[str]:
    """Return a field that is a list of strings; absent means empty. Raises ProtocolError."""
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ProtocolError(f"field {key!r} has to be a list of texts")
    return value


def base64_bytes(fields: dict[str, object], key: str, max_bytes: int) -> bytes:
    """Return a field of canonical Base64, decoded. Raises ProtocolError."""
    value = text(fields, key, 1, (max_bytes + 2) // 3 * 4)
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        raise ProtocolError(f"field {key!r} is not Base64") from None
    if base64.b64encode(decoded).decode() != value:
        raise ProtocolError(f"field {key!r} is not canonical Base64")
    return decoded


def boolean(fields: dict[str, object], key: str) -> bool:
    """Return a field that is true or false; absent means false. Raises ProtocolError."""
    value = fields.get(key, False)
    if not isinstance(value, bool):
        raise ProtocolError(f"field {key!r} has to be true or false")
    return value


def number(fields: dict[str, object], key: str, least: float, most: float) -> float | None:
    """Return a number in the range, or None where the field is absent or null. Raises ProtocolError."""
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ProtocolError(f"field {key!r} has to be a number from {least} to {most}")
    return float(value)


def objects(fields: dict[str, object], key: str) -> list[dict[str, object]]:
    """Return a field that is a list of objects; absent means empty. Raises ProtocolError."""
    value = fields.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ProtocolError(f"field {key!r} has to be a list of objects")
    return value


def string_map(fields: dict[str, object], key: str) -> dict[str, str]:
    """Return a field that is an object of texts; absent means empty. Raises ProtocolError."""
    value = fields.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(entry, str) for entry in value.values()):
        raise ProtocolError(f"field {key!r} has to be an object of texts")
    return value
