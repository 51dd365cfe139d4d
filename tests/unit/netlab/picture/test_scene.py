"""Pictures of a laboratory, planned and running: what is there, how it is, and nothing by colour alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from netlab import facts, layout
from netlab.configuration import load
from netlab.picture import scene_svg, scene_text
from netlab.picture.scene import SIGNS, Figure, Scene, Trip, scene
from netlab.spec import lab_spec
from netlab.topology import LabSpec
from rustun.ops.lab.records import LabNat
from tests.unit.netlab.fleets import member, two_tenants
from tests.unit.netlab.picture.golden import same

ROOT = Path(__file__).parents[4]


def plan_of(spec: LabSpec) -> dict[str, Any]:
    """Return the document of a laboratory that is not up."""
    return facts.planned(spec, layout.plan(spec))


def reference() -> dict[str, Any]:
    """Return the document of the reference laboratory."""
    return plan_of(lab_spec(load(ROOT / "inventory" / "reference.toml")))


def running() -> tuple[dict[str, Any], dict[str, Trip]]:
    """Return the reference laboratory with a member that has ended, one that waits, and a bad cable."""
    document = reference()
    trips = {}
    for number, node in enumerate(document["nodes"]):
        node.update(pid=None, ended=None, rustun=None)
        if node["role"] == "server":
            node.update(pid=1, rustun={"online": 7, "members": 9})
        if node["role"] == "member":
            node.update(pid=10 + number, rustun={"state": "online", "rtt_ms": 0.5 + number / 10})
            trips[node["node"]] = Trip(0.0003, 0.0)
    nodes = {node["node"]: node for node in document["nodes"]}
    nodes["sh-db"]["ended"] = -9
    nodes["gz-dev"]["rustun"] = {"state": "waiting", "rtt_ms": None}
    nodes["bj-db"]["rustun"] = None
    trips |= {"bj-dev": Trip(0.0412, 0.125), "gz-laptop": Trip(None, 1.0)}
    cable = next(one for one in document["cables"] if "bj-dev:eth0" in one["ends"])
    cable |= {"forth": {"delay": "20ms"}, "back": {"delay": "20ms", "loss": "10%"}}
    return document, trips


def drawn(found: Scene) -> dict[str, str]:
    """Return a scene in all forms, by the end of a file's name."""
    return {"txt": scene_text.text(found), "mmd": scene_text.mermaid(found), "svg": scene_svg.draw(found)}


def names(figures: tuple[Figure, ...]) -> list[str]:
    """Return the names of figures and of all below them."""
    return [name for one in figures for name in (one.name, *names(one.below))]


def test_a_plan_is_drawn() -> None:
    """Who rehearses a fleet sees first what the laboratory will be made of."""
    found = scene(reference(), live=False)
    assert all(same(f"plan.{end}", words) for end, words in drawn(found).items())
    assert {one.state.mood for group in found.groups for one in group.figures} == {"planned"}


def test_a_running_laboratory_is_drawn_with_its_state() -> None:
    """A member that has ended, one that waits and a lossy cable have to be seen at a glance."""
    document, trips = running()
    found = scene(document, trips, live=True)
    assert all(same(f"running.{end}", words) for end, words in drawn(found).items())


def test_a_disabled_member_is_no_alarm() -> None:
    """The picture of a laboratory in which all is well warns for ever of a member that the inventory takes out."""
    document = reference()
    for number, node in enumerate(document["nodes"]):
        words = {"online": 9, "members": 10} if node["role"] == "server" else {"state": "online", "rtt_ms": 0.5}
        node.update(pid=number, ended=None, rustun=words)
    assert "\u25b2" not in scene_text.text(scene(document, {}, live=True))


def test_no_colour_means_anything_alone() -> None:
    """Who sees no colours, or prints in black, has to read the same picture."""
    document, trips = running()
    for words in drawn(scene(document, trips, live=True)).values():
        plain = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), words)
        for said in ("ended, exit code -9", "does not answer", "waiting", "12 % lost", "100 % lost", "7 of 9 online"):
            assert said in plain
        assert all(SIGNS[mood] in plain for mood in ("good", "warn", "bad"))


def test_every_node_is_there_once() -> None:
    """A node that is left out, or a member shown in a foreign cluster, is a wrong picture of who is isolated."""
    document = reference()
    found = scene(document, live=False)
    clusters = {node["node"]: node["cluster"] for node in document["nodes"]}
    all_names = [name for group in found.groups for name in names(group.figures)]
    assert sorted([*all_names, "server"]) == sorted(clusters)
    for group in found.groups:
        assert {clusters[name] for name in names(group.figures)} - {""} == {group.name}


def test_a_router_before_two_clusters_stands_in_both() -> None:
    """A shared router hangs members of two tenants together; each tenant has to see it."""
    spec = two_tenants()
    routers = (LabNat("nat", "open", ("a1", "b1")), LabNat("outer", "strict", ("nat",)))
    found = scene(plan_of(LabSpec("two", spec.servers, spec.members, spec.hosts, routers)), live=False)
    assert [names(group.figures) for group in found.groups] == [
        ["a2", "outer", "nat", "a1"],
        ["b2", "outer", "nat", "b1", "printer"],
    ]


def test_any_name_is_drawn() -> None:
    """A name with markup in it would break the picture, or put something into a reader's page."""
    spec = LabSpec(
        '<b>&"x', ("198.18.0.1",), (member('a<1>"&', "c]]>", "10.0.1.1/24"), member("é;--x", "d", "10.0.2.1/24"))
    )
    forms = drawn(scene(plan_of(spec), live=False))
    root = ElementTree.fromstring(forms["svg"])
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert 'a<1>"&' in texts
    assert "<b>" not in forms["svg"]
    assert '"a<' not in forms["mmd"]


def test_pictures_stand_alone() -> None:
    """A picture in a report is read offline: it may point to nothing outside."""
    document, trips = running()
    svg = scene_svg.draw(scene(document, trips, live=True))
    assert re.findall(r"(?:https?:)?//[^\"'\s]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in svg
    assert "prefers-color-scheme:dark" in svg


def test_sixty_nodes_fit() -> None:
    """Boxes of a large laboratory must neither overlap nor leave the picture."""
    members = tuple(member(f"node-{n}", f"c{n % 7}", f"10.{n % 7}.0.{n + 1}/24") for n in range(60))
    root = ElementTree.fromstring(scene_svg.draw(scene(plan_of(LabSpec("big", ("198.18.0.1",), members)), live=False)))
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    space = "{http://www.w3.org/2000/svg}rect"
    boxes = [
        tuple(int(one.attrib[key]) for key in ("x", "y", "width", "height"))
        for one in root.iter(space)
        if one.attrib["class"] == "card"
    ]
    assert len(boxes) == 61
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for number, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[:number]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    assert 0.3 < width / height < 3
