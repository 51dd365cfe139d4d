"""`rustun status` as a user types it: whom it asks, whom it finds, what its exit code says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from rustun.admin.control_client import Answer
from rustun.admin.control_server import ControlServer
from rustun.backends.reactor import EpollReactor
from rustun.cli import main
from rustun.errors import RightsError

WAIT_SECONDS = 20.0  # never reached unless something hangs
HOSTILE = "a[/b][link=http://x]\x1b[31m"


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("status", *arguments), prog_name="rustun")


class Answering:
    """A process's control socket, answered on a thread of this one."""

    def __init__(self, path: Path, role: str, status: Callable[[str, str, str], dict[str, Any]]) -> None:
        self.path = path
        self._reactor = EpollReactor()
        self._server = ControlServer(self._reactor, path, role, status)
        self._server.start()
        self._thread = threading.Thread(target=self._reactor.run)
        self._thread.start()

    def stop(self) -> None:
        def end(_: object) -> None:
            self._server.close()
            self._reactor.stop()

        self._reactor.run_in_thread(lambda: None, end)
        self._thread.join(WAIT_SECONDS)
        self._reactor.close()


def server_status(cluster: str, member: str, since: str) -> dict[str, Any]:
    """Return what a relay with three members tells."""
    everybody: list[dict[str, Any]] = [
        {"cluster": "beijing", "identity": "bj-dev", "state": "online", "address": "10.0.1.2", "drops": {}},
        {"cluster": "shanghai", "identity": "sh-db", "state": "offline", "address": "10.0.2.2", "last_error": "silent"},
        {"cluster": "shanghai", "identity": HOSTILE, "state": "offline", "address": "10.0.2.3", "last_error": HOSTILE},
    ]
    found = [one for one in everybody if cluster in ("", one["cluster"]) and member in ("", one["identity"])]
    return {
        "listen": ["0.0.0.0:8080"],
        "members": 3,
        "online": 1,
        "routes": {"problems": []},
        "clusters": [{"cluster": name} for name in ("beijing", "shanghai") if cluster in ("", name)],
        "sessions": [one for one in found if one["state"] == "online"],
        "offline": [one for one in found if one["state"] != "online"],
    }


def client_status(cluster: str, member: str, since: str) -> dict[str, Any]:
    """Return what a client that is refused tells."""
    peers = [{"identity": "bj-dev", "address": "10.0.1.2", "online": True, "ciders": []}]
    return {
        "identity": "bj-office-gw",
        "state": "refused",
        "last_error": "unknown identity",
        "tun": {"present": True},
        "peers": [peer for peer in peers if member in ("", peer["identity"]) and not cluster],
    }


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The default folder's sockets: those that a test adds."""
    paths: list[Path] = []
    monkeypatch.setattr("rustun.cli.status.find_sockets", lambda: paths)
    return paths


@pytest.fixture
def server(tmp_path: Path, sockets: list[Path]) -> Iterator[Answering]:
    one = Answering(tmp_path / "server.sock", "server", server_status)
    sockets.append(one.path)
    yield one
    one.stop()


@pytest.fixture
def client(tmp_path: Path, sockets: list[Path]) -> Iterator[Answering]:
    one = Answering(tmp_path / "client-a.sock", "client", client_status)
    sockets.append(one.path)
    yield one
    one.stop()


def test_a_member_is_asked_for(server: Answering) -> None:
    """Who looks for one member has to find it in a table of thousands, and gets no reason."""
    result = typed("sh-db")
    assert result.exit_code == 0
    assert "member: sh-db   cluster shanghai\n" in result.stdout
    assert "why not: offline: silent" in result.stdout
    assert "bj-dev" not in result.stdout
    document = json.loads(typed("--json", "sh-db").stdout)
    assert (document["sessions"], [one["identity"] for one in document["offline"]]) == ([], ["sh-db"])


def test_a_cluster_is_asked_for(server: Answering) -> None:
    """A tenant's operator reads the members of all others."""
    result = typed("shanghai")
    assert result.exit_code == 0
    assert "sh-db" in result.stdout
    assert "bj-dev" not in result.stdout


