"""Whoever reaches the dashboard's port and means no good, while a member is connected."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from typing import Any

from netlab.worlds.running import SERVER, Site
from rustun.backends.process import allow_descriptors
from tests.netlab.private_namespace import in_private_namespace

PORT = 9080
TOKEN = "reading-token-of-this-test-0000000"
DASHBOARD = f"""
[dashboard_config]
listen = "{SERVER}:{PORT}"
token_file = "read.token"
"""
IDLE, READERS, GUESSES = 1000, 20, 30
BODY_BYTES, SENT_BYTES = 1 << 30, 4 << 20
JITTER_S = 0.1  # between two numbers of one document
PATIENCE_S = 20.0
RIGHT = f"Bearer {TOKEN}"


def ask(path: str, **headers: str) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    connection = HTTPConnection(SERVER, PORT, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def opened(stack: ExitStack, said: bytes = b"") -> socket.socket:
    """Connect, say something and read nothing, until the end of the stack."""
    one = stack.enter_context(socket.socket())
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(PATIENCE_S)
    one.connect((SERVER, PORT))
    with suppress(ConnectionError):  # that it hangs up is its right
        one.sendall(said)
    return one


def guesses() -> list[int]:
    """Return what becomes of wrong tokens, one after the other."""
    return [ask("/api/snapshot", Authorization=f"Bearer {number:032}")[0] for number in range(GUESSES)]


def attack(stack: ExitStack) -> None:
    """Do all of it; what holds its connection holds it until the end of the stack."""
    for _ in range(IDLE):
        opened(stack)
    stream = f"GET /dashboard/live HTTP/1.1\r\nHost: {SERVER}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    for _ in range(READERS):
        opened(stack, stream.encode())
    head = f"POST /api/login HTTP/1.1\r\nHost: {SERVER}\r\nContent-Type: application/json\r\n"
    opened(stack, f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode() + bytes(SENT_BYTES))
    opened(stack, b"GET / HTTP/1.1\r\nX: " + b"a" * SENT_BYTES)
    assert ask("/", Host="evil.example")[0] == 421
    assert ask("/", Origin="http://evil.example")[0] == 403
    assert ask("/pages/../../../../../../etc/passwd")[0] == 404
    statuses = guesses()
    assert set(statuses) == {401, 429}, statuses


def is_untouched(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Fail where strangers have moved what is the members' alone."""
    assert (after["closes"], after["handshakes"]) == (before["closes"], before["handshakes"])
    began, now = (status["uptime_s"] - status["sessions"][0]["age_s"] for status in (before, after))
    assert abs(now - began) < JITTER_S, "it is another session"


@in_private_namespace
def test_an_attack_on_the_dashboard_costs_the_tunnel_nothing() -> None:
    """Who may not even log in ends a member's session, makes it wait, or shuts the operator out."""
    allow_descriptors()
    with Site() as site, ExitStack() as stack:
        site.write_members()
        with (site.folder / "server.toml").open("a") as file:
            file.write(DASHBOARD)
        token = site.folder / "read.token"
        token.write_text(f"{TOKEN}\n")
        token.chmod(0o600)
        server = site.serve()
        server.until_logged(f"listening on http://{SERVER}:{PORT}")
        client = site.connect("--keepalive-interval", "1")
        client.until_online()
        before = server.until(lambda status: status["online"] == 1)
        attack(stack)
        code, snapshot = site.far.run(lambda: ask("/api/snapshot", Authorization=RIGHT))  # the operator, from elsewhere
        assert (code, json.loads(snapshot)["data"]["status"]["online"]) == (200, 1)
        code, page = site.far.run(lambda: ask("/"))
        assert (code, b"rustun" in page) == (200, True)
        is_untouched(before, server.status())
        status = client.status()
        assert (status["state"], status["reconnects"]) == ("online", 0)
        assert status["proof_age_s"] < 3.0
