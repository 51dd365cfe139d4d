"""Files that are not the wanted ones: of the other program (rustun.config.kinds), or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rustun.config import load_client_config, load_server_config
from rustun.config.findings import Complaint
from rustun.config.keys import read_key_file
from rustun.errors import ConfigError, Problem

SERVER = '[server_config]\nlisten_addr = "0.0.0.0:8080"\n[route_config]\nroutes_file = "routes.json"\n'
CLIENT = 'identity = "bj-dev"\nservers = [{ address = "192.0.2.1:8080" }]\n'
Load = Callable[[Path], object]


def problems(load: Load, file: Path, text: str) -> tuple[Problem, ...]:
    """Return what is said about a file."""
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(file)
    return refused.value.problems


@pytest.mark.parametrize(
    ("load", "text", "reason", "command"),
    [
        (load_server_config, CLIENT, "is a client.toml, not a server.toml", "rustun connect --config"),
        (load_client_config, SERVER, "is a server.toml, not a client.toml", "rustun serve"),
    ],
)
def test_the_other_file_is_told_once(load: Load, text: str, reason: str, command: str, tmp_path: Path) -> None:
    """Who types serve for connect reads five slips of a file that has none, and mends it until nothing works."""
    file = tmp_path / "a file.toml"
    [problem] = problems(load, file, text)
    assert (problem.reason, problem.remedy) == (reason, f"run: {command} '{file}'")


@pytest.mark.parametrize("load", [load_server_config, load_client_config])
def test_a_file_of_both_is_told_all_its_slips(load: Load, tmp_path: Path) -> None:
    """Who puts a key into the wrong file is sent to the other program with it."""
    found = problems(load, tmp_path / "both.toml", CLIENT + SERVER)
    assert "is not a known key" in {problem.reason for problem in found if problem.level == "error"}


@pytest.mark.parametrize("load", [load_server_config, load_client_config])
def test_a_file_that_is_not_there(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who mistyped a name is not told from where it was looked for, or is told that of one that says it itself."""
    monkeypatch.chdir(tmp_path)
    for file, remedy in (
        (Path("nothing.toml"), f"looked from {tmp_path}; check the spelling"),
        (tmp_path / "nothing.toml", "check the spelling"),
    ):
        with pytest.raises(ConfigError) as refused:
            load(file)
        [problem] = refused.value.problems
        assert (problem.reason, problem.remedy) == ("there is no such file", remedy)


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    """A newcomer who has made no key yet looks for a slip in a name."""
    with pytest.raises(Complaint) as refused:
        read_key_file(tmp_path / "client.key")
    assert refused.value.remedy == "check the spelling, or make one: rustun keygen --help"
