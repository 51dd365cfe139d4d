"""Each command that a document shows is played by a test, or stands in a table with the reason why not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.shown import DOCUMENTS, FIGURES, NOT_PLAYED, PLAYED, ROOT, blocks, commands, fits, why_not

GOLDEN = ROOT / "tests" / "golden"
TEST_FILE = re.compile(r"tests/[\w/]+\.py")
PROGRAMS = {
    "./invoke", "/opt/rustun/bin/pip", "chgrp", "chmod", "chown", "curl", "export", "git", "install", "journalctl",
    "ln", "mkdir", "nft", "ping", "python3", "rustun", "ssh", "systemctl", "useradd",
}  # fmt: skip
MADE = {  # pictures that other tests make
    "a1 -> printer": "why/prefix-leak.txt",
    "bj-dev": "pictures/story.txt",
    "reference: running": "pictures/running.txt",
}
ALL = [(path.name, shown.command) for path in DOCUMENTS for shown in commands(path)]
ELSEWHERE = {command for document, command in ALL if document in PLAYED}


def test_each_document_shows_what_is_taken_for_a_command() -> None:
    """A block that the reader of documents misunderstands would be played by nobody."""
    programs = {command.removeprefix("sudo ").split()[0] for _, command in ALL}
    assert programs == PROGRAMS
    assert len(ALL) > 120


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_are_fenced(document: Path) -> None:
    """A block that is only indented would be seen by readers, and by no test."""
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"(?<=\n\n) {4}.*", text) == []


@pytest.mark.parametrize(("document", "command"), sorted(set(ALL)), ids=str)
def test_a_command_is_played_or_it_is_said_why_not(document: str, command: str) -> None:
    """A reader would type what nobody has ever typed."""
    if document == "README.md":  # says in short what its documents say
        assert command in ELSEWHERE or why_not(document, command)
    else:
        assert document in PLAYED or why_not(document, command)


def test_the_tables_name_what_is_there() -> None:
    """A document would count as played by a test that is gone, or passes it over."""
    for document, file in PLAYED.items():
        assert document in (ROOT / file).read_text(), file
    reasons = [(document, one, why) for document, table in NOT_PLAYED.items() for one, why in table.items()]
    for document, beginning, why in reasons:
        assert any(document == name and command.startswith(beginning) for name, command in ALL), (document, beginning)
        assert all((ROOT / file).is_file() for file in TEST_FILE.findall(why)), why


def test_pictures_of_the_laboratory_are_those_that_tests_make() -> None:
    """A reader would look in a picture for what has not stood there for long."""
    shown = [text for language, text in blocks(ROOT / "docs" / "lab.md") if language == "text"]
    for beginning, file in MADE.items():
        [picture] = [text for text in shown if text.lstrip().startswith(beginning)]
        assert fits((GOLDEN / file).read_text(), picture), file


@pytest.mark.parametrize(
    ("shown", "wanted", "agree"),
    [
        ("one\ntwo\n", "one\ntwo\n", True),
        ("one\ntwo\n", "one\n...\n", True),
        ("one\ntwo\nthree\n", "...\nthree\n", True),
        ("one two\n", "one ...\n", True),
        ("took 3.5 s\n", "took 12 s\n", True),
        ("one\ntwo\n", "one\n", False),
        ("one\n", "on\n", False),
        ("", "one\n", False),
    ],
)
def test_what_is_seen_is_compared_with_what_is_shown(shown: str, wanted: str, agree: bool) -> None:
    """Every comparison of a document with what one sees would be worth nothing."""
    assert fits(shown, wanted) is agree


def test_figures_differ_and_addresses_do_not() -> None:
    """Two addresses would count as the same one, or two round trips as different output."""
    told = "bj-dev 10.0.1.2/24  {} ms\n"
    assert fits(told.format("0.4"), told.format("12.81"), FIGURES)
    assert not fits(told.format("0.4").replace("10.0.1.2", "10.0.1.3"), told.format("0.4"), FIGURES)
    assert not fits("bj-dev2 online\n", "bj-dev3 online\n", FIGURES)
