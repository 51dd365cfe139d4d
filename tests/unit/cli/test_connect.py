"""`rustun connect` up to the point where it needs a network: what it refuses, with which exit code and which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rustun.cli import main

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
RUSTUN = [sys.executable, "-X", "dev", "-W", "error", "-m", "rustun"]
WAIT_SECONDS = 20.0  # never reached unless something hangs
KEY = "marked-secret-of-32-bytes-length"
TYPED = ("connect", "-s", "127.0.0.1:1", "-i", "bj-dev")
WITHOUT_RIGHT = (  # PR_CAPBSET_DROP of linux/prctl.h, CAP_NET_ADMIN of linux/capability.h
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(24, 12, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def connect(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `rustun` to its end, without the right to make a TUN device also where the tests run as root."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHT, *RUSTUN, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["connect"], ["-s HOST:PORT", "-i ID"]),
        (["connect", "-s", "127.0.0.1:1"], ["-i ID"]),
        ([*TYPED, "-c", KEY], ["--crypto"]),
        ([*TYPED, "-c", f"rot13:{KEY}"], ["--crypto"]),
        ([*TYPED, "-c", f"aes256:{KEY}", "--crypto-file", "k"], ["--crypto-file"]),
        ([*TYPED, "--mtu", "70000"], ["--mtu", "65000"]),
        ([*TYPED, "--tun", "a/b"], ["--tun"]),
        (["connect", "-s", "127.0.0.1", "-i", "bj-dev"], ["--server"]),
        ([*TYPED, "--gateway", "192.168.1.5/24"], ["--gateway", "192.168.1.0/24"]),
        ([*TYPED, "--masq"], ["--masq", "gateway"]),
    ],
)
def test_what_was_typed_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    """A mistyped option passes for a broken file, or its message shows the key."""
    (tmp_path / "k").write_text(f"aes256:{KEY}\n")
    (tmp_path / "k").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rustun.cli.connect.harden", lambda: None)  # for good, and here it is this process
    result = CliRunner().invoke(main, arguments, prog_name="rustun")
    assert result.exit_code == 2, result.stderr
    for word in words:
        assert word in result.stderr
    assert KEY not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_wrong(tmp_path: Path) -> None:
    """A missing or broken client.toml passes for a mistyped option."""
    missing = connect("connect", "--config", "client.toml", folder=tmp_path)
    assert missing.returncode == 78
    assert "client.toml" in missing.stderr
    (tmp_path / "client.toml").write_text('identiti = "bj-dev"\n')
    broken = connect("connect", "--config", "client.toml", "--mtu", "1", folder=tmp_path)
    assert broken.returncode == 78
    assert "did you mean identity?" in broken.stderr


def test_a_key_file_that_others_can_read(tmp_path: Path) -> None:
    """A key file that every user can read is taken, or the command that mends it is not named."""
    (tmp_path / "key").write_text(f"aes256:{KEY}\n")
    (tmp_path / "key").chmod(0o644)
    result = connect(*TYPED, "--crypto-file", "key", folder=tmp_path)
    assert result.returncode == 78
    assert "chmod" in result.stderr
    assert KEY not in result.stderr


def test_without_the_right_to_a_tun_device(tmp_path: Path) -> None:
    """A user without root gets a traceback, the exit code of something else, or no word about what to do."""
    (tmp_path / "key").write_text(f"aes256:{KEY}\n")
    (tmp_path / "key").chmod(0o600)
    result = connect(*TYPED, "--crypto-file", "key", "--control", "c.sock", folder=tmp_path)
    assert result.returncode == 77, result.stderr
    message, remedy = result.stderr.splitlines()[-2:]
    assert message.startswith("rustun connect: ")
    assert remedy.startswith("  ")
    assert not (tmp_path / "c.sock").exists()


@pytest.mark.parametrize(
    ("arguments", "warned"), [(["-c", f"aes256:{KEY}"], True), (["-c", "plain"], False), ([], False)]
)
def test_a_key_in_the_command_line(tmp_path: Path, arguments: list[str], warned: bool) -> None:
    """A user does not learn that others can read the key that was typed, or is warned where there is none to read."""
    result = connect(*TYPED, *arguments, folder=tmp_path)
    assert ("--crypto-file" in result.stderr) is warned
    assert KEY not in result.stderr


def test_a_client_loads_only_what_it_uses() -> None:
    """A client's resident memory grows by tables, an event loop and the relay's code."""
    script = (
        "import sys; import rustun.cli.connect;"
        "unwanted = {'rich', 'asyncio', 'scapy', 'invoke', 'jinja2'};"
        "found = sorted(unwanted & {m.split('.')[0] for m in sys.modules}) + [m for m in sys.modules"
        " if m.startswith(('rustun.relay', 'rustun.ops', 'netlab'))]; assert not found, found"
    )
    subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, check=True)


def test_output_that_nobody_reads(tmp_path: Path) -> None:
    """`rustun check | head` ends with a complaint about a broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    (tmp_path / "routes.json").write_text("[")
    command = [*RUSTUN, "check", "routes.json"]
    with os.fdopen(writer, "wb") as output:
        ended = subprocess.run(
            command, cwd=tmp_path, env=ENVIRONMENT, stdout=output, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert "BrokenPipe" not in ended.stderr
    assert "internal error" not in ended.stderr
