"""What a health probe is told."""

from __future__ import annotations

from typing import Any

import pytest

from rustun.admin.health import why_not

SERVER: dict[str, Any] = {"role": "server", "listen": ["0.0.0.0:8080"], "online": 1, "routes": {"problems": []}}
CLIENT: dict[str, Any] = {"role": "client", "state": "online", "tun": {"present": True}, "last_error": ""}


@pytest.mark.parametrize(
    ("document", "check", "reason"),
    [
        (SERVER, "live", ""),
        (SERVER, "ready", ""),
        (SERVER, "connected", ""),
        ({**SERVER, "listen": []}, "live", ""),
        ({**SERVER, "listen": []}, "ready", "it does not listen"),
        (
            {**SERVER, "routes": {"problems": ["routes.json:3: x"]}},
            "ready",
            "its members' file is not in force: routes.json:3: x",
        ),
        ({**SERVER, "online": 0}, "ready", ""),
        ({**SERVER, "online": 0}, "connected", "no member is online"),
        (CLIENT, "live", ""),
        (CLIENT, "ready", ""),
        (CLIENT, "connected", ""),
        ({**CLIENT, "tun": {"present": False}}, "ready", "it has no device"),
        ({**CLIENT, "state": "waiting"}, "ready", ""),
        ({**CLIENT, "state": "waiting", "last_error": "no answer"}, "connected", "waiting: no answer"),
        ({**CLIENT, "state": "unproven"}, "connected", "unproven"),
    ],
)
def test_each_check(document: dict[str, Any], check: str, reason: str) -> None:
    """A probe restarts a process that is well, or leaves one alone that does nothing any more."""
    assert why_not(document, check) == reason
