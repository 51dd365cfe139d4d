"""Connections: what is asked of ssh, and what its last words mean."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rustun.ops.deploy.ssh import Unreachable, command_line, connect


def test_ssh_asks_nothing_and_takes_no_unknown_key() -> None:
    """A deployment would hang at a prompt, or hand keys to whoever answers."""
    words = command_line("gw", Path("my.conf"))
    assert "BatchMode=yes" in words
    assert words[words.index("-F") + 1] == "my.conf"
    assert not any("StrictHostKeyChecking" in word or "UserKnownHostsFile" in word for word in words)


@pytest.fixture
def pretender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program called ssh, to be written, that comes before the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / "ssh"
    program.touch(mode=0o755)
    return program


@pytest.mark.parametrize(
    ("script", "reason", "remedy"),
    [
        ("echo 'ssh: connect to host gw port 22: Connection refused' >&2; exit 255", "Connection refused", "running"),
        ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed", "compare it"),
        ("echo 'root@gw: Permission denied (publickey).' >&2; exit 255", "Permission denied", "ssh -v gw"),
        ("echo 'sh: 1: exec: python3: not found' >&2; exit 127", "python3: not found", "install python3"),
        ("echo 'sudo: a password is required' >&2; exit 1", "a password is required", "log in as root"),
        ("echo 'python3 is older than 3.9' >&2; exit 1", "older than 3.9", "see `ssh gw`"),
        ("exit 0", "the connection ended", "see `ssh gw`"),
        ("cat >/dev/null & echo Welcome to gw; wait", "the connection ended", "see `ssh gw`"),
    ],
)
def test_a_host_that_cannot_be_reached_says_why(pretender: Path, script: str, reason: str, remedy: str) -> None:
    """The operator would see a traceback, or not learn what to do."""
    pretender.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(Unreachable) as caught:
        connect("gw").facts([])
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


def test_a_conversation_with_the_real_text(pretender: Path, tmp_path: Path) -> None:
    """What is sent would not start where a shell stands between."""
    pretender.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    (tmp_path / "sudo").write_text('#!/bin/sh\nshift\nexec "$@"\n')
    (tmp_path / "sudo").chmod(stat.S_IRWXU)
    far = connect("gw")
    assert far.read(["/etc/rustun/none"]) == {"/etc/rustun/none": None}
    assert far.facts([])["schema"] == 1
    far.close()
    far.close()
    with pytest.raises(Unreachable):
        far.facts([])


def test_a_host_that_hangs_is_given_up(pretender: Path) -> None:
    """One host that hangs would hold up all others for ever."""
    pretender.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    far = connect("gw")
    far.give_up()
    with pytest.raises(Unreachable, match="no answer in time"):
        far.facts([])


def test_what_a_host_says_beside_its_answers_has_an_end(pretender: Path) -> None:
    """A host that never stops to complain would fill the control station's disk or memory."""
    flood = "head -c 3000000 /dev/zero | tr '\\0' 'x'"
    pretender.write_text(f"#!/bin/sh\n({flood}; printf '\\nlast words') >&2; exit 1\n")
    with pytest.raises(Unreachable) as caught:
        connect("gw").facts([])
    assert caught.value.reason == "last words"


def test_without_ssh_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control station without OpenSSH would show a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="ssh cannot be started"):
        connect("gw")
