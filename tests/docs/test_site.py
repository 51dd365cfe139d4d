"""The site: every page is there, every link leads somewhere, nothing comes from elsewhere."""

from __future__ import annotations

import html.parser
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import tasks
from rustun.cli.commands import main
from rustun.ops.exit_codes import BAD_INPUT, FAILED
from rustun.ops.handbook import building
from tests.docs.conftest import ROOT

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}  # without a click


class Reader(html.parser.HTMLParser):
    """Collects what a page links to and loads, and the names that others may link to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.names: set[str] = {""}
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element's attributes."""
        found = dict(attrs)
        self.names.add(found.get("id") or "")
        if tag == "a" and found.get("href"):
            self.links.append(found["href"] or "")
        if tag in LOADED and found.get(LOADED[tag]):
            self.loads.append(found[LOADED[tag]] or "")


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Reader]:
    """Every page of the site, read."""
    return {page: Reader(page) for page in sorted((built / "html").glob("*.html"))}


def local(page: Path, links: list[str]) -> Iterator[tuple[Path, str]]:
    """Yield file and name of each link that stays in the site."""
    for link in links:
        parts = urlsplit(link)
        if not parts.scheme and not parts.netloc:
            yield (page.parent / unquote(parts.path)).resolve() if parts.path else page, unquote(parts.fragment)


def test_every_document_command_and_file_has_a_page(built: Path) -> None:
    """A document would be written and found by nobody."""
    there = {page.stem for page in (built / "html").glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= there
    assert {f"rustun-{name}" for name in main.commands} <= there
    assert {"rustun", "commands", "tasks", "server-toml", "client-toml", "routes-json"} <= there


def test_every_link_leads_somewhere(pages: dict[Path, Reader]) -> None:
    """A reader would follow a link of the site to nothing."""
    resolved = {page.resolve(): reader for page, reader in pages.items()}
    broken = []
    for page, reader in resolved.items():
        for file, name in local(page, reader.links):
            if not file.exists() or (file in resolved and name not in resolved[file].names):
                broken.append(f"{page.name} -> {file.name}#{name}")
    assert broken == []
    assert sum(len(reader.links) for reader in resolved.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Reader]) -> None:
    """A page would tell somebody else who reads it, and be broken where there is no internet."""
    foreign = {load for reader in pages.values() for load in reader.loads if urlsplit(load).netloc}
    assert foreign == set()


def test_pictures_are_there_and_say_in_words_what_they_show(built: Path) -> None:
    """Who cannot see a picture would not know what it shows."""
    documents = "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for picture in (ROOT / "docs" / "images").iterdir():
        assert f"](images/{picture.name})" in documents, f"{picture.name} is shown nowhere"
    for picture in (ROOT / "docs" / "images").glob("*.svg"):
        assert (built / "html" / "_images" / picture.name).is_file(), f"{picture.name} is shown nowhere"
        assert "<title>" in picture.read_text()
        assert "http://" not in picture.read_text().replace("http://www.w3.org/2000/svg", "")


def test_a_link_to_nothing_ends_the_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A document could go out with links that lead nowhere."""
    documents = tmp_path / "docs"
    documents.mkdir()
    for name in ("conf.py", "configuration.md", "protocol.md"):
        shutil.copyfile(ROOT / "docs" / name, documents / name)
    (documents / "index.md").write_text("# Nothing\n\n[there](nowhere.md)\n")
    assert building.run(tmp_path, tasks.namespace) == FAILED
    assert "nowhere.md" in capfd.readouterr().err


def test_a_key_that_nobody_explained_ends_the_build(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A key would be in the program and in no document."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    document = tmp_path / "docs" / "configuration.md"
    document.write_text(document.read_text().replace("| `kill_switch` |", "| `kill_swich` |"))
    assert building.run(tmp_path, tasks.namespace) == BAD_INPUT
    assert "host_config.kill_switch" in capfd.readouterr().err
