"""Whether a process is as well as somebody asks (`rustun status --check`), from its document alone.

    live        it answers
    ready       a server listens, and its members' file is in force as it is; a client has its device
    connected   a server has a member online; a client is online at a server
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Document = Mapping[str, Any]

CHECKS: Final = ("live", "ready", "connected")


def why_not(document: Document, check: str) -> str:
    """Return why a process is not what is asked, or nothing when it is.

    Args:
        check: one of CHECKS.
    """
    is_server = document.get("role") == "server"
    if check == "ready":
        return _server_not_ready(document) if is_server else _client_not_ready(document)
    if check == "connected":
        if is_server:
            return "" if document.get("online") else "no member is online"
        state = document.get("state")
        error = f": {document['last_error']}" if document.get("last_error") else ""
        return "" if state == "online" else f"{state}{error}"
    return ""


def _server_not_ready(document: Document) -> str:
    problems = (document.get("routes") or {}).get("problems")
    if not document.get("listen"):
        return "it does not listen"
    return f"its members' file is not in force: {problems[0]}" if problems else ""


def _client_not_ready(document: Document) -> str:
    return "" if (document.get("tun") or {}).get("present") else "it has no device"
