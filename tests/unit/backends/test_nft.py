"""The program nft, played by a shell script of the test's own; tests/netlab has the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustun.backends import nft
from rustun.errors import HostError, RightsError

SCRIPT = "table inet a {\n  chain b {\n    masquerade\n  }\n}\n"


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a program in nft's place."""
    program = folder / "nft"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_script_goes_in_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the program does not get the script, or gets this process's environment or descriptors."""
    monkeypatch.setenv("SECRET", "of ours")
    play(tmp_path, monkeypatch, f"{{ echo $*; cat; env; ls /proc/self/fd; }} > {tmp_path}/seen")
    with (tmp_path / "open").open("w") as file:
        nft.load(SCRIPT)
        seen = (tmp_path / "seen").read_text()
        assert seen.startswith(f"-f -\n{SCRIPT}")
        assert "SECRET" not in seen
        assert str(file.fileno()) not in seen.splitlines()[-5:]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        ("/dev/stdin:3:5-14: Error: syntax error, unexpected prefix", "nft refused `masquerade`: syntax", "0.9.6"),
        ("/dev/stdin:3:5-14: Error: Could not process rule: No such file or directory", "nft refused", "nft_masq"),
        ("/dev/stdin:99:1-1: Error: what", "nft refused `line 99`: what", "update the package nftables"),
        ("netlink: Error: cache initialization failed: Protocol not supported", "nft failed: netlink", "modules"),
        ("", "nft failed: no word why", "modules"),
    ],
)
def test_what_stands_in_the_way_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str, remedy: str
) -> None:
    """If this fails, an administrator does not learn which package or module is missing."""
    play(tmp_path, monkeypatch, f"cat > /dev/null; echo '{words}' >&2; exit 1")
    with pytest.raises(HostError) as caught:
        nft.load(SCRIPT)
    assert caught.value.message.startswith(message)
    assert remedy in caught.value.remedy


def test_missing_rights_and_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a host without nft gets a traceback instead of the package's name."""
    play(tmp_path, monkeypatch, "cat > /dev/null; echo 'Operation not permitted (you must be root)' >&2; exit 1")
    with pytest.raises(RightsError, match="no permission"):
        nft.delete("rustun-rustun0")
    with pytest.raises(RightsError):
        nft.listed("rustun-rustun0")
    monkeypatch.setattr(nft, "ADMIN_FOLDERS", "")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(HostError, match="nft is not installed") as caught:
        nft.load(SCRIPT)
    assert caught.value.remedy == "install the package nftables"
    play(tmp_path, monkeypatch, "")
    (tmp_path / "nft").write_text("not a program")
    with pytest.raises(HostError, match="cannot run"):
        nft.load(SCRIPT)


def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, an nft that waits for a lock stops all packets for good."""
    monkeypatch.setattr(nft, "LIMIT_S", 0.05)
    play(tmp_path, monkeypatch, "exec tail -f /dev/null")
    with pytest.raises(HostError, match="no answer in"):
        nft.load(SCRIPT)


def test_a_table_that_is_not_there_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a client takes a missing table for a failure, and does not set it again."""
    play(tmp_path, monkeypatch, "echo 'Error: No such file or directory' >&2; exit 1")
    assert nft.listed("rustun-rustun0") is None
    play(tmp_path, monkeypatch, "echo $*")
    assert nft.listed("rustun-rustun0") == "--stateless list table inet rustun-rustun0\n"
