"""Diffs without keys: nothing that is generated holds one, but a file that somebody wrote by hand may."""

from __future__ import annotations

import re
from typing import Final

# The seed's form among them, as in `-c chacha20poly1305:KEY`; names of files and public keys stay.
_SECRET_VALUE: Final = re.compile(
    r"^([-+ ].*?\b(?:aes256|chacha20poly1305|xor|psk|key|private_key)[\"']?\s*[=:]\s*).*$", re.MULTILINE
)


def masked(diff: str) -> str:
    """Return a diff without what stands behind the name of a key; a text of several lines is hidden to its first."""
    return _SECRET_VALUE.sub(r"\1(not shown)", diff)
