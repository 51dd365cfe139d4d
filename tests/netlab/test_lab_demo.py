"""`lab-demo`, whole: a slip in routes.json is found by packets, explained down to its line, mended, and reported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from netlab.processes import CHECKOUT, environment

LIMIT_S = 300.0  # only reached where something hangs


def test_a_slip_is_found_explained_and_mended(tmp_path: Path) -> None:
    """What people try first to see what the laboratory is for would fail, or say less than it promises."""
    command = [sys.executable, "-m", "netlab", "lab-demo", "--inventory", str(CHECKOUT / "inventory" / "demo.toml")]
    command += ["--build", str(tmp_path), "--json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = json.loads(done.stdout)
    assert (story["failures"], story["left"], story["slip"]["gateway"]) == ([], [], "sh-office-gw")
    wrong, line = story["slip"]["wrong"], story["slip"]["line"]
    red = {(cell["from"], cell["to"]) for cell in story["broken"]["cells"] if cell["found"] == "!"}
    assert {("sh-db", "sh-printer"), ("sh-printer", "sh-db")} <= red
    for verdict in (story["before"], story["mended"]):
        assert (verdict["surprises"], verdict["unproven"]) == ([], [])
    told = ["\n".join(lines) for lines in story["explanations"]]
    assert all(
        f"routes.json says that sh-office-gw has {wrong}" in one for one in told if f"routes.json:{line}:" in one
    )
    report, lab, packets = map(Path, story["report"])
    assert "sh-db -> sh-printer: red" in report.read_text()
    assert lab.read_text().startswith("<svg")
    assert "echo request" in packets.read_text()
    assert f'"{wrong}"' not in (tmp_path / "lab-demo" / "demo" / "routes.json").read_text()
