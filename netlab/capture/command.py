"""`lab-capture`: record what passes interfaces of a running laboratory.

The work is done by a process of its own (`python -m netlab.capture.command`), because only one with a single thread may
enter a user namespace. It ends with its time, with ctrl-C, or with the laboratory; the file is whole each time.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import quote

from netlab.capture.process import new_file
from netlab.capture.recorder import Recorder, Tally
from netlab.capture.taps import SNAP_BYTES, Wish, choose, open_taps, peers
from netlab.control import entrances, runfolder
from netlab.control.asking import demand
from netlab.control.runfolder import RunFolder
from netlab.ending import code_of
from netlab.errors import EXIT_OK, BadInput, EnvironmentLacks
from netlab.links.impairment import parse_duration
from netlab.processes import CHECKOUT, environment

SCHEMA: Final = 1
STANDARD_OUTPUT: Final = "-"
ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be captured, as typed.

    Attributes:
        laboratory: its name, "" for the only one.
        wanted: nodes, cables or interfaces, see taps.choose.
        file: "" for one of the laboratory's name, "-" for standard output.
        time: such as "10s", "" until somebody ends it.
        snap_bytes: how much of each packet is kept, 0 for all.
        last_bytes: see taps.Wish; no option of the task.
    """

    laboratory: str
    wanted: str
    filter: str = ""
    file: str = ""
    time: str = ""
    snap_bytes: int = SNAP_BYTES
    as_json: bool = False
    last_bytes: int = 0


def run(order: Order) -> int:
    """Capture; return the exit code."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is for the other process, which then finishes
    try:
        command = [sys.executable, "-m", "netlab.capture.command", json.dumps(asdict(order))]
        return subprocess.call(command, env=environment())
    finally:
        signal.signal(signal.SIGINT, before)


def _capture(order: Order) -> None:
    seconds = _seconds(order.time)
    folder = runfolder.find(order.laboratory)
    status = demand(folder, {"do": "status"})
    if "cables" not in status:
        raise BadInput(f"{folder.name} is a laboratory of real machines", "lab-exec NODE -- tcpdump works there")
    comment = f"laboratory {folder.name}: {order.wanted}"
    wish = Wish(choose(status, order.wanted), order.filter, order.snap_bytes, comment, peers(status), order.last_bytes)
    path = Path(order.file) if order.file else _default_file(folder.name, order.wanted)
    with ExitStack() as opened:
        ends = _ends(folder, opened)
        spaces = entrances.namespaces(folder, dict.fromkeys(tap.node for tap in wish.taps))
        taps = open_taps(wish, spaces)
        for space in spaces.values():
            space.close()  # a tap holds what it needs
        opened.callback(taps.close)
        to_pipe = order.file == STANDARD_OUTPUT
        output = sys.stdout.fileno() if to_pipe else opened.enter_context(new_file(path)).fileno()
        recorder = opened.enter_context(Recorder(taps, output))
        _announce(wish, folder.name, "standard output" if to_pipe else str(path), until=order.time)
        tallies = _record(recorder, ends, None if seconds is None else monotonic() + seconds, str(path))
        for number in ENDING:  # nothing is left to end, and the interpreter goes back to being killed by them
            signal.signal(number, signal.SIG_IGN)
        gone = bool(select.select(ends[:1], (), (), 0)[0])
    _tell(order, folder.name, "" if to_pipe else str(path), tallies, gone=gone)


def _seconds(time: str) -> float | None:
    try:
        return parse_duration(time) if time else None
    except ValueError as error:
        raise BadInput(f"--for: {error}") from error


def _default_file(laboratory: str, wanted: str) -> Path:
    folder = CHECKOUT / "build" / "captures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{quote(f'{laboratory}-{wanted}', safe=' ,:')[:100]}.pcapng"


def _ends(folder: RunFolder, opened: ExitStack) -> list[int]:
    """Return descriptors that become readable when the laboratory ends, and when somebody wants this to end."""
    owner = folder.owner()
    try:
        laboratory = os.pidfd_open(owner.pid if owner is not None else 0)
    except OSError as error:
        raise BadInput(f'laboratory "{folder.name}" has ended', "./invoke lab-up") from error
    wanted, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for descriptor in (laboratory, wanted, told):
        opened.callback(os.close, descriptor)
    signal.set_wakeup_fd(told)
    for number in ENDING:
        signal.signal(number, lambda *_: None)
    return [laboratory, wanted]


def _record(recorder: Recorder, ends: Sequence[int], until: float | None, file: str) -> list[Tally]:
    try:
        return recorder.record(ends, until)
    except BrokenPipeError:  # who read standard output has seen enough
        return []
    except OSError as error:
        raise EnvironmentLacks(f"{file}: {error.strerror}", "make room, or capture less: --filter, --snap") from error


def _announce(wish: Wish, laboratory: str, file: str, *, until: str) -> None:
    taps = f"{len(wish.taps)} interface{'s' * (len(wish.taps) > 1)} of {laboratory}"
    kept = f"the first {wish.snap_bytes} bytes of each packet" if wish.snap_bytes else "whole packets"
    which = f' that match "{wish.filter}"' if wish.filter else ""
    end = f"after {until}" if until else "with ctrl-C"
    print(f"capturing at {taps} into {file}: {kept}{which}; ends {end}", file=sys.stderr, flush=True)


def _tell(order: Order, laboratory: str, file: str, tallies: Sequence[Tally], *, gone: bool) -> None:
    size = Path(file).stat().st_size if file else None
    output = sys.stdout if file else sys.stderr
    if order.as_json:
        taps = [asdict(tally) for tally in tallies]
        document = {"schema": SCHEMA, "laboratory": laboratory, "file": file, "bytes": size, "laboratory_ended": gone}
        print(json.dumps({**document, "taps": taps}, indent=2), file=output)
        return
    print("\n".join(table(tallies)), file=output)
    if gone:
        print(f"the laboratory {laboratory} has ended", file=output)
    if file:
        print(f"{size or 0:,} bytes in {file}; ./invoke lab-sequence {file}")


def table(tallies: Sequence[Tally]) -> list[str]:
    """Return the lines of a table for people."""
    width = max((len(one.tap) for one in tallies), default=0) + 2
    lines = [f"{'tap':<{width}}{'received':>10}{'lost':>10}"]
    lines += [f"{one.tap:<{width}}{one.received:>10,}{one.dropped:>10,}" for one in tallies]
    lost = sum(one.dropped for one in tallies)
    if lost:
        lines.append(f"{lost:,} packets were lost: there was no time to take them; --filter or fewer taps help")
    return lines


def _main(order: str) -> int:
    _capture(Order(**json.loads(order)))
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(code_of("lab-capture", partial(_main, *sys.argv[1:])))
