"""The fixture `lab` in somebody's tests: what it offers, and that nothing stays but what explains a failure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from netlab.capture import pcapng
from netlab.control import runfolder
from netlab.processes import CHECKOUT, environment
from rustun.ops import run_report

LIMIT_S = 300.0  # only reached where something hangs
TESTS = """
import pytest
from netlab import handle

@pytest.mark.lab(limit="beijing")
def test_good(lab):
    assert lab.run("bj-dev", "ping", "-c", "1", "10.0.1.1").code == 0
    assert [one["as_expected"] for one in lab.probe("bj-dev", "bj-office-gw", "udp")] == [True]
    (one, other) = lab.link("bj-dev", {"mtu": "1400"})
    assert one["settings"] == other["settings"] == {"mtu": "1400"}
    assert all(ran.code == 7 for ran in lab.run_in("role:member", "sh", "-c", "exit 7").values())
    with pytest.raises(Exception, match='^no node "bj-def"') as refused:
        lab.run("bj-def", "true")
    assert (refused.type.__name__, refused.value.remedy) == ("BadInput", "did you mean bj-dev?")

@pytest.mark.lab(limit="beijing", timeout=50)
def test_that_hangs(lab):
    assert lab.run("bj-dev", "ping", "-c", "1", "10.0.1.1").code == 0
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0.1)  # as if so much time had passed
    assert 0 < left < 50
    lab.run("bj-dev", "sleep", "1000")

@pytest.mark.kept
def test_that_leaves_one(tmp_path):
    handle.bring_up(INVENTORY, f"left-by-{os.getpid()}", tmp_path, limit="beijing")
"""


def test_tests_of_others_get_a_laboratory_and_leave_none(tmp_path: Path) -> None:
    """People would test with laboratories that hang, stay for ever, or fail without a word of why."""
    inventory = CHECKOUT / "inventory" / "demo.toml"
    head = f"import os, signal\nfrom pathlib import Path\nINVENTORY = Path({str(inventory)!r})\n"
    (tmp_path / "test_theirs.py").write_text(head + TESTS)
    before = {folder.name for folder in runfolder.all_folders()}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "netlab.pytest_plugin", "-p", "no:cacheprovider"]
    command += ["--junit-xml", "junit.xml", "--lab-failures", "failures", "--rootdir", str(tmp_path)]
    alone = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=alone, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert "1 failed, 2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "the test is not done after 50 s" in done.stdout
    assert "left a laboratory: left-by-" in done.stdout
    assert {folder.name for folder in runfolder.all_folders()} <= before
    cases = {case.name: case for case in run_report.read_junit(tmp_path / "junit.xml") if case.kept}
    kept = Path(cases["test_that_hangs"].kept)
    assert kept == tmp_path / "failures" / "test_theirs.py-test_that_hangs"
    assert f"test_theirs.py::test_that_hangs: {kept}" in done.stdout
    assert "Failed: the test is not done after 50 s" in (kept / "failure.txt").read_text()
    check_kept(kept)


def check_kept(folder: Path) -> None:
    """See that a failure is explained by what was kept of its laboratory, and that no key is."""
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"routes.json", "server.toml", "client-bj-dev.toml", "server.log", "client-bj-dev.log"} <= names
    assert not [name for name in names if name.endswith((".key", ".psk"))]
    (status,) = folder.rglob("status.json")
    assert {node["node"] for node in json.loads(status.read_text())["nodes"]} == {"server", "bj-dev", "bj-office-gw"}
    assert (status.parent / "picture.svg").read_text().startswith("<svg")
    packets = [one for one in pcapng.read(status.parent / "capture.pcapng") if isinstance(one, pcapng.Packet)]
    assert "bj-office-gw:rustun0" in {packet.interface.name for packet in packets}
    assert "10.0.1.2 > 10.0.1.1  echo request 1, 84 B" in (status.parent / "sequence.txt").read_text()
