"""The dashboard of a real relay, while traffic runs through it in a laboratory."""

from __future__ import annotations

import re
import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from netlab.handle import RunningLab
from tests.browser.conftest import Open
from tests.browser.serving import TOKEN, Dashboard

CONTROL = "run/rustun/server.sock"


def socket_of(lab: RunningLab) -> Path:
    """Return the relay's control socket as this process reaches it: through process 1 of the laboratory."""
    owner = lab.folder.owner()
    assert owner is not None
    below = [owner.pid]
    for pid in below:
        found = Path("/proc", str(pid), "root", CONTROL)
        if found.exists():
            return found
        below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    raise AssertionError(f"no process of {lab.name} sees {CONTROL}")


class Passage(socketserver.ThreadingUnixStreamServer):
    """A socket outside of a laboratory that leads to one inside: the web process may not look into other processes."""

    daemon_threads = True

    def __init__(self, here: Path, there: Path) -> None:
        self.there = there
        super().__init__(str(here), _Through)


class _Through(socketserver.StreamRequestHandler):
    server: Passage

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as inside:
            inside.connect(str(self.server.there))
            inside.sendall(self.rfile.readline())
            with inside.makefile("rb", buffering=0) as answer:
                try:
                    shutil.copyfileobj(answer, self.wfile)
                except (BrokenPipeError, ConnectionResetError):
                    pass


@pytest.fixture
def beside(lab: RunningLab, tmp_path: Path) -> Iterator[Dashboard]:
    """The web process of the laboratory's relay."""
    passage = Passage(tmp_path / "control.sock", socket_of(lab))
    threading.Thread(target=passage.serve_forever, args=(0.02,)).start()
    one = Dashboard(tmp_path / "control.sock", tmp_path)
    one.start()
    yield one
    one.stop()
    passage.shutdown()
    passage.server_close()


def verdicts_of(page: Page, dashboard: Dashboard, to: str, back: str) -> None:
    """Expect what the relay decides about packets to bj-dev and from there."""
    page.goto(f"{dashboard.url}/#/reach")
    for sender, receiver, verdict in (("bj-office-gw", "bj-dev", to), ("bj-dev", "bj-office-gw", back)):
        cell = page.get_by_role("button", name=f"{sender} → {receiver}: ")
        expect(cell).to_have_text(verdict)
        cell.click()
        expect(page.get_by_role("heading", name=f"{sender} → {receiver}")).to_be_visible()
        expect(page.locator(".steps")).to_contain_text("routes.json:")


@pytest.mark.lab(limit="beijing", timeout=90)
def test_traffic_and_a_lost_member_are_seen_while_they_happen(lab: RunningLab, beside: Dashboard, opened: Open) -> None:
    """What tests with a pretended relay show would not be what a real one tells."""
    page = opened(beside, token=TOKEN, place="#/member/bj-dev")
    expect(page.get_by_text("online").first).to_be_visible()
    flow = page.locator("dt", has_text="In (from members)").locator("+ dd")
    words = ("ping", "-q", "-c", "1500", "-i", "0.002", "-s", "1300", "10.0.1.1")
    sending = threading.Thread(target=lab.run, args=("bj-dev", *words))
    sending.start()
    try:
        expect(flow).to_have_text(re.compile(r"\d [kM]bit/s"))
    finally:
        sending.join()
    page.goto(f"{beside.url}/#/topology")
    expect(page.get_by_role("link", name="bj-dev")).to_contain_text("10.0.1.2")
    verdicts_of(page, beside, "✓ passes", "✓ passes")
    page.goto(f"{beside.url}/#/events")
    up = page.get_by_role("row").filter(has_text="session-up").filter(has=page.get_by_role("link", name="bj-dev"))
    expect(up).to_contain_text("tier=")
    lab.run("bj-dev", "pkill", "-TERM", "-f", "client-bj-dev.toml")
    page.get_by_label("Which events").select_option("audit")
    expect(page.get_by_role("row").filter(has_text="session-closed")).to_contain_text("bj-dev")
    expect(page.get_by_role("row").filter(has_text="listening")).to_have_count(0)
    page.goto(f"{beside.url}/#/topology")
    expect(page.get_by_role("link", name="bj-dev")).to_contain_text("offline")
    verdicts_of(page, beside, "✕ offline", "✕ not connected")