def test_a_name_that_nobody_knows(server: Answering, client: Answering) -> None:
    """A misspelt name shows nothing, or everything, and a script goes on."""
    for name, meant in (("sh-bd", "sh-db"), ("shangai", "shanghai"), ("bj-ofice-gw", "bj-office-gw")):
        result = typed(name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f'no member and no cluster "{name}" here' in result.stderr
        assert f'did you mean "{meant}"?' in result.stderr
    assert "rustun status shows all" in typed("x" * 20).stderr


def test_names_are_only_text(server: Answering) -> None:
    """A member's name steers the terminal, or ends `rustun status` with a fault of its markup."""
    for arguments in ((), (HOSTILE,), ("shanghai",)):
        result = typed(*arguments)
        assert result.exit_code == 0
        assert "a[/b][link=http://x]" in result.stdout
        assert result.stdout.replace("\n", "").isprintable()
    assert typed(f"{HOSTILE}y").stderr.replace("\n", "").isprintable()


def test_a_dead_socket_is_told_as_text(server: Answering, sockets: list[Path], tmp_path: Path) -> None:
    """If this fails, whoever may make a file in /run/rustun steers the terminal of root, who looks."""
    sockets.append(tmp_path / "client-\x1b[31m.sock")
    result = typed()
    assert result.exit_code == 0
    assert "no control socket at" in result.stderr
    assert result.stderr.replace("\n", "").isprintable()


def test_one_role_alone(server: Answering, client: Answering) -> None:
    """A probe of the client is answered for by the server beside it."""
    assert json.loads(typed("--json", "--client").stdout)["role"] == "client"
    assert json.loads(typed("--json", "--server").stdout)["role"] == "server"
    assert len(json.loads(typed("--json").stdout)["instances"]) == 2
    result = typed("--client", "--control", str(server.path))
    assert (result.exit_code, result.stdout) == (2, "")


def test_no_process_of_that_role(server: Answering) -> None:
    """A probe of a client that is not there is told that all is well."""
    result = typed("--client", "--check", "live")
    assert result.exit_code == 1
    assert "no client runs here" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--server", "--check", "live"), 0, ""),
        (("--server", "--check", "ready"), 0, ""),
        (("--server", "--check", "connected"), 0, ""),
        (("--client", "--check", "live"), 0, ""),
        (("--client", "--check", "ready"), 0, ""),
        (("--client", "--check", "connected"), 69, "not connected: refused: unknown identity"),
        (("--check", "everything"), 2, "Usage"),
        (("--check", "live", "--watch"), 2, "choose one"),
    ],
)
def test_a_health_probe(
    server: Answering, client: Answering, arguments: tuple[str, ...], code: int, words: str
) -> None:
    """A health probe says yes to a process that does nothing, or prints where it should be silent."""
    result = typed(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert words or not result.stderr


def test_a_probe_as_json(client: Answering) -> None:
    """A machine that wants the reason has to read a sentence on standard error."""
    result = typed("--check", "connected", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert (document["check"], document["ok"]) == ("connected", False)
    assert document["reasons"] == {str(client.path): "refused: unknown identity"}


def test_without_the_right_to_ask(tmp_path: Path, sockets: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that runs as another user takes a missing right for a dead process."""

    def refuse(path: Path, question: object) -> dict[str, object]:
        raise RightsError(f"no permission to read {path}", "run it as root")

    sockets.append(tmp_path / "server.sock")
    monkeypatch.setattr("rustun.cli.status.answer_to", refuse)
    assert typed("--check", "live").exit_code == 77


def test_what_is_watched_is_told_again(server: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rustun status --watch` shows one moment, or goes on in silence when its process has ended."""
    seen: list[float] = []

    def two(path: Path, question: dict[str, object]) -> Iterator[Answer]:
        assert (path, question) == (server.path, {"member": "bj-dev", "ask": "watch", "seconds": 1.0})
        for uptime in (1.0, 2.0):
            seen.append(uptime)
            document = {"role": "server", "schema": 1, "pid": 1, "uptime_s": uptime, **server_status("", "bj-dev", "")}
            yield Answer(document, json.dumps(document).encode())

    monkeypatch.setattr("rustun.cli.status.follow", two)
    result = typed("--watch", "bj-dev")
    assert result.stdout.count("member: bj-dev") == 2
    assert (result.exit_code, seen) == (1, [1.0, 2.0])
    assert "nobody answers on" in result.stderr
    lines = typed("--watch", "--json", "bj-dev").stdout.splitlines()
    assert [json.loads(line)["uptime_s"] for line in lines] == [1.0, 2.0]


@pytest.mark.parametrize(("members", "as_it_came"), [(1, False), (200, False), (201, True)])
def test_a_long_document_stays_on_one_line(
    members: int, as_it_came: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`rustun status --json` of thousands of members takes a second, or that of a few is one line that nobody reads."""
    document = {"schema": 1, "role": "server", "offline": [{"identity": f"m{number}"} for number in range(members)]}
    line = json.dumps(document, separators=(" , ", " : "))
    monkeypatch.setattr("rustun.cli.status.answer_to", lambda path, question: Answer(document, line.encode()))
    shown = typed("--json", "--control", str(tmp_path / "s.sock")).stdout
    assert shown == f"{line if as_it_came else json.dumps(document, indent=2)}\n"


@pytest.mark.parametrize("command", ["status", "top"])
def test_server_and_client_exclude_each_other(command: str, server: Answering, client: Answering) -> None:
    """Who asks for both is shown the one that he wrote last, and takes it for all that runs."""
    result = CliRunner().invoke(main, (command, "--server", "--client"), prog_name="rustun")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: --server and --client exclude each other: choose one\n" in result.stderr


def test_several_cannot_be_watched(server: Answering, client: Answering) -> None:
    """Two processes' states are shown in turn, as if they were one."""
    result = typed("--watch")
    assert result.exit_code == 2
    assert "--server, --client or --control" in result.stderr
