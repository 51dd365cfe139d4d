"""Key rotation waits for the hosts: a step is taken when they have the one before, on hosts in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rustun.ops.deploy import deploying
from rustun.ops.deploy.deploying import Manner
from rustun.ops.editing.rotating import rotate_keys
from rustun.ops.editing.run import Order
from rustun.ops.exit_codes import BAD_INPUT, FAILED, OK
from rustun.ops.inventory import load_inventory
from tests.unit.ops.deploy.fleet import Fleet, TwinTarget

NOT_DONE = 3


class Rotation:
    """An operator's turns on a fleet of a server and two members."""

    def __init__(self, folder: Path) -> None:
        self.fleet = Fleet(folder, "bj-a", "bj-b")
        self.order = Order(self.fleet.write(), folder / "build")

    def target(self) -> TwinTarget:
        out = self.order.build / "acme"
        return TwinTarget(self.order.inventory, out, self.fleet.folder, fleet=self.fleet)

    def deploy(self) -> int:
        return deploying.deploy(self.target(), Manner(yes=True))

    def rotate(self, *members: str, yes: bool = True, offline: bool = False, show: bool = False) -> int:
        return rotate_keys(self.order, members, None if offline else self.target(), show=show, yes=yes)

    def keys(self) -> dict[str, tuple[int, ...] | None]:
        inventory = load_inventory(self.order.inventory)
        return {"servers": inventory.server_key} | {one.identity: one.settings.key for one in inventory.members}

    def edit(self, old: str, new: str) -> None:
        text = self.order.inventory.read_text()
        assert old in text
        self.order.inventory.write_text(text.replace(old, new))


@pytest.fixture
def rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Rotation:
    """A fleet that is deployed."""
    made = Rotation(tmp_path)
    assert made.deploy() == 0
    capsys.readouterr()
    return made


def test_each_step_waits_for_its_deployment(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """A key would be in use that others do not know, or an old one retired that is in use: members are cut off."""
    for expected in ((1, 2), (2, 1), (2,)):
        assert rotation.rotate() == OK
        assert set(rotation.keys().values()) == {expected}
        capsys.readouterr()
        assert rotation.rotate() == NOT_DONE
        assert set(rotation.keys().values()) == {expected}
        said = capsys.readouterr().err
        assert "rotate-keys: 3 of them do not have the present step yet; nothing was written\n" in said
        assert "  bj-a: not deployed\n" in said
        assert "run ./invoke deploy first" in said
        assert rotation.deploy() == 0


def test_a_host_that_is_down_holds_the_step_up(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """It would come back with a key that was retired while it was down."""
    assert rotation.rotate() == OK
    rotation.fleet.down.add("bj-b")
    assert rotation.deploy() == 5
    assert rotation.rotate() == NOT_DONE
    assert "  bj-b: Connection timed out\n" in capsys.readouterr().err
    rotation.edit("[cluster.beijing.member.bj-b]\n", "[cluster.beijing.member.bj-b]\nenabled = false\n")
    assert rotation.deploy() == 5
    assert rotation.rotate() == OK  # it is switched off: the others need not wait


def test_one_member_waits_for_its_host_and_the_servers(rotation: Rotation) -> None:
    """The exchange of one stolen key would wait for a host that has nothing to do with it."""
    rotation.fleet.down.add("bj-b")
    assert rotation.rotate("bj-a") == OK
    assert rotation.rotate("bj-a") == NOT_DONE
    assert rotation.deploy() == 5
    rotation.fleet.down.add("server")
    assert rotation.rotate("bj-a") == NOT_DONE
    rotation.fleet.down.remove("server")
    assert rotation.rotate("bj-a") == OK
    assert rotation.keys() == {"servers": (1,), "bj-a": (2, 1), "bj-b": (1,)}


def test_whom_nobody_can_ask_is_named(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """A member that is set up by hand would be cut off by a step that nobody copied to it."""
    rotation.edit('ssh = "root@bj-b"\n', "")
    assert rotation.deploy() == 0
    assert rotation.rotate(yes=False) == BAD_INPUT
    said = capsys.readouterr().err
    assert "only you know whether bj-b got the present step\nprepare: with the next deploy everybody knows" in said
    assert "write --yes" in said
    assert set(rotation.keys().values()) == {(1,)}
    assert rotation.rotate(yes=True) == OK


def test_offline_everybody_is_named(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no host is in reach a step would be taken as if all had been asked."""
    rotation.fleet.down |= {"server", "bj-a", "bj-b"}
    assert rotation.rotate(yes=False, offline=True) == BAD_INPUT
    assert "only you know whether server, bj-a, bj-b got the present step" in capsys.readouterr().err
    assert rotation.rotate(offline=True) == OK


def test_a_broken_policy_is_no_fault_of_this_machine(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """A script would take an assertion that does not hold for a machine that lacks something, and try again."""
    rotation.order.inventory.with_suffix(".policy").write_text("bj-a cannot reach bj-b\n")
    assert rotation.rotate() == FAILED
    assert '"bj-a cannot reach bj-b" does not hold' in capsys.readouterr().err
    assert set(rotation.keys().values()) == {(1,)}


def test_a_look_tells_for_whom_it_waits(rotation: Rotation, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator would learn it only by trying the next step."""
    assert rotation.rotate("bj-a") == OK
    capsys.readouterr()
    assert rotation.rotate(show=True) == OK
    assert "  waits      for bj-a: not deployed\n" in capsys.readouterr().out
    rotation.order = Order(rotation.order.inventory, rotation.order.build, as_json=True)
    assert rotation.rotate() == NOT_DONE
    facts = json.loads(capsys.readouterr().out)
    assert (facts["behind"], facts["unasked"]) == ({"server": "not deployed", "bj-a": "not deployed"}, [])
    assert facts["owners"][1] == {"owner": "bj-a", "keys": [1, 2], "stage": "prepared"}
