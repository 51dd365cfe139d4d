"""The command line as a user types it: help, usage, exit codes, and what check and status print."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rustun
from rustun.cli import main

ROOT = Path(__file__).parents[3]
WAIT_SECONDS = 20.0  # never reached unless something hangs
SERVER_TOML = """
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "marked-secret-of-32-bytes-length"
[route_config]
routes_file = "routes.json"
"""
MEMBER = {
    "cluster": "beijing",
    "identity": "bj-dev",
    "private_ip": "10.0.1.2",
    "mask": "255.255.255.0",
    "gateway": "10.0.1.254",
    "ciders": [],
}


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, prog_name="rustun")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a server.toml and a routes.json of one member."""
    (tmp_path / "server.toml").write_text(SERVER_TOML)
    (tmp_path / "server.toml").chmod(0o600)
    (tmp_path / "routes.json").write_text(json.dumps([MEMBER]))
    return tmp_path


def test_a_file_that_may_not_be_read_is_judged_by_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks a right is told that his command line is wrong, and not what to do."""
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    result = typed("status", "--control", str(folder / "routes.json"))
    assert result.exit_code == 1 and "is not a control socket" in result.output
    assert typed("check", str(folder / "server.toml")).exit_code == 0


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["connect"], ["check"], ["keygen"], ["status"], ["cleanup"], ["completion"]]
    + [["ping"], ["trace"], ["capture"], ["bugreport"]],
)
def test_help(command: list[str], flag: str) -> None:
    """A command has no help, or its help is wider than 100 columns."""
    result = typed(*command, flag)
    assert result.exit_code == 0
    assert "Usage: rustun" in result.output
    assert (
        "rustun " in result.output.split("Options:")[0].split("\n", 1)[1]
        or command == ["status"]
        or command == ["serve"]
    )
    assert max(len(line) for line in result.output.splitlines()) <= 100


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str) -> None:
    """A bug report cannot name the version."""
    result = typed(flag)
    assert (result.exit_code, result.output) == (0, f"rustun {rustun.__version__}\n")


def test_the_seeds_flags() -> None:
    """A command line of the seed's, with long names, is not understood any more."""
    words = typed("connect", "--help").output
    for flag in ("-s, --server", "-i, --identity", "-c, --crypto", "--keepalive-interval", "--keepalive-threshold"):
        assert flag in words
    one_line = " ".join(words.split())
    for default in ("[default: chacha20:rustun]", "[default: 10]", "[default: 5]"):
        assert default in one_line


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["serve", "--no-such-flag"],
        ["serve", "a.toml", "b.toml"],
        ["serve", "--log-format", "xml"],
        ["check"],
        ["connect", "--mtu", "big"],
        ["completion", "tcsh"],
    ],
)
def test_usage(arguments: list[str]) -> None:
    """A mistyped command line ends with another exit code than 2, or without a word about --help."""
    result = typed(*arguments)
    assert result.exit_code == 2
    assert "Usage: rustun" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The completion script of a shell is missing or calls another program."""
    result = typed("completion", shell)
    assert result.exit_code == 0
    assert "_RUSTUN_COMPLETE" in result.output


def test_completion_completes() -> None:
    """The completion script is installed and yields nothing."""
    words = {"COMP_WORDS": "rustun st", "COMP_CWORD": "1", "_RUSTUN_COMPLETE": "bash_complete"}
    assert CliRunner().invoke(main, [], prog_name="rustun", env=words).output == "plain,status\n"


def test_check_of_good_files(folder: Path) -> None:
    """Good files are refused, or warnings make a script stop."""
    result = typed("check", str(folder / "server.toml"), str(folder / "routes.json"))
    assert result.exit_code == 0
    assert "no problems" in result.stderr


def test_check_tells_every_problem(folder: Path) -> None:
    """A broken file passes as good, or only its first problem is told."""
    (folder / "routes.json").write_text(json.dumps([{**MEMBER, "private_ip": "10.0.1.300"}, {"cluster": "x"}]))
    result = typed("check", str(folder / "routes.json"))
    assert result.exit_code == 78
    assert result.stdout.count("routes.json:") >= 2
    assert "problems" in result.stderr


def test_a_terminal_without_the_letters(folder: Path) -> None:
    """A name in another script ends `check` or `status` in a coding error where the terminal cannot show it."""
    file = folder / "routes.json"
    file.write_text(file.read_text(encoding="utf-8").replace("[", '[{"identity": "東京"},', 1), encoding="utf-8")
    command = [sys.executable, "-m", "rustun", "check", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert 'member "\\u6771\\u4eac"' in done.stdout


def test_check_as_json(folder: Path) -> None:
    """A machine that checks files finds words between the JSON, or another number of problems than people do."""
    (folder / "routes.json").write_text("[")
    result = typed("check", "--json", str(folder / "routes.json"))
    assert result.exit_code == 78
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert {"file", "line", "key", "reason", "remedy", "level"} == set(document["problems"][0])


def test_check_of_a_missing_file(tmp_path: Path) -> None:
    """A mistyped path passes as good, or ends in a traceback."""
    result = typed("check", str(tmp_path / "none.toml"))
    assert result.exit_code == 78
    assert "none.toml" in result.stdout


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The default folder, empty at first; a path added to the list is answered for by a process's control server."""
    paths: list[Path] = []
    monkeypatch.setattr("rustun.cli.status.find_sockets", lambda: paths)
    yield paths


