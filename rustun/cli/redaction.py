"""Text without secrets, for what a user may hand to somebody else.

Rules of this module
  1. A secret that is known (from a key file, a configuration, an environment, a command line) is found in every form
     in which bytes are written: as it is, in Base64, as hex, as numbers.
  2. What looks like a secret is taken for one: a key of 32 bytes in Base64 or hex, METHOD:KEY, a value behind a word
     like token or password, a PEM block. Public keys look like private ones, so they go, too.
  3. What is shorter than LEAST_CHARACTERS is not looked for as it is: a key "rustun" would take that word everywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from rustun.printable import without_keys

LEAST_CHARACTERS: Final = 7
HIDDEN: Final = "(a secret)"

_METHOD: Final = re.compile(
    r"""(?i)\b(?P<name>chacha20poly1305|chacha20|aes256|xor)(?P<sign>["']?\s*[:=]\s*)"""
    r"""("[^"\n]*"|'[^'\n]*'|[^\s"',}]+)"""
)
_NAMED: Final = re.compile(
    r"""(?i)(?P<name>(?:token|passw(?:or)?d|passphrase|secret|api[_-]?key|private[_-]?key|psk|authorization|cookie))"""
    r"""(?P<sign>["']?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?("[^"\n]*"|'[^'\n]*'|[^\s"',}]+)"""
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_.~=-]{8,}")
_IN_URL: Final = re.compile(r"""(?<=://)[^\s/?#"'<>]*(?=@)""")  # name and password
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)
_AGE: Final = re.compile(r"(?i)AGE-SECRET-KEY-1[0-9A-Z]+")
_HEX: Final = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{2}(?:[ :]?[0-9a-f]{2}){31,}(?![0-9a-f])")
_URL_SAFE: Final = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[A-Za-z0-9_-]{43,}={0,2}(?![\w-])")


class Redactor:
    """Takes secrets out of texts.

    Args:
        secrets: known ones, as texts; of what is Base64 the bytes are known, too.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._known: dict[bytes, list[bytes]] = {}  # by their beginning, the longest first; in lower case
        written = {form for secret in secrets for form in forms(secret) if len(form) >= LEAST_CHARACTERS}
        for form in sorted(map(_lowered, written), key=len, reverse=True):
            self._known.setdefault(form[:LEAST_CHARACTERS], []).append(form)

    def clean(self, text: str) -> str:
        """Return a text without what is a secret, or looks like one."""
        text = _PEM.sub(HIDDEN, self._without_known(text))
        text = _AGE.sub(HIDDEN, text)
        text = _NAMED.sub(_hidden_value, _METHOD.sub(_hidden_value, text))
        text = _IN_URL.sub(HIDDEN, text)
        text = _BEARER.sub(rf"\1 {HIDDEN}", text)
        text = _HEX.sub(HIDDEN, without_keys(text))
        return _URL_SAFE.sub(HIDDEN, text)

    def _without_known(self, text: str) -> str:
        """Return a text without known secrets, in a time that does not depend on how many are known: 0.1 s a MB."""
        known, lowered = self._known, _lowered(text)
        places = [at for at in range(len(lowered)) if lowered[at : at + LEAST_CHARACTERS] in known]
        whole, pieces, done = text.encode("utf-8", "surrogatepass"), [], 0
        for at in places:
            forms_here = known[lowered[at : at + LEAST_CHARACTERS]] if at >= done else []
            found = next((form for form in forms_here if lowered.startswith(form, at)), b"")
            if found:
                pieces += [whole[done:at], HIDDEN.encode()]
                done = at + len(found)
        return b"".join((*pieces, whole[done:])).decode("utf-8", "replace")


def _lowered(text: str) -> bytes:
    """Return a text's bytes with ASCII letters in lower case, none more and none fewer."""
    return text.encode("utf-8", "surrogatepass").lower()


def _hidden_value(match: re.Match[str]) -> str:
    """Return a name with its sign and without its value; what was JSON stays JSON."""
    value = match[match.lastindex or 0]
    quote = value[0] if value[0] in "\"'" else match["sign"][0] if match["sign"][0] in "\"'" else ""
    return f"{match['name']}{match['sign']}{quote}{HIDDEN}{quote}"


def forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written."""
    secret = secret.strip()
    if not secret:
        return
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    raw = secret.encode("utf-8", "surrogatepass")
    yield from _written(raw)
    try:
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except (binascii.Error, ValueError):
        return
    if len(decoded) >= LEAST_CHARACTERS:
        yield from _written(decoded)
        yield decoded.decode("latin-1")


def _written(raw: bytes) -> Iterator[str]:
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
    yield raw.hex()
    yield raw.hex(" ")
    yield raw.hex(":")
    yield repr(raw)[2:-1]
    yield ", ".join(map(str, raw))
