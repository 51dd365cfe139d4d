"""What the doctor says of what it found, and of what it could not even try."""

from __future__ import annotations

import json

import pytest

from netlab.control import doctor
from netlab.control.doctor import Facility, table
from netlab.errors import EnvironmentLacks

OK = Facility("veth", "ok")
REPLACED = Facility("netem", "replaced", "no such queue", "the wire takes its place", "sudo modprobe sch_netem")


def test_what_is_missing_is_said_with_its_command() -> None:
    """People would have to find out by themselves what to install."""
    assert table([OK, REPLACED]) == [
        "veth   ok",
        "netem  replaced    no such queue; the wire takes its place",
        "       mend it with: sudo modprobe sch_netem",
        "a laboratory can run here",
    ]
    assert table([Facility("TUN device", "impossible", "missing")])[-1] == "a laboratory cannot run here"


def test_without_namespaces_nothing_else_is_tried_and_the_exit_code_is_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script would take a machine for fit on which no laboratory runs, or hang."""

    def enter(_run: object) -> int:
        raise EnvironmentLacks("this user may make no user namespaces here", "sudo sysctl user.max_user_namespaces=1")

    monkeypatch.setattr(doctor, "enter_own_world", enter)
    assert doctor.run(as_json=True) == 4
    document = json.loads(capsys.readouterr().out)
    states = {one["name"]: one["state"] for one in document["facilities"]}
    assert (document["schema"], document["can_run"], states["namespaces"]) == (1, False, "impossible")
    assert "veth" not in states


def test_a_kernel_that_lacks_something_is_told_by_its_own_words() -> None:
    """The reason would be hidden behind the words of a program."""

    def fail() -> None:
        raise OSError(95, "Operation not supported")

    trial = doctor._Trial("ifb", fail, "replaced", "not used", "")
    assert doctor._try(trial) == Facility("ifb", "replaced", "Operation not supported", "not used", "")
