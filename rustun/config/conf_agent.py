"""[conf_agent]: a control plane that says who the members are, as the seed's server asks it.

The web process asks and reports (rustun.web.sync); the server itself only sees its routes.json change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rustun.config.credentials import note_credential
from rustun.config.findings import Complaint
from rustun.config.keys import Secret, read_key_file
from rustun.config.toml import Table
from rustun.printable import printable, quoted

POLL_SECONDS: Final = 60  # the seed's two
REPORT_SECONDS: Final = 30
MAX_SECONDS: Final = 86_400
_HEADER_WORD: Final = re.compile(r"[\x21-\x7e]{1,4096}")  # what a header carries as one word
_EXAMPLE: Final = 'as in "https://control.example.com"'


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where members come from.

    Attributes:
        url: of the control plane, without a slash at its end.
        token: the bearer token that it wants, if any.
        poll_seconds, report_seconds: how often it is asked, and told who is there.
        allow_empty: whether it may take out all members at once.
    """

    url: str
    token: Secret | None
    poll_seconds: float
    report_seconds: float
    allow_empty: bool


def read_conf_agent(top: Table, folder: Path) -> ControlPlane | None:
    """Return what [conf_agent] says, None where it is missing or wrong (then reported).

    Args:
        folder: what `api_token_file` is relative to.
    """
    table = top.table("conf_agent")
    url = table.text("control_plane_url", parse_url, "")
    if "conf_agent" in top:
        table.missing("control_plane_url", f"write it, {_EXAMPLE}")
    table.text("routes_file", str, "")  # the seed's; the server's own is meant
    found = ControlPlane(
        url,
        _read_token(table, folder),
        table.number("poll_interval", POLL_SECONDS, 1, MAX_SECONDS),
        table.number("report_interval", REPORT_SECONDS, 1, MAX_SECONDS),
        table.flag("allow_empty"),
    )
    table.close()
    if url.startswith("http://") and not _is_here(url):
        reason = "is not https: whoever is on the way reads the token, and says who your members are"
        table.report("control_plane_url", reason, "write https://", "warning")
    return found if url else None


def judge_routes_file(top: Table, routes_file: Path, folder: Path) -> None:
    """Warn where the seed's own `routes_file` of [conf_agent] is not the one that the server reads."""
    values = top.values.get("conf_agent")
    written = values.get("routes_file") if isinstance(values, dict) else None
    if not isinstance(written, str) or not written or "\0" in written:
        return
    if routes_file.absolute() not in {Path(written).absolute(), (folder / written).absolute()}:
        reason = f"{quoted(written)} is not [route_config] routes_file: members are written to that one"
        top.table("conf_agent").report("routes_file", reason, "leave it out here", "warning")


def _read_token(table: Table, folder: Path) -> Secret | None:
    def from_file(text: str) -> Secret:
        if not text:
            raise Complaint("is empty", "name a file, or leave it out")
        token = _token(read_key_file(folder / text).reveal())
        note_credential(table, "api_token_file", folder / text, text)
        return token

    written = table.text("api_token", _token, None)
    read = table.text("api_token_file", from_file, None)
    if "api_token" in table and "api_token_file" in table:
        table.report("api_token_file", "stands beside api_token", "keep one")
    return read or written


def _token(text: str) -> Secret:
    if not _HEADER_WORD.fullmatch(text):
        raise Complaint("is no token", "letters, digits and signs, without spaces")
    return Secret(text)


def parse_url(text: str) -> str:
    """Return the URL of a control plane, without a slash at its end. Raises: Complaint."""
    shown = quoted(text)
    try:
        place = urlsplit(text)
        port = place.port
    except ValueError:
        raise Complaint(f"{shown} is no URL", _EXAMPLE) from None
    if not text.isascii() or not text.isprintable() or " " in text:
        raise Complaint(f"{shown} holds a character that a URL does not have", _EXAMPLE)
    if place.scheme not in ("http", "https") or not place.hostname or port == 0:
        raise Complaint(f"{shown} is no address of a web server", _EXAMPLE)
    if place.username is not None or place.password is not None:
        raise Complaint("holds a password", "write it into api_token_file")
    if place.query or place.fragment or "?" in text or "#" in text:
        raise Complaint(f"{shown} has more than a path", f"up to where /api/sync/clients begins, {_EXAMPLE}")
    return text.rstrip("/")


def _is_here(url: str) -> bool:
    """Return whether only this host is on the way."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(printable(host)).is_loopback
    except ValueError:
        return host == "localhost"
