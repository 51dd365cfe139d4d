"""`--profile`: what the processes on the way do while a row's load runs, once more and apart from the figures.

Rules of this module
  1. Nothing that is reported as a figure is measured under a profiler.
  2. py-spy reads Python processes from outside (functions of rustun); perf reads any (kernel and C, no Python names).
     What is missing is said in the report, with the command that brings it.
  3. A profiler that fails costs its own profile and nothing else.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from netlab.bench.costs import family
from netlab.bench.flame import Stacks
from netlab.bench.rows.row import Row
from netlab.bench.variants import FLEETS, RECEIVER, SENDER, Place
from netlab.lab import Laboratory
from netlab.topology import SERVER

PER_SECOND: Final = 250
LEAST_SECONDS: Final = 4.0  # perf needs up to one until it looks
ON_THE_WAY: Final = (SERVER, SENDER, RECEIVER)
PATIENCE_SECONDS: Final = 60.0  # for a profiler to write what it has
NO_PROFILER: Final = "neither py-spy (pip install py-spy) nor perf (apt-get install linux-perf) is there"
NO_PERF: Final = "perf is not there (apt-get install linux-perf), and py-spy reads only Python"


@dataclass(frozen=True, slots=True)
class Profile:
    """Samples of one process while a row's load ran; `tool` took them."""

    row: str
    variant: str
    node: str
    tool: str
    stacks: Stacks


def take(row: Row, places: Mapping[str, Place], seconds: float, skipped: dict[str, str]) -> list[Profile]:
    """Run a row's load once more for each variant that has processes, and return what these did meanwhile.

    Args:
        skipped: profiles that are not to be had are added, with the reason.
    """
    found: list[Profile] = []
    for variant, place in places.items():
        if not isinstance(place, Laboratory) or not place.processes:
            continue
        tool = _tool(variant)
        if tool is None:
            skipped[f"profile of {variant}"] = NO_PROFILER if variant in FLEETS else NO_PERF
            continue
        found += _profiles(row, variant, place, tool, seconds, skipped)
    return found


def _tool(variant: str) -> str | None:
    """Return the program that reads a variant's processes best, None where there is none."""
    beside = Path(sys.executable).with_name("py-spy")
    spy = shutil.which("py-spy") or (str(beside) if beside.exists() else None)
    return spy if spy is not None and variant in FLEETS else shutil.which("perf")


def _profiles(
    row: Row, variant: str, lab: Laboratory, tool: str, seconds: float, skipped: dict[str, str]
) -> Iterator[Profile]:
    name = Path(tool).name
    with TemporaryDirectory() as folder, ExitStack() as stack:
        files = {node: Path(folder, f"{node}.out") for node in ON_THE_WAY if node in lab.processes}
        profilers = {
            node: stack.enter_context(_profiler(tool, lab.processes[node].pid, file)) for node, file in files.items()
        }
        row.take(lab, max(seconds, LEAST_SECONDS))
        for profiler in profilers.values():
            profiler.send_signal(signal.SIGINT)
        for node, profiler in profilers.items():
            _, complaint = profiler.communicate(timeout=PATIENCE_SECONDS)
            if not files[node].exists():
                skipped[f"profile of {row.name} {variant} {node}"] = f"{name}: {complaint.strip()[-200:]}"
                continue
            stacks = spied(files[node].read_text()) if name == "py-spy" else _perf_stacks(tool, files[node])
            yield Profile(row.name, variant, node, name, stacks)


def _profiler(tool: str, pid: int, file: Path) -> subprocess.Popen[str]:
    if Path(tool).name == "py-spy":
        options = ["--rate", str(PER_SECOND), "--format", "raw", "--output", str(file), "--pid", str(pid)]
    else:
        options = ["-F", str(PER_SECOND), "-g", "-o", str(file), "-p", ",".join(map(str, family(pid)))]
    output = subprocess.PIPE
    return subprocess.Popen([tool, "record", *options], stdout=subprocess.DEVNULL, stderr=output, text=True)


def _perf_stacks(tool: str, file: Path) -> Stacks:
    command = [tool, "script", "-i", str(file), "-F", "comm,ip,sym"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return perf_samples(done.stdout)


def spied(text: str) -> Stacks:
    """Return the stacks of py-spy's raw format: a line for each stack, functions by semicolon, then how often."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        functions, _, samples = line.rpartition(" ")
        if functions and samples.isdigit():
            stacks[tuple(functions.split(";"))] += int(samples)
    return stacks


def perf_samples(text: str) -> Stacks:
    """Return the stacks of `perf script -F comm,ip,sym`: a program's name, then functions, the innermost first."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        if lines:
            functions = [line.split(maxsplit=1)[-1].strip() for line in reversed(lines[1:])]
            stacks[(lines[0].strip(), *functions)] += 1
    return stacks
