"""How `ssh` is told whom to reach: what may stand in `ssh` of a server or a member.

Rules of this module
  1. A destination is whatever the operator's own `ssh` takes: user@host:port, ssh://..., a Host of ssh_config. It comes
     from an inventory that somebody else may have written, or from a server's list of hosts.
  2. So it is never an option (`-oProxyCommand=...` runs a program here), and holds nothing that a shell would take
     for more than text: the operator's ssh_config may hand %h and %r to one (CVE-2023-51385), and people paste it.
"""

from __future__ import annotations

import re
from typing import Final

from rustun.config.findings import Complaint
from rustun.config.names import parse_label
from rustun.printable import quoted

_UNSAFE: Final = frozenset(" \"'`$\\;&|<>(){}*?!#~^")
_WITH_PORT: Final = re.compile(r"(?P<host>.*\[[0-9A-Fa-f:.]+\]|[^:]*):(?P<port>[0-9]{1,5})")


def parse_destination(text: str) -> str:
    """Return what `ssh` may be given as its destination; it may be empty. Raises: Complaint."""
    parse_label(text)
    if any(part.startswith("-") for part in re.split("[@/]", text)):
        raise Complaint(f"{quoted(text)} would be an option of ssh", "user@host:port, or a Host of ssh_config")
    if text.endswith("@"):
        raise Complaint(f"{quoted(text)} names no host", "user@host:port, or a Host of ssh_config")
    if found := sorted(_UNSAFE & set(text)):
        reason = f"{quoted(text)} holds {quoted(found[0])}, which a shell would not take for text"
        raise Complaint(reason, "user@host:port, or a Host of ssh_config")
    return text


def destination_words(ssh: str) -> list[str]:
    """Return a destination as words of a command line of `ssh`: a port is an option, and nothing else is one."""
    if found := _WITH_PORT.fullmatch(ssh):
        return ["-p", found["port"], "--", found["host"].replace("[", "").replace("]", "")]
    return ["--", ssh]
