"""`rustun trace`: would a packet pass, which entry decides, and what do the counters say otherwise.

Exit code 0 when it passes, 1 when it does not, 2 where the question has no answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rustun.admin.control_client import ask
from rustun.cli.whom import whom
from rustun.printable import printable

PASSES: Final = "pass"
LINE_CHARACTERS: Final = 300
Document = Mapping[str, Any]


def trace(
    source: str, destination: str, member: str, cluster: str, size: int, control: Path | None, *, as_json: bool
) -> int:
    """Ask, print the answer, and return 0 when the packet would pass.

    Args:
        source, destination: addresses, or identities of members.
        member: who sends it, where that is not the owner of `source`; empty for the owner.
        cluster: where `source` is looked for; empty for everywhere.
        size: of the packet, bytes.

    Raises: RustunError: nobody can be asked, or there is no such member.
    """
    question = {"ask": "trace", "source": source, "destination": destination, "size": size}
    question |= {"member": member, "cluster": cluster}
    answer = ask(whom(control, clients_first=False), question)
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        print("\n".join(lines(answer)))
    return 0 if answer.get("verdict") == PASSES else 1


def lines(answer: Document) -> Iterator[str]:
    """Yield the answer for people: the verdict, what it rests on, what the counters say, the way back."""
    reason = f" ({_word(answer['reason'])})" if answer.get("reason") else ""
    yield f"{_word(answer['verdict'])}{reason}: {_word(answer['text'])}"
    where = ", ".join(_word(answer[key]) for key in ("member", "cluster") if answer.get(key))
    source, destination, size = (_word(answer[key]) for key in ("source", "destination", "size"))
    yield f"  {source} -> {destination}, {size} bytes{f', sent by {where}' * bool(where)}"
    for step in answer.get("steps") or []:
        entry = f"   {_word(step['entry'])}" if step.get("entry") else ""
        yield f"  {_word(step['step']):12} {_word(step['text'])}{entry}"
    counter = answer.get("counter")
    if counter:
        raised, member, now = (_word(counter[key]) for key in ("counter", "member", "now"))
        yield f"  {'counter':12} raises {raised} of {member}, now {now}"
    for text in answer.get("otherwise") or []:
        yield f"  {'but':12} {_word(text)}"
    back = answer.get("back")
    if back:
        reason = f" ({_word(back['reason'])})" if back.get("reason") else ""
        yield f"and back: {_word(back['verdict'])}{reason}: {_word(back['text'])}"


def _word(value: object) -> str:
    return printable(str(value), LINE_CHARACTERS)
