"""Nobody makes a reader busy, or large, by what he sends or writes."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.sources import ROOT


def test_inputs_made_to_cost_much_cost_little() -> None:
    """A crafted message stops the relay for everybody, or a broken file a server's start, for seconds or for ever."""
    command = [sys.executable, "-m", "tests.fuzz.hostile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    last = done.stdout.rpartition("\n")[0].rpartition("\n")[2]
    assert done.returncode == 0, f"ended with {done.returncode} while it read {last}\n{done.stderr}"
    assert int(done.stderr.split()[0]) > 4000
