"""The one form of every JSON answer: what the seed's dashboard has, so that its tools can read ours.

    {"code": 200, "message": "success", "data": ...}
    {"code": 404, "message": "there is no member \"x\"", "error": "what to do about it"}

`code` is the HTTP status of a refusal, and 200 of every success, as there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from rustun.errors import RustunError


class Refusal(RustunError):
    """A request that gets no.

    Args:
        status: of HTTP, 400 to 599.
        message: one line: what is wrong.
        remedy: one line: what to do about it; may be empty.
        headers: that go with the answer.
        details: what a program may do something with; told where there are any.
    """

    def __init__(
        self,
        status: int,
        message: str,
        remedy: str = "",
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, remedy)
        self.status = status
        self.headers = headers or {}
        self.details = details or {}

    def response(self) -> web.Response:
        """Return what the asker gets."""
        body: dict[str, object] = {"code": self.status, "message": self.message, "error": self.remedy}
        if self.details:
            body["details"] = self.details
        return _json(body, self.status, self.headers)


def success(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the answer that carries `data`, whatever JSON has."""
    return _json({"code": 200, "message": "success", "data": data}, status, headers or {})


def bare(answer: object) -> web.Response:
    """Return an answer without the envelope, where the seed has none."""
    return _json(answer, 200, {})


def _json(body: object, status: int, headers: Mapping[str, str]) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(
        body=text.encode("utf-8", "backslashreplace"), status=status, headers=headers, content_type="application/json"
    )
