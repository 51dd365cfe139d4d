"""Lines of keys in TOML text."""

from __future__ import annotations

import pytest

from rustun.config.lines import TomlLines

TEXT = '''\
# a = 1
top = "x"

[server]  # comment
a = """
b = 1
[c]
"""
b = 2
"quoted key" = 3
dotted.key = 4
list = [
  "one",
  'two',
  { inner = 1 },
]

[server.deep]
a = 5
[[many]]
a = 6
'''


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("top",), None, 2),
        (("server",), None, 4),
        (("server", "a"), None, 5),
        (("server", "b"), None, 9),
        (("server", "quoted key"), None, 10),
        (("server", "dotted", "key"), None, 11),
        (("server", "list"), None, 12),
        (("server", "list"), "one", 13),
        (("server", "list"), "two", 14),
        (("server", "list", "inner"), None, 15),
        (("server", "deep", "a"), None, 19),
        (("many", "a"), None, 21),
        (("server", "missing"), None, 4),
        (("missing",), None, 0),
    ],
)
def test_the_line_of_a_key(path: tuple[str, ...], value: object, line: int) -> None:
    """An error points at a wrong line of the operator's file."""
    assert TomlLines(TEXT).line(path, value) == line
