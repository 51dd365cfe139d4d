"""A laboratory that stays up, watched: a capture of it until it ends, and its picture."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from netlab.capture.command import Order
from netlab.picture import sequence
from netlab.picture.echoes import ECHOES
from netlab.processes import environment


def begin_capture(lab: str, file: Path) -> subprocess.Popen[str]:
    """Begin to capture echoes at a member and its cable; return the process once it listens."""
    order = Order(lab, "bj-dev,server-bj-dev", "icmp", str(file), as_json=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "netlab.capture.command", json.dumps(asdict(order))],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("capturing at 3 interfaces of "), said
    return process


def check_impatient_end(lab: str, file: Path) -> None:
    """See that a capture which is told to end again and again, to its last moment, ends well."""
    process = begin_capture(lab, file)
    until = monotonic() + 10
    while process.poll() is None and monotonic() < until:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.001)
    told, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, "")
    assert not json.loads(told)["laboratory_ended"]


def check_picture(lab: str) -> None:
    """See that the picture shows every member's state, and cables that lose nothing."""
    command = [sys.executable, "-m", "netlab.picture.command", lab, "text"]
    drawn = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    assert drawn.startswith(f"{lab}: running: 1 server, 4 members, 1 LAN host\n")
    assert "4 of 4 online" in drawn
    assert drawn.count("● online") == 4
    assert drawn.count("ms, 0 % lost") == 4


def check_capture(process: subprocess.Popen[str], file: Path) -> None:
    """See that the capture has ended with the laboratory, and holds the echoes of the picture on their way."""
    told, complaints = process.communicate(timeout=10)
    assert (process.returncode, complaints) == (0, "")
    document = json.loads(told)
    assert document["laboratory_ended"]
    assert {tap["tap"]: tap["received"] for tap in document["taps"]}["bj-dev:eth0"] == 2 * ECHOES
    assert sum(tap["dropped"] for tap in document["taps"]) == 0
    ways = [[one.tap.name for one in trail.sightings] for trail in sequence.arrange(*sequence.read(file)).rows]
    assert ways.count(["bj-dev:eth0", "server:m2"]) == ways.count(["server:m2", "bj-dev:eth0"]) == ECHOES
