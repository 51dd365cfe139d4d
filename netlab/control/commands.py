"""The commands of a laboratory that stays up: each talks to its keeper and prints what a person wants to know."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from netlab import kernel
from netlab.configuration import Choice, load
from netlab.control import runfolder
from netlab.control.asking import ask, refusal
from netlab.control.runfolder import CONTROL, KEEPER_LOG, RunFolder
from netlab.errors import EXIT_OK, EXIT_UNEXPECTED, BadInput, ExpectationFailed
from netlab.machines import groups
from netlab.matrix import combinations
from netlab.namespaces import need_tun_device
from netlab.processes import CHECKOUT, environment
from netlab.sampling import need_room
from netlab.waiting import readable
from rustun.ops.fleet import Inventory

SCHEMA: Final = 1
DOWN_SECONDS: Final = 30.0  # of silence; what it does meanwhile, such as lab-apply, is not waited for longer
ANSWER_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.02


def up(inventory: Path, name: str, build: Path, limit: str, *, matrix: bool, as_json: bool) -> int:
    """Bring up a laboratory of what a limit names; with `matrix` one for each combination, all beside each other."""
    began = monotonic()
    need_tun_device()
    fleet = load(inventory)
    chosen = [Choice(limit, one.name) for one in combinations(fleet)] if matrix else [Choice(limit)]
    if chosen == [Choice(limit)] and matrix:
        raise BadInput(f"{inventory}: there is no [lab.matrix]", 'as in cipher = ["aes256", "chacha20"]')
    taken = chosen[0].of(fleet)
    need_room(taken.inventory, len(chosen))
    if words := taken.words():
        print(f"  limit       {words}", file=sys.stderr if as_json else sys.stdout, flush=True)
    names = []
    for choice in chosen:
        names.append("-".join(filter(None, (name or fleet.name, choice.combination))))
        options = [f"--limit={choice.limit}", f"--combination={choice.combination}"]
        _up(inventory, names[-1], build, options, quiet=as_json)
    if as_json:
        _tell_up(names, inventory, began)
    return EXIT_OK


def up_machines(inventory: Path, name: str, build: Path, *, as_json: bool) -> int:
    """Bring up a laboratory of real machines."""
    began = monotonic()
    need_tun_device()
    fleet = load(inventory)
    _prepare_machines(fleet)
    _up(inventory, name or fleet.name, build, ["--machines"], quiet=as_json)
    if as_json:
        _tell_up([name or fleet.name], inventory, began)
    return EXIT_OK


def _tell_up(names: Sequence[str], inventory: Path, began: float) -> None:
    facts = {"laboratories": names, "inventory": str(inventory), "seconds": round(monotonic() - began, 2)}
    print(json.dumps({"schema": SCHEMA, **facts}, indent=2))


def _up(inventory: Path, name: str, build: Path, options: Sequence[str], *, quiet: bool) -> None:
    """Start a keeper and follow it until its laboratory is up."""
    folder, held = runfolder.take(name)
    keeper, events = _start_keeper(inventory, folder, held, build, options)
    os.close(held)
    try:
        came_up = _follow(events, folder)
    except KeyboardInterrupt:  # of this command alone: the keeper has a session of its own
        keeper.terminate()
        keeper.wait()
        folder.remove()
        raise
    if not came_up:
        raise ExpectationFailed((folder.path / KEEPER_LOG).read_text().strip() or "the keeper ended without a word")
    if not quiet:
        print(f"{folder.name} is up: ./invoke lab-status, ./invoke lab-exec NODE -- COMMAND, ./invoke lab-down")


def _prepare_machines(fleet: Inventory) -> None:
    """See that real machines can be made from a fleet; make what is made once."""
    from netlab.machines import image, network, rehearsal, tools, wheels

    network.plan(rehearsal.machines_of(fleet))
    tools.require()
    wheels.fetch(image.prepare(), web=fleet.has_web)


def _start_keeper(
    inventory: Path, folder: RunFolder, held: int, build: Path, options: Sequence[str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the keeper, which inherits what holds the folder; return it, and the reading end of its events."""
    reading, writing = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control, (folder.path / KEEPER_LOG).open("wb") as log:
        control.bind(str(folder.path / CONTROL))
        control.listen()
        command = [sys.executable, "-m", "netlab", "keep", "--inventory", str(inventory.absolute())]
        command += ["--build", str(build.absolute()), *options]
        command += ["--folder", str(folder.path), "--control", str(control.fileno()), "--events", str(writing)]
        keeper = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(control.fileno(), writing, held),
        )
    os.close(writing)
    return keeper, reading


