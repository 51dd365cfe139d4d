"""The far end against a host in memory: steps are taken whole, or the host is as it was."""

from __future__ import annotations

import ast
import fcntl
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rustun.ops.deploy.bundle import FOLDER, ORDER, START, bundle
from rustun.ops.deploy.far.conversation import apply, converse
from rustun.ops.deploy.far.facts import facts
from rustun.ops.deploy.far.system import STATE
from tests.unit.ops.deploy.twin import HostTwin

RELEASE = "0123456789abcdef"
UNIT = "rustun-client@bj.service"
PLAIN = {"mode": "0644", "owner": "root", "group": "root"}
Step = dict[str, Any]


@pytest.fixture
def host(tmp_path: Path) -> HostTwin:
    """A host that runs one client from a release."""
    twin = HostTwin(tmp_path)
    twin.has_release(RELEASE)
    unit = Path(twin.at("/etc/systemd/system/rustun-client@.service"))
    unit.write_text("[Unit]\n")
    twin._systemctl("enable", UNIT)
    twin._systemctl("restart", UNIT)
    twin.commands.clear()
    return twin


def put(path: str, data: bytes, **also: str) -> tuple[Step, bytes]:
    """Return the step that puts a file, and its bytes."""
    return {"do": "put", "path": path, "digest": hashlib.sha256(data).hexdigest(), **PLAIN, **also}, data


def ask(host: HostTwin, steps: list[Step], blobs: list[bytes] | None = None, **also: Any) -> list[dict[str, Any]]:
    """Have a host take steps; return all that it said."""
    sent = [(hashlib.sha256(blob).hexdigest(), len(blob)) for blob in blobs or []]
    request = {"ask": "apply", "expect": 0, "steps": steps, "manifest": {"files": {}}, "blobs": sent, **also}
    said: list[dict[str, Any]] = []
    said.append(apply(host, request, io.BytesIO(b"".join(blobs or [])), said.append))
    return said


def verify(**also: Any) -> Step:
    """Return the step that looks at the client."""
    return {
        "do": "verify",
        "unit": UNIT,
        "identity": "bj",
        "version": "0.1.0",
        "release": RELEASE,
        "seconds": 5,
        **also,
    }


def test_the_far_end_needs_nothing_but_an_old_python() -> None:
    """Hosts with Python 3.9, or without our packages, could not even say what they lack."""
    ours = {f"rustun.ops.deploy.far.{name}" for name in ORDER}
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(["__init__", *ORDER])
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name in ours or name.split(".")[0] in sys.stdlib_module_names for name in names), path


def test_the_text_that_is_sent_runs_and_answers() -> None:
    """No host would answer: the modules do not find each other in one text."""
    question = b'{"ask": "read", "paths": ["/etc/rustun/none"]}\n'
    command = [sys.executable, "-Iuc", START]
    done = subprocess.run(command, input=bundle() + question, capture_output=True, check=False)
    assert (done.stderr, json.loads(done.stdout)) == (b"", {"files": {"/etc/rustun/none": None}})


def test_a_step_that_finds_its_work_done_changes_nothing(host: HostTwin) -> None:
    """A second deployment would restart what runs well."""
    step, data = put("/etc/rustun/a.toml", b"a = 1\n")
    assert [word["changed"] for word in ask(host, [step], [data]) if "done" in word] == [True]
    assert [word["changed"] for word in ask(host, [step], [data]) if "done" in word] == [False]


