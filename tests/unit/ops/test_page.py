"""The page and the picture of a fleet: complete, readable, and nothing in a name is taken for markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from rustun.ops.fleet import Inventory
from rustun.ops.inventory import load_inventory
from rustun.ops.page import MOST_CLUSTERS, MOST_DRAWN, draw, render_page, render_picture

ROOT = Path(__file__).resolve().parents[3]
NASTY = 'a|b <script> `x` "q" [l](u) é'


def fleet(folder: Path, clusters: int, members: int, name: str = "m") -> Inventory:
    """Return a fleet of some size, whose names hold whatever a name may hold."""
    lines = ['[fleet]\nname = "acme"\nservers = [{ address = "198.18.0.1:8080" }, { address = "198.18.0.2:8080" }]']
    for c in range(clusters):
        lines.append(f"[cluster.'{name} c{c}']\nnetwork = \"10.{c}.0.0/16\"")
        for m in range(members):
            lines.append(f"[cluster.'{name} c{c}'.member.'{name} {c}-{m}']\nciders = [\"172.16.{m}.0/24\"]")
    (folder / "acme.toml").write_text("\n".join(lines) + "\n")
    return load_inventory(folder / "acme.toml")


def test_every_member_is_on_the_page(tmp_path: Path) -> None:
    """Who looks for somebody on the page would believe that they are not in the fleet."""
    page = render_page(fleet(tmp_path, 2, MOST_DRAWN + 3)).decode()
    assert all(f"| m {c}-{m} |" in page.replace("\\", "") for c in range(2) for m in range(MOST_DRAWN + 3))


def test_how_a_member_comes_in_is_on_the_page(tmp_path: Path) -> None:
    """Who looks for the hosts that need a pre-shared key would not find them."""
    (tmp_path / "acme.toml").write_text(
        '[fleet]\nname = "acme"\nservers = [{ address = "198.18.0.1:8080" }]\npsk = true\n'
        '[cluster.red]\nnetwork = "10.0.1.0/24"\n[cluster.red.member.a]\n'
        '[cluster.red.member.b]\npsk = false\n[cluster.red.member.c]\ntier = "shared"\n'
    )
    page = render_page(load_inventory(tmp_path / "acme.toml")).decode()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    assert {row[0]: row[3] for row in rows[-3:]} == {"a": "key and psk", "b": "key", "c": "shared"}


def test_the_same_inventory_gives_the_same_bytes() -> None:
    """Every run would be a change for version control."""
    inventory = load_inventory(ROOT / "inventory" / "demo.toml")
    again = load_inventory(ROOT / "inventory" / "demo.toml")
    assert (render_page(inventory), render_picture(inventory)) == (render_page(again), render_picture(again))


def test_a_name_is_never_markup(tmp_path: Path) -> None:
    """A name with a bar would shift a table, one with a tag run in somebody's browser."""
    inventory = fleet(tmp_path, 1, 2, NASTY)
    page = render_page(inventory).decode()
    for line in page.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 6)
    assert "<script>" not in page
    picture = ET.fromstring(render_picture(inventory))
    texts = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert any(text.startswith(NASTY) for text in texts)


def test_boxes_stand_inside_the_picture_and_apart(tmp_path: Path) -> None:
    """A picture of a real fleet would be a heap."""
    for clusters, members in ((1, 1), (3, 4), (MOST_CLUSTERS + 2, MOST_DRAWN + 5)):
        picture = draw(fleet(tmp_path, clusters, members))
        frames = [box for box in picture.boxes if box.fill in ("#d7e8ff", "#f4f6fa")]
        for box in picture.boxes:
            assert box.x >= 0 and box.x + box.width <= picture.width
            assert box.y >= 0 and box.y + box.height <= picture.height
        for one in frames:
            for other in frames:
                apart = one is other or one.x + one.width <= other.x or other.x + other.width <= one.x
                assert apart or one.y + one.height <= other.y or other.y + other.height <= one.y


def test_a_fleet_without_clusters_has_a_picture(tmp_path: Path) -> None:
    """The first gen-config of a new fleet would end in a traceback."""
    ET.fromstring(render_picture(fleet(tmp_path, 0, 0)))
    assert b"0 clusters, 0 members" in render_page(fleet(tmp_path, 0, 0))
