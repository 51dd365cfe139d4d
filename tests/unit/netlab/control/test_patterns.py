"""Which nodes a pattern means."""

from __future__ import annotations

import pytest

from netlab.control.patterns import choose, is_exact
from netlab.errors import BadInput

NODES = [
    {"node": node, "role": role, "cluster": cluster}
    for node, role, cluster in (
        ("server", "server", ""),
        ("bj-dev", "member", "beijing"),
        ("bj-gw", "member", "beijing"),
        ("sh-db", "member", "shanghai"),
        ("bj-printer", "host", ""),
    )
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("bj-dev", ["bj-dev"]),
        ("bj-*", ["bj-dev", "bj-gw", "bj-printer"]),
        ("beijing/*", ["bj-dev", "bj-gw"]),
        ("*/sh-?b", ["sh-db"]),
        ("role:host, server", ["server", "bj-printer"]),
        ("all", ["server", "bj-dev", "bj-gw", "sh-db", "bj-printer"]),
    ],
)
def test_a_pattern_means_these_nodes_in_the_order_of_the_laboratory(wanted: str, found: list[str]) -> None:
    """A command runs where nobody wanted it, or twice in one node."""
    assert choose(NODES, wanted) == found
    assert is_exact(NODES, wanted) == (wanted == "bj-dev")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("bj-dve", "did you mean bj-dev?"),
        ("bejing/bj-gw", "did you mean beijing/bj-gw?"),
        ("role:hosts", "did you mean role:host?"),
        ("all,nobody-like-that", "no node"),
        (" , ", "no node is named"),
    ],
)
def test_a_part_that_means_nobody_is_refused(wanted: str, words: str) -> None:
    """A slip in a name would run a command in fewer nodes, and say that all went well."""
    with pytest.raises(BadInput) as caught:
        choose(NODES, wanted)
    assert words in str(caught.value)
