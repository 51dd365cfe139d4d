"""lab-link as people see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlab.control import runfolder
from netlab.links import command
from netlab.links.command import Wish, table


def test_the_table_says_what_a_link_does_until_when_and_what_was_found() -> None:
    """People would see that a link is impaired, but neither how long nor whether it took."""
    lines = table(
        [
            {
                "direction": "bj-dev->server",
                "settings": {"delay": "50ms", "loss": "100%"},
                "way": "wire",
                "until_s": 7.6,
                "lasting": {"delay": "50ms"},
                "found": [
                    {"setting": "delay", "wanted": "50ms", "found": "50.06 ms"},
                    {"setting": "duplicate", "wanted": "0%", "found": "0 of 40 packets"},
                ],
            },
            {
                "direction": "server->bj-dev",
                "settings": {},
                "way": "plain",
                "until_s": None,
                "lasting": {},
                "found": [],
            },
        ]
    )
    assert lines == [
        "bj-dev->server  delay=50ms loss=100%  by wire  for 8 s more, then delay=50ms",
        "                  found: delay 50.06 ms",
        "server->bj-dev  plain",
    ]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (Wish(("delay",)), 'lab-link: --set "delay": expected NAME=VALUE\n  as in --set delay=50ms\n'),
        (Wish(time="10s"), "lab-link: --for without --set or --clear: nothing to be undone\n"),
        (Wish(("loss=1%",), time="10"), 'lab-link: --for: expected a time with its unit, such as "50ms" or "2s"'),
    ],
)
def test_a_wish_that_cannot_be_read_is_told(
    wish: Wish, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip would be a traceback, or reach the laboratory half read."""
    monkeypatch.setattr(runfolder, "find", lambda _name: tmp_path)
    assert command.run("", "bj-dev", wish, as_json=False) == 2
    assert capsys.readouterr().err.startswith(message)
