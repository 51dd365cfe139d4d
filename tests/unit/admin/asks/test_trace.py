"""The question about a packet, as it comes over the control socket."""

from __future__ import annotations

import pytest

from rustun.admin.asking import AskError, Peer, parse
from rustun.admin.asks.trace import trace_handler

ANYBODY = Peer(1, 1000, 1000)


def answer(line: bytes) -> object:
    def trace(source: str, destination: str, *, member: str, cluster: str, size: int) -> dict[str, object]:
        return {"heard": (source, destination, member, cluster, size)}

    return trace_handler("server", trace)(parse(line, ANYBODY))


def test_what_is_asked_arrives() -> None:
    """If this fails, a question is answered for other addresses, or another size."""
    assert answer(b'{"ask": "trace", "source": "a", "destination": "b"}') == {
        "schema": 1, "role": "server", "heard": ("a", "b", "", "", 84)
    }  # fmt: skip
    line = b'{"ask": "trace", "source": "a", "destination": "b", "member": "m", "cluster": "c", "size": 1500}'
    assert answer(line) == {"schema": 1, "role": "server", "heard": ("a", "b", "m", "c", 1500)}


@pytest.mark.parametrize(
    "line",
    [
        b"trace",
        b'{"ask": "trace", "source": "a"}',
        b'{"ask": "trace", "source": "a", "destination": 7}',
        b'{"ask": "trace", "source": "a", "destination": "b", "size": 19}',
        b'{"ask": "trace", "source": "a", "destination": "b", "via": "c"}',
    ],
)
def test_half_a_question_is_none(line: bytes) -> None:
    """If this fails, a word that was left out or misspelt gives the answer to another question."""
    with pytest.raises(AskError):
        answer(line)
