"""A machine without what a laboratory needs: each command that makes one says so, and ends with 4."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from netlab import kernel
from netlab.processes import CHECKOUT, environment
from tests.netlab.private_namespace import in_private_namespace

DEMO = str(CHECKOUT / "inventory" / "demo.toml")
MAKERS = (
    f"up --inventory {DEMO}",
    f"demo --inventory {DEMO}",
    f"lab-demo --inventory {DEMO}",
    f"policy --inventory {CHECKOUT / 'inventory' / 'example'}",
    "run roaming",
    "bench --quick --only lab",
    "doctor",
)
REMEDY = "modprobe tun; in a container: --device /dev/net/tun"
LIMIT_S = 300.0  # only reached where something hangs


@in_private_namespace
def test_without_tun_devices_every_maker_ends_with_4_and_says_how_to_mend_it() -> None:
    """CI would take a machine that cannot run a test for a product that fails it."""
    kernel.mount("none", "/dev/net", "tmpfs", 0, "")
    with tempfile.TemporaryDirectory() as build:
        program = [sys.executable, "-m", "netlab"]
        started = {
            words: subprocess.Popen(
                [*program, *words.split(), *([] if words == "doctor" else ["--build", str(Path(build, str(number)))])],
                cwd=build,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number, words in enumerate(MAKERS)
        }
        ended = {
            words: (*process.communicate(timeout=LIMIT_S), process.returncode) for words, process in started.items()
        }
    for words, (told, complained, code) in ended.items():
        assert code == 4, (words, told, complained)
        assert REMEDY in (told if words == "doctor" else complained), words
        assert "Traceback" not in complained, words
