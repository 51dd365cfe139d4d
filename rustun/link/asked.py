"""Members and addresses as people name them in a question."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from typing import Final

from rustun.errors import UsageError
from rustun.printable import quoted

COMPARED: Final = 200  # identities that a misspelt one is compared with: 2 ms; all of 10,000 would take 100


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, without a zone; None for anything else."""
    try:
        return ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def unknown_member(text: str, identities: Iterable[str]) -> UsageError:
    """Return what is told to somebody who names a member that is not there."""
    alike = islice((one for one in identities if one[:1] == text[:1]), COMPARED)
    near = difflib.get_close_matches(text, list(alike), n=1)
    remedy = f"did you mean {quoted(near[0])}?" if near else "rustun status shows the members"
    return UsageError(f"no member and no address: {quoted(text)}", remedy)
