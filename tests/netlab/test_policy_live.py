"""`policy-test --live`: assertions tried with packets between real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.netlab.isolation.test_policy import FLEET

ROOT = Path(__file__).parents[2]
POLICY = """
alice can reach gate
alice can reach 192.168.11.0/24      # seen so by the cluster; really 192.168.10.0/24
mallory can reach trent
nobody in blue can reach red
mallory cannot reach trent           # wrong on purpose
alice can reach 192.168.10.7         # wrong: the real side of a mapping
"""


def test_packets_say_what_holds_and_what_does_not(tmp_path: Path) -> None:
    """An operator would rehearse a change, see it pass, and let somebody in."""
    (tmp_path / "twins.toml").write_text(FLEET)
    (tmp_path / "twins.policy").write_text(POLICY)
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "netlab", "policy", "--json"]
    command += ["--inventory", str(tmp_path / "twins.toml"), "--build", str(tmp_path / "build")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5, done.stdout + done.stderr
    facts = json.loads(done.stdout)
    assert facts["left"] == []
    against = [one["against"] for one in facts["assertions"]]
    assert against[:4] == ["", "", "", ""]
    assert against[4] == "mallory (10.0.1.2) to 10.0.1.1: arrived at trent"
    assert against[5] == "alice (10.0.1.2) to 192.168.10.7: did not arrive"
