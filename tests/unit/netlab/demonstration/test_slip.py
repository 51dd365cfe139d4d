"""netlab.demonstration: a slip in routes.json that is legal, and what it has to turn red."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from netlab.configuration import Configured
from netlab.demonstration import page, slip
from netlab.demonstration.run import Story, cut_off, judge
from netlab.demonstration.slip import Slip
from netlab.errors import BadInput
from netlab.isolation.judgement import NO, RED, UNPROVEN, YES, Verdict
from netlab.isolation.why import Explanation
from netlab.spec import lab_spec
from netlab.topology import HostSpec, LabSpec
from rustun.config.routes import read_routes
from rustun.ops.inventory import load_inventory
from rustun.ops.render import plan_render
from tests.unit.netlab.fleets import two_tenants, with_a_lone_member

REFERENCE = Path(__file__).parents[4] / "inventory" / "reference.toml"
ROUTES = """[
  {
    "identity": "b1",
    "ciders": ["192.168.10.0/24"]
  }
]
"""
SLIP = Slip("b1", "b", ("printer",), 4, ip_network("192.168.10.0/24"), ip_network("192.168.11.0/24"))
RED_CELLS = (("b2", "printer"), ("printer", "b2"))


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    """Return a routes.json with a gateway."""
    file = tmp_path / "routes.json"
    file.write_text(ROUTES)
    return file


def a_story(spec: LabSpec) -> Story:
    """Return the story of a laboratory that has not begun."""
    inventory = load_inventory(REFERENCE)
    return Story(Configured(REFERENCE, inventory, spec, Path("generated"), {}, 0.0), seed=1, slip=SLIP)


def verdict(**red: str) -> Verdict:
    """Return what was found, of some cells."""
    cells = {("a1", "a2"): YES, ("a1", "b2"): NO, **dict.fromkeys(RED_CELLS, RED), ("a1", "printer"): UNPROVEN}
    cells |= {(sender, target): RED for sender, target in red.items()}
    return Verdict(9, cells, {("a1", "a2"): True, ("a1", "b2"): False, **dict.fromkeys(RED_CELLS, True)})


def test_a_seed_means_one_slip_and_seeds_mean_several(routes: Path) -> None:
    """What one person saw nobody could see again; or a demonstration would know its one answer by heart."""
    found = [slip.choose(two_tenants(), routes, seed) for seed in range(50)]
    assert found == [slip.choose(two_tenants(), routes, seed) for seed in range(50)]
    assert {(one.gateway, one.line, one.right) for one in found} == {("b1", 4, SLIP.right)}
    assert len({one.wrong for one in found}) == 2 * slip.MOST_STEPS
    assert SLIP.right not in {one.wrong for one in found}


def test_a_slip_is_no_prefix_that_somebody_has(routes: Path) -> None:
    """The relay would refuse the file, and nothing would be shown."""
    b1, *others = [one for one in two_tenants().members if one.cluster == "b"]
    taken = replace(others[0], ciders=tuple(ip_network(f"192.168.{third}.0/24") for third in (7, 8, 9, 11, 12)))
    spec = replace(two_tenants(), members=(b1, taken))
    assert {str(slip.choose(spec, routes, seed).wrong) for seed in range(20)} == {"192.168.13.0/24"}


def test_the_file_changes_in_that_line_alone(routes: Path) -> None:
    """Something else would be broken as well, and the explanation could not be held against it."""
    slip.make(SLIP, routes)
    assert routes.read_text() == ROUTES.replace("10.0/24", "11.0/24")


@pytest.mark.parametrize("seed", range(6))
def test_a_relay_takes_the_slip(seed: int, tmp_path: Path) -> None:
    """The slip would be found by reading, and the laboratory would show nothing that a check does not."""
    inventory = load_inventory(REFERENCE)
    generated = {file.name: file.wished for file in plan_render(inventory, tmp_path / "build").files}
    routes = tmp_path / "routes.json"
    routes.write_bytes(generated["routes.json"])
    found = slip.choose(lab_spec(inventory), routes, seed)
    slip.make(found, routes)
    assert str(found.wrong) in routes.read_text().splitlines()[found.line - 1]
    assert len(read_routes(routes).members) == 9


def test_a_fleet_without_a_lan_to_cut_off_is_refused(routes: Path) -> None:
    """A traceback, or a demonstration that has nothing to show, would follow."""
    for spec in (with_a_lone_member(), replace(two_tenants(), hosts=())):
        with pytest.raises(BadInput, match=r"nobody has a LAN \(/24\) with a host"):
            slip.choose(spec, routes, 1)


def test_what_the_slip_cuts_off_has_to_be_red_and_nothing_else() -> None:
    """A laboratory that sees less, or more, than there is would be praised for it."""
    story = a_story(two_tenants())
    assert sorted(cut_off(story, SLIP)) == sorted(RED_CELLS)
    judge(story, verdict(), SLIP, lambda _line: None)
    assert story.failures == []
    judge(story, verdict(a1="b2"), SLIP, lambda _line: None)
    assert story.failures == ["a1 -> b2 is red, and has nothing to do with the slip"]
    story = a_story(two_tenants())
    judge(story, replace(verdict(), cells={("b2", "printer"): RED}), SLIP, lambda _line: None)
    assert story.failures == ["printer -> b2 should be red and is not"]
    twin = HostSpec("twin", "a1", (ip_address("192.168.10.7"),))  # a packet to one address concerns both
    story = a_story(replace(two_tenants(), hosts=(*two_tenants().hosts, twin)))
    judge(story, verdict(a2="twin"), SLIP, lambda _line: None)
    assert story.failures == []


def test_the_report_shows_what_was_found_as_far_as_it_went() -> None:
    """A story that ended early would leave no report, or one that says that all was well."""
    story = a_story(two_tenants())
    story.failures.append("the relay did not start")
    text = "\n".join(page.lines(story))
    assert text.startswith("# two: not as expected\n")
    assert "- **the relay did not start**" in text
    assert "## After" not in text
    story.failures.clear()
    story.broken = verdict()
    other, shown = Explanation(("b1", "b2"), ("b1 -> b2: red",)), Explanation(RED_CELLS[0], ("b2 -> printer: red", "x"))
    story.explanations = [other, shown]
    text = "\n".join(page.lines(story))
    assert text.startswith("# two: a slip, found and explained\n")
    assert '- "192.168.10.0/24"\n+ "192.168.11.0/24"' in text
    assert "| b2 |  |  |  |  | **yes / WRONG** |" in text
    assert text.index("b2 -> printer: red") < text.index("b1 -> b2: red")
