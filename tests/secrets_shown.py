"""Looks for secrets in what people and programs can read, in every form in which bytes are written."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable


def forms(secret: bytes) -> set[str]:
    """Return a secret as Base64, hex, Python's bytes, numbers, and as it is where it is text."""
    numbers = ", ".join(map(str, secret))
    found = {b64encode(secret).decode().rstrip("="), secret.hex(), secret.hex(" "), repr(secret)[2:-1], numbers}
    return found | {secret.decode("latin-1")}


def shown(text: str, secrets: Iterable[bytes]) -> list[str]:
    """Return the forms of secrets that stand in a text."""
    folded = text.lower()
    return [form for secret in secrets for form in forms(secret) if form in text or form.lower() in folded]
