"""rustun.ops.ending: every error of a task is told in words, and its exit code says who has to act."""

from __future__ import annotations

import errno
import os

import pytest

from rustun.errors import ConfigError, HostError, Problem
from rustun.ops import exit_codes
from rustun.ops.ending import InputError, PolicyBroken, guarded

ONE = Problem("acme.toml", 3, "fleet", "is wrong", "mend it")
CASES: dict[str, tuple[BaseException, int, str]] = {
    "one problem": (
        ConfigError((ONE,)),
        exit_codes.BAD_INPUT,
        "acme.toml:3: fleet: is wrong\n  mend it\ntask: nothing was written\n",
    ),
    "two problems": (
        ConfigError((ONE, ONE)),
        exit_codes.BAD_INPUT,
        "acme.toml:3: fleet: is wrong\n  mend it\nacme.toml:3: fleet: is wrong\n  mend it\n"
        "task: 2 problems; nothing was written\n",
    ),
    "input": (InputError("no such member", "look"), exit_codes.BAD_INPUT, "task: no such member\n  look\n"),
    "no remedy": (InputError("no such member"), exit_codes.BAD_INPUT, "task: no such member\n"),
    "policy": (
        PolicyBroken("a can reach b\n  it does not", "change it"),
        exit_codes.FAILED,
        "a can reach b\n  it does not\ntask: nothing was written\n  change it\n",
    ),
    "host": (HostError("somebody else", "wait"), exit_codes.ENVIRONMENT, "task: somebody else\n  wait\n"),
    "system": (
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"),
        exit_codes.ENVIRONMENT,
        "task: /x: No space left on device\n  check the room on the disk and who owns the folder\n",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_error_is_told_with_who_has_to_act(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A script would try again what was typed wrong, or an operator read a traceback."""
    error, code, said = CASES[name]

    def work() -> int:
        raise error

    assert guarded("task", work) == code
    assert capsys.readouterr() == ("", said)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """Behind `head` a task would say that this machine lacks room."""

    def work() -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    with pytest.raises(BrokenPipeError):
        guarded("task", work)


def test_what_work_returns_is_the_exit_code() -> None:
    """A task that found differences would end as if it had found none."""
    assert guarded("task", lambda: exit_codes.DIFFERS) == exit_codes.DIFFERS