def test_a_failed_step_puts_everything_back(host: HostTwin) -> None:
    """A host whose tunnel does not come up would be left with what broke it."""
    ask(host, [put("/etc/rustun/old.toml", b"old")[0], put("/etc/rustun/gone.key", b"k")[0]], [b"old", b"k"])
    before = dict(host.files())
    host.status[UNIT] = {"role": "client", "identity": "bj", "state": "handshaking", "last_error": "wrong key"}
    steps = [
        put("/etc/rustun/old.toml", b"new")[0],
        put("/etc/rustun/new.toml", b"more")[0],
        {"do": "remove", "path": "/etc/rustun/gone.key"},
        {"do": "folder", "path": "/etc/rustun/secrets", "mode": "0700", "owner": "root", "group": "root"},
        {"do": "reload", "unit": UNIT},
        verify(),
    ]
    end = ask(host, steps, [b"new", b"more"])[-1]
    assert (end["end"], end["step"], end["put_back"]) == ("failed", 5, True)
    assert end["reason"] == f"{UNIT}: has no tunnel: handshaking, wrong key, after 5 s"
    assert dict(host.files()) == before
    assert not Path(host.at("/etc/rustun/secrets")).exists()
    assert host.commands[-1] == f"reload {UNIT}"


def test_a_service_that_does_not_start_shows_its_log_and_runs_as_before(host: HostTwin) -> None:
    """The operator would have to log in to learn why, to a host without its tunnel."""
    host.broken[UNIT] = "Traceback\nImportError: no module"
    end = ask(host, [{"do": "restart", "unit": UNIT}])[-1]
    assert (end["end"], end["log"]) == ("failed", ["Traceback", "ImportError: no module"])
    assert end["put_back"] is False  # it is broken for good here: told, not hidden
    host.broken.clear()
    assert ask(host, [{"do": "restart", "unit": UNIT}, verify()])[-1] == {"end": "done"}


def test_bytes_that_changed_on_the_way_change_nothing(host: HostTwin) -> None:
    """Half a key file would be put in place."""
    step, data = put("/etc/rustun/a.key", b"secret")
    request = {"expect": 0, "steps": [step], "manifest": {"files": {}}, "blobs": [(step["digest"], len(data))]}
    before = dict(host.files())
    for sent in (b"secre", b"Secret"):
        end = apply(host, request, io.BytesIO(sent), lambda _: None)
        assert (end["end"], end["reason"]) == ("refused", "what was sent did not arrive whole")
        assert dict(host.files()) == before