def answering(path: Path, role: str) -> subprocess.Popen[str]:
    """Start a process whose control socket answers, and return once it does."""
    script = (
        "import sys; from pathlib import Path; from rustun.backends.reactor import EpollReactor;"
        "from rustun.admin.control_server import ControlServer; reactor = EpollReactor();"
        "ControlServer(reactor, Path(sys.argv[1]), sys.argv[2], lambda *of: {}).start(); print('up', flush=True);"
        "reactor.run()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", script, str(path), role]
    started = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"
    return started


def test_status_of_nothing(sockets: list[Path]) -> None:
    """A user whose tunnel is not up is shown an empty page and exit code 0."""
    result = typed("status")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("rustun status: nothing runs here")


def test_status_of_one_and_of_several(sockets: list[Path], tmp_path: Path) -> None:
    """With two processes on a host one of them is hidden, or --json is no JSON any more."""
    started = []
    try:
        for name, role in (("server.sock", "server"), ("client-a.sock", "client")):
            sockets.append(tmp_path / name)
            started.append(answering(sockets[-1], role))
            if role == "server":
                assert json.loads(typed("status", "--json").stdout)["role"] == "server"
        document = json.loads(typed("status", "--json").stdout)
        assert document["schema"] == 1
        assert [instance["role"] for instance in document["instances"]] == ["server", "client"]
        words = typed("status").stdout
        assert "rustun server" in words
        assert "rustun client" in words
    finally:
        for one in started:
            one.kill()
            one.communicate(timeout=WAIT_SECONDS)
    result = typed("status")
    assert result.exit_code == 1
    assert "its process is gone" in result.stderr


def test_a_dead_socket_beside_a_living_process(sockets: list[Path], tmp_path: Path) -> None:
    """A socket that a crash left hides the process that runs, or goes unmentioned."""
    dead = tmp_path / "client-dead.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(dead))
    sockets += [tmp_path / "server.sock", dead]
    server = answering(sockets[0], "server")
    try:
        result = typed("status", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["role"] == "server"
        assert "client-dead.sock" in result.stderr
    finally:
        server.kill()
        server.communicate(timeout=WAIT_SECONDS)


def test_json_status_needs_no_tables(tmp_path: Path) -> None:
    """Every poll of a monitoring system pays for the import of a table library."""
    script = "import sys; import rustun.cli.status; assert not [m for m in sys.modules if m.split('.')[0] == 'rich']"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
