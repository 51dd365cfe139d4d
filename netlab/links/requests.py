"""What a running laboratory answers to `lab-link`: a request as a document in, the links concerned as a document out.

{"link": NAME, "set": {"delay": "50ms"}, "clear": false, "for_s": 10}     settings as written; for_s may be null
{"links": [{"direction": "A->B", "settings": {...}, "way": "wire", "until_s": 10.0 or null, "lasting": {...},
            "found": [{"setting": ..., "wanted": ..., "found": ...}], "counts": {...} or null}]}
{"error": ..., "remedy": ..., "exit_code": 2}                             nothing was changed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from netlab.errors import BadInput
from netlab.links.impairment import PLAIN, Impairment, settings, with_setting
from netlab.links.links import Direction, Links

MAX_FOR_S: Final = 86_400.0
Document = dict[str, Any]


def answer(links: Links | None, request: Mapping[str, Any], now: float) -> Document:
    """Do what a request says, and return the answer.

    Args:
        links: None where the laboratory has none of its own making.
        now: seconds of the clock that `Links.expire` gets.

    Raises:
        LabError: the request is refused; who answers tells that (control/answering.py).
    """
    if links is None:
        raise BadInput("the cables of real machines cannot be impaired", "lab-up without --machines")
    directions = links.find(_text(request, "link"))
    changes = _changes(request)
    if changes or request.get("clear"):
        base = {one.name: PLAIN if request.get("clear") else one.impairment for one in directions}
        links.set([(one, _changed(base[one.name], changes)) for one in directions], _until(request, now))
    counts = links.counts()
    return {"links": [_document(one, counts.get(one.name), now) for one in directions]}


def _text(request: Mapping[str, Any], key: str) -> str:
    value = request.get(key)
    if not isinstance(value, str):
        raise BadInput(f'a request about links has no text "{key}"')
    return value


def _changes(request: Mapping[str, Any]) -> Mapping[str, Any]:
    changes = request.get("set") or {}
    if not isinstance(changes, dict):
        raise BadInput('"set" of a request about links is no table')
    return changes


def _changed(impairment: Impairment, changes: Mapping[str, Any]) -> Impairment:
    for name, value in changes.items():
        try:
            impairment = with_setting(impairment, name, value)
        except ValueError as error:
            raise BadInput(f"{name}: {error}" if not str(error).startswith("no setting") else str(error)) from error
    return impairment


def _until(request: Mapping[str, Any], now: float) -> float | None:
    seconds = request.get("for_s")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_FOR_S:
        raise BadInput(f"for {seconds} s: expected more than 0 and at most {MAX_FOR_S:.0f}")
    return now + seconds


def _document(direction: Direction, counts: Mapping[str, int] | None, now: float) -> Document:
    return {
        "direction": direction.name,
        "settings": settings(direction.impairment),
        "way": direction.way,
        "until_s": None if direction.until is None else max(0.0, direction.until - now),
        "lasting": settings(direction.lasting),
        "found": [{key: value for key, value in asdict(one).items() if key != "holds"} for one in direction.findings],
        "counts": counts,
    }
