"""Our block in a hosts file, and everybody else's lines around it."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.backends.hosts_file import Names, read_hosts, with_block, write_in_place
from rustun.errors import HostError, RightsError

NAMES: Names = (
    ("bj-dev", (ip_address("10.0.1.2"), ip_address("fd00:1::2"))),
    ("bj-office-gw", (ip_address("10.0.1.1"),)),
)
BLOCK = """\
# begin rustun rustun0
10.0.1.2 bj-dev.rustun
fd00:1::2 bj-dev.rustun
10.0.1.1 bj-office-gw.rustun
# end rustun rustun0
"""
OTHERS = "127.0.0.1\tlocalhost\n# begin rustun of others\n\n10.0.1.2 mine\n"
contents = st.lists(
    st.sampled_from(
        [
            "# begin rustun rustun1",
            "# end rustun rustun1",
            "10.0.1.9 other.rustun",
            "::1 localhost",
            "",
            "\r",
            "\udcff",
            "x",
        ]
    )
    | st.text(st.characters(codec="utf-8"), max_size=8),
    max_size=8,
).map("\n".join)


def test_the_block_stands_behind_everything_else() -> None:
    """If this fails, a member's name wins against what the administrator wrote."""
    assert with_block(OTHERS, "rustun0", NAMES) == OTHERS + BLOCK
    assert with_block("", "rustun0", NAMES) == BLOCK


@given(contents)
def test_it_leaves_no_trace(text: str) -> None:
    """If this fails, a host's own names are changed or lost by joining and leaving a network."""
    joined = with_block(text, "rustun0", NAMES)
    assert with_block(joined, "rustun0", NAMES) == joined
    assert with_block(joined, "rustun0", NAMES[:1]) == with_block(text, "rustun0", NAMES[:1])
    assert with_block(joined, "rustun0", ()) == text


@given(contents)
def test_two_clients_do_not_know_each_others_block(text: str) -> None:
    """If this fails, the client that leaves takes the other one's names along, or glues two lines together."""
    both = with_block(with_block(text, "tun1", NAMES), "tun10", NAMES[1:])
    newline = "\n" if text and not text.endswith("\n") else ""  # which the second block needs
    assert with_block(both, "tun1", ()) == with_block(text + newline, "tun10", NAMES[1:])


def test_lines_that_somebody_wrote_into_the_block_stay() -> None:
    """If this fails, an administrator who did not see the marks loses what he wrote."""
    edited = (OTHERS + BLOCK).replace("10.0.1.1 bj", "192.168.1.7 printer\n10.0.1.1 bj")
    assert with_block(edited, "rustun0", ()) == OTHERS + "192.168.1.7 printer\n"
    without_end = edited.replace("# end rustun rustun0\n", "") + "192.168.1.8 scanner"
    assert with_block(without_end, "rustun0", ()) == OTHERS + "192.168.1.7 printer\n192.168.1.8 scanner"
    assert with_block((OTHERS + BLOCK).replace("\n", "\r\n"), "rustun0", ()) == OTHERS.replace("\n", "\r\n")


def test_it_is_written_in_place(tmp_path: Path) -> None:
    """If this fails, a container goes on with the old names, or a byte that is no UTF-8 is lost."""
    path = tmp_path / "hosts"
    path.write_bytes(b"127.0.0.1 localhost # \xff\r\n")
    before = path.stat().st_ino
    text = read_hosts(path)
    write_in_place(with_block(text, "rustun0", NAMES), path)
    assert path.read_bytes() == b"127.0.0.1 localhost # \xff\r\n" + BLOCK.encode()
    write_in_place(text, path)
    assert path.read_bytes() == b"127.0.0.1 localhost # \xff\r\n"
    assert path.stat().st_ino == before


def test_what_cannot_be_done_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, somebody without rights reads a traceback, or a file appears that was not there."""
    missing = tmp_path / "hosts"
    with pytest.raises(HostError, match="hosts cannot be read: No such file"):
        read_hosts(missing)
    with pytest.raises(HostError, match="hosts cannot be written: No such file"):
        write_in_place("x", missing)
    assert not missing.exists()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(RightsError, match="hosts cannot be written: Permission denied"):
        write_in_place("x", missing)


def test_a_file_that_is_no_list_of_names_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a client reads a disk full of something else into its memory."""
    monkeypatch.setattr("rustun.backends.hosts_file.MAX_BYTES", 9)
    path = tmp_path / "hosts"
    path.write_text("127.0.0.1")
    assert read_hosts(path) == "127.0.0.1"
    path.write_text("127.0.0.1\n")
    with pytest.raises(HostError, match="no names are written there"):
        read_hosts(path)