def _follow(events: int, folder: RunFolder) -> bool:
    """Print events until the laboratory is up (True) or the keeper has ended without that."""
    with os.fdopen(events) as lines:
        for line in lines:
            event = json.loads(line)
            print(f"  {folder.name}: {event['text']}", file=sys.stderr)
            if event["event"] == "up":
                return True
    return False


def down(name: str, *, as_json: bool) -> int:
    """Take a laboratory down and say whether anything was left."""
    folder = runfolder.find(name)
    began = monotonic()
    left = take_down(folder)
    seconds = monotonic() - began
    if as_json:
        facts = {"laboratory": folder.name, "left": left, "seconds": round(seconds, 2)}
        print(json.dumps({"schema": SCHEMA, **facts}, indent=2))
    else:
        verdict = "; ".join(left) or "clean: no namespace, device, process or socket left"
        print(f"{folder.name} is down in {seconds:.1f} s, {verdict}")
    return EXIT_UNEXPECTED if left else EXIT_OK


def take_down(folder: RunFolder) -> list[str]:
    """Take a laboratory down, or remove what a dead one left; return what was not in order, in words."""
    left = ["its keeper was dead already"]
    if folder.alive:
        try:
            answer = ask(folder, {"do": "down"}, DOWN_SECONDS)
        except ExpectationFailed:
            _kill(folder)
            answer = {"left": ["its keeper did not answer and was killed"]}
        if "error" in answer:
            raise refusal(answer)
        left = answer["left"] + _see_end(folder)
    folder.remove()
    return left


def _kill(folder: RunFolder) -> None:
    """Kill a keeper, and with it all of its laboratory. Raises ExpectationFailed: nobody knows it, or it stays."""
    owner = folder.owner()
    if owner is None or owner.pid <= 1:
        raise ExpectationFailed(f'laboratory "{folder.name}" is still coming up', "end its lab-up by ctrl-C")
    with suppress(ProcessLookupError):
        os.kill(owner.pid, signal.SIGKILL)
    deadline = monotonic() + DOWN_SECONDS
    while folder.alive:
        if monotonic() > deadline:
            raise ExpectationFailed(f'laboratory "{folder.name}" is held by somebody', f"fuser {folder.path}")
        readable((), LOOK_SECONDS)


def _see_end(folder: RunFolder) -> list[str]:
    """Wait for the end of a keeper that has answered; return what was left over, in words."""
    owner = folder.owner()
    try:
        watched = os.pidfd_open(owner.pid if owner is not None else 0)
    except OSError:  # it has ended already
        return []
    ended = readable((watched,), DOWN_SECONDS)
    if not ended:
        signal.pidfd_send_signal(watched, signal.SIGKILL)
    os.close(watched)
    return [] if ended else ["its keeper had to be killed"]


def sweep(*, as_json: bool) -> int:
    """Remove what the dead left and the kernel has not removed: folders of laboratories, control groups of machines."""
    done = _sweep_groups() if os.geteuid() == 0 else []
    done += [f"removed {folder.path}" for folder in runfolder.sweep()]
    print(json.dumps({"schema": SCHEMA, "done": done}, indent=2) if as_json else "\n".join(done) or "nothing to sweep")
    return EXIT_OK


def _sweep_groups() -> list[str]:
    """Look for control groups from a mount namespace of this process's own; where none can be, none were made."""
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
        groups.mount()
    except OSError:
        return []
    return groups.sweep()