def test_a_second_operator_is_refused(host: HostTwin) -> None:
    """Two deployments at once would mix, or the second would undo the first without knowing it."""
    ask(host, [])
    with open(host.at(f"{STATE}/lock")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ask(host, [])[-1]["reason"] == "another deployment is at work on this host"
    assert ask(host, [{"do": "record", "generation": 1}])[-1] == {"end": "done"}
    end = ask(host, [put("/etc/rustun/a.toml", b"a")[0]], [b"a"])[-1]
    assert (end["end"], end["reason"]) == ("refused", "generation 1 is there, the plan was made for 0")
    assert not Path(host.at("/etc/rustun/a.toml")).exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/rustun/../passwd", "/etc/systemd/system/ssh.service"])
def test_nothing_else_of_the_host_is_touched(host: HostTwin, path: str) -> None:
    """A slip in a plan would overwrite files of the host."""
    end = ask(host, [put(path, b"x")[0]], [b"x"])[-1]
    assert (end["end"], end["reason"]) == ("failed", f"{path} is no place of ours")


def test_a_generation_holds_what_rolling_back_needs(host: HostTwin) -> None:
    """Going back would need the old files from somewhere else."""
    step, data = put("/etc/rustun/a.toml", b"one")
    manifest = {"files": {"/etc/rustun/a.toml": {"digest": step["digest"]}}}
    ask(host, [step, {"do": "record", "generation": 1}], [data], manifest=manifest)
    other, more = put("/etc/rustun/a.toml", b"two")
    ask(host, [other, {"do": "record", "generation": 2}], [more], expect=1)
    assert ask(host, [step], expect=2)[-1] == {"end": "done"}  # no bytes are sent
    assert Path(host.at("/etc/rustun/a.toml")).read_bytes() == b"one"
    assert [entry["number"] for entry in facts(host, [])["generations"]] == [1, 2]
    assert ask(host, [{"do": "prune", "releases": [], "generations": [1]}], expect=2)[-1] == {"end": "done"}
    assert [entry["number"] for entry in facts(host, [])["generations"]] == [2]


def test_what_a_killed_run_left_is_swept_away(host: HostTwin) -> None:
    """A key in a file that nothing names would stay on the host."""
    ask(host, [])
    left = Path(host.at("/etc/rustun/.rustun-new-a.key"))
    left.write_text("secret")
    ask(host, [])
    assert not left.exists()


def make_wheel(path: Path, files: dict[str, str]) -> bytes:
    """Return the bytes of a wheel."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path.read_bytes()


def release_step(wheel: bytes) -> Step:
    """Return the step that makes a release of one wheel."""
    return {
        "do": "release", "release": "fedcba9876543210", "python": "/usr/bin/python3", "python_version": "3.11.2",
        "version": "0.1.0", "scripts": {"rustun": "rustun.cli:main"},
        "wheels": [["rustun.whl", hashlib.sha256(wheel).hexdigest()]],
    }  # fmt: skip


def test_a_release_is_whole_or_not_there(host: HostTwin, tmp_path: Path) -> None:
    """A half-made environment would be taken for a good one by the next deployment."""
    wheel = make_wheel(tmp_path / "w.whl", {"rustun/cli.py": "", "rustun-0.1.0.data/purelib/more.py": ""})
    step = release_step(wheel)
    place = Path(host.at("/opt/rustun/releases/fedcba9876543210"))
    host.version = "0.0.9"
    assert ask(host, [step], [wheel])[-1]["reason"] == "the new release does not run: rustun --version ended with 0"
    assert not place.exists()
    host.version = "0.1.0"
    switch = {"do": "switch", "release": step["release"]}
    assert [word["changed"] for word in ask(host, [step, switch], [wheel]) if "done" in word] == [True, True]
    assert (place / "lib/python3.11/site-packages/more.py").exists()
    assert (place / "bin/rustun").read_text().startswith(f"#!{place}/bin/python\n")
    found = facts(host, [])
    assert (found["releases"], found["current"]) == ([RELEASE, step["release"]], step["release"])
    assert [word["changed"] for word in ask(host, [step, switch]) if "done" in word] == [False, False]


def test_a_wheel_that_leads_out_of_its_folder_is_refused(host: HostTwin, tmp_path: Path) -> None:
    """A hostile package would write anywhere, as root."""
    wheel = make_wheel(tmp_path / "w.whl", {"../../../../../../etc/cron.d/x": "* * * * * root id"})
    end = ask(host, [release_step(wheel)], [wheel])[-1]
    assert end["reason"] == "rustun.whl holds '../../../../../../etc/cron.d/x', which leads out of it"


def test_facts_of_a_host_that_has_nothing(tmp_path: Path) -> None:
    """A fresh host would end the plan with a traceback."""
    found = facts(HostTwin(tmp_path), [UNIT])
    assert (found["files"], found["generations"], found["current"], found["releases"]) == ({}, [], "", [])
    assert found["units"][UNIT] == {
        "known": False, "active": "inactive", "sub": "", "enabled": False, "stale": False, "pid": 0, "restarts": 0,
        "release": "",
    }  # fmt: skip


def test_a_conversation_goes_on_after_an_application(host: HostTwin) -> None:
    """The verdict of a deployment would need a second connection."""
    question = b'{"ask": "facts", "units": []}\n'
    request = {"ask": "apply", "expect": 0, "steps": [], "manifest": {}, "blobs": []}
    answers = io.BytesIO()
    converse(host, io.BytesIO(question + json.dumps(request).encode() + b"\n" + question), answers)
    assert [next(iter(json.loads(line))) for line in answers.getvalue().splitlines()] == ["facts", "end", "facts"]
