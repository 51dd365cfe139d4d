"""A bug report: what is in it, and that no secret is, wherever it stood."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rustun.cli import main
from tests.secrets_shown import forms, shown
from tests.unit.cli.test_serve import Server

INLINE = "marked-secret-inline-in-toml"
IN_FILE = bytes(range(100, 132))
IN_ENVIRONMENT = "marked-secret-in-environment"
IN_ARGUMENTS = "marked-secret-in-arguments"
TOKEN = "marked-token-of-the-agent"
OF_MEMBER = bytes(range(40, 72))
UNKNOWN = bytes(range(150, 182))  # stands in the journal alone
SECRETS = [word.encode() for word in (INLINE, IN_ENVIRONMENT, IN_ARGUMENTS, TOKEN)] + [IN_FILE, OF_MEMBER, UNKNOWN]
SERVER_TOML = f"""
[server_config]
listen_addr = "127.0.0.1:0"
[crypto_config]
chacha20poly1305 = "{INLINE}"
[security_config]
private_key_file = "server.key"
minimum_tier = "shared"
[route_config]
routes_file = "routes.json"
"""


def journal() -> str:
    """Return a log in which each secret stands in each of its forms, as somebody's mistake."""
    written = [form for secret in SECRETS[:-1] for form in forms(secret)]
    lines = [f"Nov 23 14:00:00 host rustun[1]: key {form} was wrong" for form in written]
    lines.append(f"Nov 23 14:00:01 host rustun[1]: key {b64encode(UNKNOWN).decode()} or {UNKNOWN.hex()}")
    lines.append("Nov 23 14:00:02 host sudo: rustun connect -c chacha20:tiny --crypto=aes256:tiny")
    return "\n".join(lines) + "\nNov 23 14:00:03 host rustun[1]: session-up bj-dev is online\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host whose every place holds a secret; its programs say what a test wants."""
    (tmp_path / "server.toml").write_text(SERVER_TOML)
    (tmp_path / "agent.toml").write_text(f'[conf_agent]\napi_token = "{TOKEN}"\n')
    (tmp_path / "server.key").write_text(b64encode(IN_FILE).decode() + "\n")
    (tmp_path / "server.key").chmod(0o600)
    entry = {"cluster": "c", "identity": "bj-dev", "private_ip": "10.0.1.2", "mask": "255.255.255.0"}
    entry |= {"public_key": b64encode(OF_MEMBER).decode()}
    (tmp_path / "routes.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("RUSTUN_TEST_TOKEN", IN_ENVIRONMENT)
    monkeypatch.setattr("rustun.cli.report_parts.output_of", lambda *command, **more: f"{command[0]}:\n{journal()}")
    monkeypatch.setattr("rustun.cli.bugreport.find_sockets", list)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bugreport", *arguments], prog_name="rustun")


def content(archive: Path) -> dict[str, str]:
    """Return the texts of an archive by name."""
    with tarfile.open(archive) as tar:
        found = {}
        for entry in tar.getmembers():
            opened = tar.extractfile(entry)
            assert opened is not None
            found[entry.name.partition("/")[2]] = opened.read().decode()
        return found


def grep(archive: Path, secrets: list[bytes]) -> list[str]:
    """Return what of secrets stands in an archive, or in anything of it."""
    with tarfile.open(archive) as tar:
        names = " ".join(f"{entry.name} {entry.uname} {entry.gname} {entry.linkname}" for entry in tar.getmembers())
    packed = archive.read_bytes().decode("latin-1")
    return [form for text in (packed, names, *content(archive).values()) for form in shown(text, secrets)]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process with secrets in its arguments and environment."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, "-c", f"chacha20:{IN_ARGUMENTS}"]
    environment = {**os.environ, "MY_API_KEY": IN_ENVIRONMENT}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started
        started.kill()


def test_no_secret_leaves_the_machine(
    folder: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, who asks for help hands out a key."""
    status = {"schema": 1, "role": "server", "pid": process.pid, "routes": {"file": str(folder / "routes.json")}}
    status |= {"alarms": [f"wrong key {INLINE} {IN_ARGUMENTS}"], "public_key": b64encode(OF_MEMBER).decode()}
    monkeypatch.setattr("rustun.cli.bugreport.find_sockets", lambda: [folder / "server.sock"])
    event = {"number": 1, "message": f"{INLINE} {IN_ARGUMENTS}", "public_key": status["public_key"]}
    events = {"schema": 1, "events": [event]}
    monkeypatch.setattr("rustun.cli.report_parts.read_status", lambda path: status)
    monkeypatch.setattr("rustun.cli.report_parts.ask", lambda path, question: events)
    result = typed("server.toml", "agent.toml", "--out", "report.tar.gz")
    assert (result.exit_code, result.stdout) == (0, "report.tar.gz\n"), result.output
    archive = folder / "report.tar.gz"
    assert grep(archive, SECRETS) == []
    assert shown(result.output, SECRETS) == []
    texts = content(archive)
    assert "tiny" not in texts["journal.txt"]
    assert json.loads(texts["status/0-server.json"])["role"] == "server"
    assert texts["events/0-server.jsonl"].startswith('{"number": 1, ')


def test_a_secret_that_is_put_in_would_be_found(folder: Path) -> None:
    """If this fails, the search above finds nothing because it cannot find anything."""
    assert typed("--out", "report.tar.gz").exit_code == 0
    with tarfile.open(folder / "bad.tar.gz", "w:gz") as tar:
        (folder / "x").write_text(journal())
        tar.add(folder / "x", "report/x")
    assert len(grep(folder / "bad.tar.gz", SECRETS)) > len(SECRETS)


def test_what_helps_is_in_it(folder: Path) -> None:
    """If this fails, a report has nothing that tells what is wrong."""
    result = typed("server.toml", "routes.json", "--out", "report.tar.gz")
    texts = content(folder / "report.tar.gz")
    parts = {"README.txt", "versions.txt", "kernel.txt", "journal.txt", "network/nft.txt", "network/routes.txt"}
    assert parts <= texts.keys()
    assert "session-up bj-dev is online" in texts["journal.txt"]
    (server,) = [text for name, text in texts.items() if name.endswith("-server.json")]
    assert json.loads(server)["server_config"] == {"listen_addr": "127.0.0.1:0"}
    (routes,) = [text for name, text in texts.items() if name.endswith("-routes.json")]
    assert json.loads(routes)[0]["identity"] == "bj-dev"
    for name in texts:
        assert name in result.stderr, "what goes in is listed"
        assert name == "README.txt" or name in texts["README.txt"]


def test_a_list_alone_writes_nothing(folder: Path) -> None:
    """If this fails, who only wants to see what would go in leaves a file."""
    before = sorted(folder.iterdir())
    result = typed("--list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "journal.txt" in result.stderr
    assert sorted(folder.iterdir()) == before


def test_the_archive_is_new_and_its_owners_alone(folder: Path) -> None:
    """If this fails, other users read the report, or something is written over."""
    assert typed("--out", "report.tar.gz").exit_code == 0
    assert stat.S_IMODE((folder / "report.tar.gz").stat().st_mode) == 0o600
    result = typed("--out", "report.tar.gz")
    assert result.exit_code == 1
    assert "report.tar.gz is there already" in result.stderr
    assert typed("--out", "no-such-folder/report.tar.gz").exit_code == 1
    with tarfile.open(folder / "report.tar.gz") as tar:
        assert {(entry.uid, entry.gid, entry.uname, entry.isfile()) for entry in tar.getmembers()} == {(0, 0, "", True)}


def test_half_a_host_gives_half_a_report(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a report cannot be made just where something is broken."""
    monkeypatch.setattr("rustun.cli.bugreport.find_sockets", lambda: [folder / "dead.sock"])
    (folder / "routes.json").write_bytes(b"\xff[")
    result = typed("server.toml", "routes.json", "missing.toml", "--out", "report.tar.gz")
    assert result.exit_code == 0, result.output
    texts = content(folder / "report.tar.gz")
    assert "no control socket at" in texts["status/0-dead.json"]
    assert "there is no such file" in next(text for name, text in texts.items() if "missing" in name)


def test_a_report_of_a_process_that_runs(tmp_path: Path) -> None:
    """If this fails, a report of a real server lacks its status or its configuration, or holds its key."""
    (tmp_path / "server.toml").write_text(SERVER_TOML.replace('private_key_file = "server.key"\n', ""))
    (tmp_path / "routes.json").write_text("[]")
    server = Server(tmp_path)
    try:
        command = [sys.executable, "-m", "rustun", "bugreport", "server.toml", "--control", "s.sock", "--out", "r.tgz"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    finally:
        server.kill()
    texts = content(tmp_path / "r.tgz")
    assert json.loads(texts["status/0-s.json"])["role"] == "server"
    events = [json.loads(line) for line in texts["events/0-s.jsonl"].splitlines()]
    assert "routes-loaded" in [event["event"] for event in events]
    assert any(name.endswith("-routes.json") for name in texts)
    assert grep(tmp_path / "r.tgz", [INLINE.encode()]) == []
