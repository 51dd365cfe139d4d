"""`rustun keygen`: what is made, where it is shown, and what it never overwrites."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rustun.cli import main
from rustun.config.keys import parse_private_key, parse_psk, parse_public_key

ROOT = Path(__file__).parents[3]
# RFC 7748, section 6.1: Alice's keys.
PRIVATE = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
PUBLIC = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="


def typed(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["keygen", *arguments], prog_name="rustun", input=given)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """Alice's private key."""
    path = tmp_path / "alice.key"
    path.touch(0o600)
    path.write_text(PRIVATE + "\n")
    return path


def test_a_private_key_on_standard_output() -> None:
    """A script that pipes the key elsewhere gets something else with it, or the same key twice."""
    made = [typed() for _ in range(2)]
    assert [result.exit_code for result in made] == [0, 0]
    assert all(len(parse_private_key(result.stdout.removesuffix("\n"))) == 32 for result in made)
    assert made[0].stdout != made[1].stdout
    assert made[0].stderr == ""


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_key_in_a_file(tmp_path: Path, umask: int) -> None:
    """A new key is open to others, is not what a server reads, or is shown instead of its public key."""
    path = tmp_path / "new.key"
    before = os.umask(umask)
    try:
        result = typed("--out", str(path))
    finally:
        os.umask(before)
    assert result.exit_code == 0
    assert path.stat().st_mode & 0o7777 == 0o600
    assert path.read_text().endswith("=\n")
    assert parse_public_key(result.stdout.removesuffix("\n"))
    assert typed("--public", str(path)).stdout == result.stdout
    assert path.read_text().strip() not in result.output


@pytest.mark.parametrize("option", [[], ["--psk"]])
def test_a_key_that_is_there_is_never_overwritten(key_file: Path, option: list[str]) -> None:
    """A slip of the hand throws away a key that its member needs."""
    link = key_file.with_name("link.key")
    link.symlink_to(key_file.with_name("nowhere"))
    for path in (key_file, link, key_file.parent):
        result = typed(*option, "--out", str(path))
        assert result.exit_code == 1
        assert f"{path} is there already and stays as it is" in result.stderr
        assert "choose another name" in result.stderr
        assert result.stdout == ""
    assert key_file.read_text() == PRIVATE + "\n"
    assert not key_file.with_name("nowhere").exists()


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("missing/a.key", "there is no folder", "run: mkdir -m 700 -p"),
        ("alice.key/a.key", "cannot be made: Not a directory", "check the path"),
        ("x" * 300, "cannot be made: File name too long", "check the path"),
    ],
)
def test_a_file_that_cannot_be_made(key_file: Path, name: str, reason: str, remedy: str) -> None:
    """The operator sees a traceback, or is not told what to do."""
    result = typed("--out", f"{key_file.parent}/{name}")
    assert result.exit_code == 1
    assert reason in result.stderr
    assert remedy in result.stderr
    assert "internal error" not in result.stderr


def test_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing right looks like a defect."""

    def refuse(path: object, flags: int, mode: int = 0) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    result = typed("--out", str(tmp_path / "a.key"))
    assert result.exit_code == 77
    assert "this user may not make files in" in result.stderr


def test_a_full_disk_leaves_no_half_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty key file stays behind, and the next try is refused because of it."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "a.key"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = typed("--out", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be written: No space left on device" in result.stderr
    assert typed("--out", str(path)).exit_code == 0


def test_the_public_key_of_a_private_one(key_file: Path) -> None:
    """The public key is another one than everybody else derives."""
    assert typed("--public", str(key_file)).stdout == PUBLIC + "\n"
    for given in (PRIVATE, PRIVATE + "\n", PRIVATE + "\r\n"):
        assert typed("--public", given=given).stdout == PUBLIC + "\n"
        assert typed("--public", "-", given=given).stdout == PUBLIC + "\n"
    assert json.loads(typed("--public", "--json", str(key_file)).stdout) == {"schema": 1, "public_key": PUBLIC}


@pytest.mark.parametrize("given", ["", "\n", "no key", PRIVATE[:-4], PRIVATE * 2, PRIVATE * 1000, "\udc80"])
def test_what_is_no_private_key(given: str) -> None:
    """A public key is derived from garbage, or what was piped in is shown."""
    data = given.encode("utf-8", "surrogateescape")
    result = CliRunner().invoke(main, ["keygen", "--public"], input=data)
    assert (result.exit_code, result.stdout) == (78, "")
    assert "standard input: " in result.stderr
    assert PRIVATE[:8] not in result.stderr


def test_the_rules_of_key_files_hold(key_file: Path) -> None:
    """A key that others read already goes into use without a word."""
    key_file.chmod(0o644)
    result = typed("--public", str(key_file))
    assert result.exit_code == 78
    assert f"run: chmod 600 {key_file}" in result.stderr


def test_a_pre_shared_key(tmp_path: Path) -> None:
    """A member's psk_file is refused by the program that made it."""
    assert len(parse_psk(typed("--psk").stdout.strip())) == 32
    path = tmp_path / "a.psk"
    result = typed("--psk", "--out", str(path))
    assert (result.exit_code, result.output) == (0, "")
    assert len(parse_psk(path.read_text().removesuffix("\n"))) == 32


def test_as_json(tmp_path: Path) -> None:
    """A tool that makes keys gets words between the JSON, or a private key besides the file that it asked for."""
    path = tmp_path / "a.key"
    document = json.loads(typed("--json", "--out", str(path)).stdout)
    assert document == {"schema": 1, "file": str(path), "public_key": typed("--public", str(path)).stdout.strip()}
    pair = json.loads(typed("--json").stdout)
    assert typed("--public", given=pair["private_key"]).stdout == pair["public_key"] + "\n"
    assert json.loads(typed("--psk", "--json").stdout).keys() == {"schema", "psk"}


@pytest.mark.parametrize(
    "arguments",
    [["a.key"], ["--psk", "a.key"], ["--public", "--psk"], ["--public", "--out", "a"], ["a", "b"], ["--out", "-"]],
)
def test_what_does_not_go_together(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was meant to be written is read, or the other way round."""
    monkeypatch.chdir(tmp_path)
    assert typed(*arguments).exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_secret_on_a_terminal_is_told_to_be_one() -> None:
    """Somebody leaves a private key on a screen, or waits at `--public` without a word about what for."""
    leader, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def told(*arguments: str) -> str:
        command = [sys.executable, "-m", "rustun", "keygen", *arguments]
        done = subprocess.run(
            command, env=environment, stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, timeout=60, check=False
        )
        return done.stderr.decode()

    assert told() == "rustun keygen: this is a secret; --out FILE keeps it off the screen\n"
    assert "name its FILE, or pipe it in" in told("--public")
    os.close(leader)
    os.close(terminal)
