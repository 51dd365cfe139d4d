"""What answers on a control socket as a relay does, with what a test wants it to say."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rustun.admin.control import SCHEMA
from tests.browser.documents import status

Document = dict[str, Any]
AGES = {"age_s", "proof_age_s", "last_seen_age_s", "last_error_age_s"}
FLOWS = ("proof_age_s", "rtt_ms", "received_bytes", "sent_bytes", "queued_bytes", "drops", "refused", "lost_to")
COUNTED = {*FLOWS, "received_packets", "sent_packets", "queued_packets"}
RUN = "3f9a11c0"
NO_SINCE = {"schema": SCHEMA, "error": '"status" knows no "since"', "remedy": "it takes cluster, member"}
PATIENCE_SECONDS = 30.0  # only reached where something hangs


class PretendedRelay:
    """Answers `status`, `trace` and `events`, from when it is made until `close`.

    Args:
        path: of the control socket.
    Attributes:
        status: called for each status document.
        trace: called with source and destination for each verdict.
        knows_since: whether it tells what changed; an older version does not.
        asked: the words that were asked, in their order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status: Callable[[], Document] = status
        self.trace: Callable[[str, str], Document] = passes
        self.knows_since = True
        self.asked: list[str] = []
        self._told = Told()
        self._events: list[Document] = []
        self._news = threading.Condition()
        self._closed = False
        self._server: _Server | None = None
        self.open()

    def open(self) -> None:
        """Listen, again after a `close`."""
        self.path.unlink(missing_ok=True)
        self._closed = False
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,)).start()

    def close(self) -> None:
        """Be gone, as a process that has ended."""
        if self._server is None:
            return
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        self.path.unlink(missing_ok=True)

    def happen(self, event: str, **fields: object) -> None:
        """Tell an event to all that listen."""
        with self._news:
            number = len(self._events) + 1
            time = f"2026-11-23T12:{number // 60 % 60:02}:{number % 60:02}+00:00"
            head = {"schema": SCHEMA, "number": number, "time": time, "level": "info", "message": f"{event} happened"}
            self._events.append({**head, "event": event, **fields})
            self._news.notify_all()

    def wait_asked(self, word: str, times: int) -> None:
        """Wait until a word was asked so many times from now on."""
        with self._news:
            wanted = self.asked.count(word) + times
            assert self._news.wait_for(lambda: self.asked.count(word) >= wanted, PATIENCE_SECONDS)

    def answer(self, line: bytes, tell: Callable[[Document], None]) -> None:
        """Answer one question."""
        question: Document = json.loads(line) if line.startswith(b"{") else {"ask": line.decode().strip()}
        word = question["ask"]
        with self._news:
            self.asked.append(word)
            self._news.notify_all()
        if word == "status":
            tell(self._status(question))
        elif word == "trace":
            tell({"schema": SCHEMA, **self.trace(question["source"], question["destination"])})
        elif word == "events":
            self._tell_events(question.get("since", 0), tell)
        else:
            tell({"schema": SCHEMA, "error": "unknown request", "remedy": "ask one of: events, status, trace"})

    def _status(self, question: Document) -> Document:
        if self.knows_since:
            return self._told.changes(self.status(), question.get("since", ""))
        return NO_SINCE if "since" in question else self.status()

    def _tell_events(self, since: int, tell: Callable[[Document], None]) -> None:
        while True:
            with self._news:
                while not self._closed and len(self._events) <= since:
                    self._news.wait()
                if self._closed:
                    return
                news, since = self._events[since:], len(self._events)
            for event in news:
                tell(event)


class Told:
    """Tells of what was told before as the relay does where a question says `since` (docs/status.md)."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[str, int]] = {}
        self._count = 0

    def changes(self, document: Document, since: str) -> Document:
        """Return a document for a reader who has another one."""
        known, as_of = int(since.partition("-")[2] or 0), f"{RUN}-{self._count}"
        lists = {key: [self._short(one, known) for one in document.get(key, ())] for key in ("sessions", "offline")}
        return {**document, "as_of": as_of, **lists}

    def _short(self, one: Any, known: int) -> Any:
        if not isinstance(one, dict) or "number" not in one:
            return one
        number: int = one["number"]
        stays = json.dumps([(key, value) for key, value in one.items() if key not in COUNTED | AGES])
        text, made = self._texts.get(number, ("", 0))
        if text != stays:
            self._count = made = self._count + 1
            self._texts[number] = stays, made
        if made > known:
            return one
        if "proof_age_s" not in one:
            return number
        return [number, *(one.get(key, {} if key == "refused" else "") for key in FLOWS)]


def passes(source: str, destination: str) -> Document:
    """Return the verdict on a packet that goes through."""
    return {
        "verdict": "pass",
        "reason": "",
        "text": f"goes to {destination}",
        "steps": [
            {"step": "sender", "text": f"{source} is connected by the key tier", "entry": "/etc/rustun/routes.json:3"},
            {"step": "receiver", "text": f"{destination} is connected", "entry": "/etc/rustun/routes.json:11"},
            {"step": "queue", "text": "empty: the packet would be sent at once", "entry": ""},
        ],
        "counter": {"member": destination, "counter": "sent_packets", "now": 7},
        "otherwise": [],
        "back": {"verdict": "pass", "reason": "", "text": f"goes to {source}"},
    }


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, relay: PretendedRelay) -> None:
        self.relay = relay
        super().__init__(str(relay.path), _Exchange)


class _Exchange(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        def tell(document: Document) -> None:
            self.wfile.write(json.dumps(document).encode() + b"\n")

        try:
            if line := self.rfile.readline(1025):
                self.server.relay.answer(line, tell)
        except (BrokenPipeError, ConnectionResetError):
            pass
