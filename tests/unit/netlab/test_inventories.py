"""The inventories that come with the project: what tests, figures and readers expect to find in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netlab.layout import plan
from netlab.links.impairment import PRESETS
from netlab.spec import lab_spec
from rustun.ops.inventory import load_inventory
from rustun.ops.lab.records import Lab
from rustun.ops.linting import run as linting
from rustun.ops.policy import run as policies
from rustun.ops.render import plan_render, write_plan
from tests.unit.ops.test_model import inventory_fits

FOLDER = Path(__file__).resolve().parents[3] / "inventory"
FILES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.toml"))


@pytest.mark.parametrize("name", FILES)
def test_editors_take_each_file(name: str) -> None:
    """Who copies an example would see it underlined."""
    text = (FOLDER / name).read_text()
    assert text.startswith(f"#:schema {'../' * name.count('/') or './'}inventory.schema.json\n")
    assert inventory_fits(text)


def test_the_reference_laboratory_has_what_everybody_relies_on() -> None:
    """Figures and pictures of two days would be of two laboratories."""
    inventory = load_inventory(FOLDER / "reference.toml")
    beijing, shanghai, guangzhou = inventory.clusters
    assert (beijing.network, beijing.network6) == (shanghai.network, shanghai.network6)
    for one, other in zip(beijing.members, shanghai.members, strict=True):
        assert (one.addresses, one.ciders) == (other.addresses, other.ciders)
    assert [host.address for host in inventory.lab.hosts[:2]] == [inventory.lab.hosts[0].address] * 2
    nodes = plan(lab_spec(inventory)).nodes
    roles = [node.role for node in nodes]
    assert {role: roles.count(role) for role in roles} == {"server": 1, "member": 9, "host": 3, "nat": 2}
    assert len(guangzhou.members) == 3
    assert inventory.notes == ()


def test_the_example_is_a_fleet_that_can_be_deployed(capsys: pytest.CaptureFixture[str]) -> None:
    """The first fleet of an operator, a copy of it, would begin with warnings, broken rules or addresses that move."""
    folder = FOLDER / "example"
    inventory = load_inventory(folder)
    assert inventory.notes == ()
    assert inventory.to_record == inventory.recorded, "./invoke gen-config --inventory inventory/example"
    assert linting.run(folder, FOLDER / "no-keys", strict=True, accepting=False, as_json=False) == 0
    assert policies.run(folder, as_json=False) == 0
    assert "all 9 hold" in capsys.readouterr().out


def test_generated_files_know_nothing_of_the_laboratory(tmp_path: Path) -> None:
    """Hosts would reload, and a deployment be due, because somebody rehearsed behind another router."""
    whole = load_inventory(FOLDER / "example")
    assert whole.lab != Lab()
    write_plan(plan_render(whole, tmp_path))
    assert plan_render(replace(whole, lab=Lab()), tmp_path).current


def test_the_laboratory_of_the_example() -> None:
    """What the example says to the laboratory would be read and forgotten."""
    topology = plan(lab_spec(load_inventory(FOLDER / "example")))
    names = {node.name for node in topology.nodes}
    assert {"waw-till-1", "waw-till-2", "hotel", "carrier"} <= names
    assert "cleo-laptop" not in names, "she is switched off"
    assert [far.node for near, far in topology.cables if near.node == "carrier"] == ["ben-laptop", "hotel"]
    link = topology.links["server-carrier"]
    assert link.back.rate_bit_s == 5_000_000, "up is away from the node"
    assert link.forth == PRESETS["mobile"]
