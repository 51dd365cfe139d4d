"""How a command ends: the words, the exit code, and what stays unsaid."""

from __future__ import annotations

import pytest

from rustun.cli.failures import run_command, summary
from rustun.errors import ConfigError, HostError, Problem, RefusedError, RightsError, RustunError

PROBLEM = Problem("routes.json", 31, 'member "sh-db"', "private_ip 10.0.2.1 is taken", "10.0.2.3 is free")
NOTE = Problem("routes.json", 4, "", "nested prefixes", level="note")


def ended_by(error: Exception, verbosity: int = 0) -> int:
    def work() -> int:
        raise error

    return run_command("rustun connect", verbosity, work)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("unknown-identity", "the server does not know this identity"), 69),
        (RightsError("no permission"), 77),
        (ConfigError((PROBLEM,)), 78),
        (HostError("port taken"), 1),
        (RustunError("anything"), 1),
        (RuntimeError("a bug"), 1),
    ],
)
def test_exit_codes(error: Exception, code: int) -> None:
    """A service manager or a script cannot tell who must act, and restarts what should stay down."""
    assert ended_by(error) == code


def test_a_command_that_succeeds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The result of the work is lost on the way out."""
    assert run_command("rustun check", 0, lambda: 0) == 0
    assert run_command("rustun check", 0, lambda: 78) == 78
    assert capsys.readouterr() == ("", "")


def test_one_line_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """A user is told what is wrong, but not by whom or what to do about it."""
    ended_by(RightsError("no permission to create a TUN device", "run it as root"))
    assert capsys.readouterr().err == "rustun connect: no permission to create a TUN device\n  run it as root\n"
    ended_by(HostError("port 8080 is taken"))
    assert capsys.readouterr().err == "rustun connect: port 8080 is taken\n"


def test_every_problem_of_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    """A user mends one problem at a time because only the first is shown."""
    ended_by(ConfigError((PROBLEM, NOTE)))
    assert capsys.readouterr().err.splitlines() == [
        'routes.json:31: member "sh-db": private_ip 10.0.2.1 is taken',
        "  10.0.2.3 is free",
        "routes.json:4: note: nested prefixes",
        "rustun connect: 1 problem, 1 note; nothing was started",
    ]


def test_a_bug_shows_no_traceback_and_no_data(capsys: pytest.CaptureFixture[str]) -> None:
    """A defect prints a traceback, or what a peer sent, to somebody who did not ask for it."""
    ended_by(ValueError("marked-secret"))
    shown = capsys.readouterr().err
    assert shown.startswith("rustun connect: internal error: ValueError at test_failures.py:")
    assert "Traceback" not in shown
    assert "marked-secret" not in shown
    assert "-vv" in shown


def test_a_traceback_on_request_holds_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    """With -vv there is no traceback, or it shows the values of variables, keys among them."""

    def work() -> int:
        key = "-".join(["marked", "secret"])
        raise RightsError("no permission", f"{len(key)}")

    assert run_command("rustun connect", 2, work) == 77
    shown = capsys.readouterr().err
    assert shown.startswith("rustun connect: no permission\n")
    assert "Traceback" in shown
    assert "marked-secret" not in shown


def test_what_a_file_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal code in a file or from a server reaches the terminal in an error message."""
    ended_by(RefusedError("refused", "the server says \x1b[2J", "\x07ask"))
    assert capsys.readouterr().err.replace("\n", "").isprintable()


def test_summary() -> None:
    """The last line of `rustun check` counts notes as problems, or says 1 problems."""
    warning = Problem("server.toml", 0, "", "weak key", level="warning")
    assert summary((PROBLEM, PROBLEM, NOTE)) == "2 problems, 1 note"
    assert summary((PROBLEM, warning)) == "1 problem, 1 warning"
    assert summary((NOTE, NOTE)) == "no problems, 2 notes"
    assert summary(()) == "no problems"
