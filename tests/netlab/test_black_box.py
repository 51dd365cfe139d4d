"""What is written down of a laboratory in which something failed, whoever closes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlab.capture import pcapng
from netlab.configuration import configure, load
from netlab.lab import Files, Laboratory, observers
from netlab.processes import CHECKOUT
from netlab.worlds.black_box import BlackBox
from tests.netlab.own_world import in_own_world

INVENTORY = CHECKOUT / "inventory" / "demo.toml"


class Fault(Exception):
    """What a test would fail with."""


@in_own_world
def test_a_laboratory_is_described_where_something_failed_and_nowhere_else(tmp_path: Path) -> None:
    """A red test of the night would leave a line of text, and whoever reads it would have to wait for the next one."""
    fleet = load(INVENTORY)
    configured = configure(INVENTORY, fleet, tmp_path / "generated")
    files = Files(configured.folder, tmp_path / "logs", Path("/run/box"))
    box, late = tmp_path / "box", tmp_path / "late"
    lab = Laboratory(configured.spec.part(["bj-dev", "bj-office-gw"]), files)
    with pytest.raises(Fault), BlackBox(late):
        unwatched = Laboratory(configured.spec, files, plain=True)
        assert unwatched.close() == []
        assert not late.exists()
        left_open = Laboratory(configured.spec, files, plain=True)
        raise Fault
    assert json.loads((late / "demo" / "status.json").read_text())["name"] == "demo"
    assert left_open.close() == []
    with pytest.raises(Fault), BlackBox(box):
        watched = Laboratory(lab.spec, files)
        try:
            watched.start()
            raise Fault
        finally:
            assert watched.close() == []
    assert lab.close() == []
    assert len(observers) == 1  # this test's own
    check(box / "demo")


def check(folder: Path) -> None:
    """See that a description tells of the state before the end, and of the echo that proved the tunnel."""
    status = {node["node"]: node["rustun"] for node in json.loads((folder / "status.json").read_text())["nodes"]}
    assert (status["bj-dev"]["state"], status["server"]["online"]) == ("online", 2)
    assert (folder / "picture.svg").read_text().startswith("<svg")
    packets = [one for one in pcapng.read(folder / "capture.pcapng") if isinstance(one, pcapng.Packet)]
    assert {"bj-dev:rustun0", "bj-dev:eth0", "bj-office-gw:rustun0"} <= {one.interface.name for one in packets}
    assert [one.at_ns for one in packets] == sorted(one.at_ns for one in packets)
    lines = (folder / "sequence.txt").read_text().splitlines()
    assert any("10.0.1.2 > 10.0.1.1  echo request" in line and "----" in line for line in lines), lines
