"""Questions and answers between the toolkit and a host: lines of JSON.

One request is answered before the next one is read:

    {"ask": "facts", "units": [...]}                                       -> {"facts": {...}}
    {"ask": "read", "paths": [...]}                                        -> {"files": {path: Base64 or null}}
    {"ask": "apply", "expect": N, "steps": [...], "manifest": {...}, "blobs": [[digest, size], ...]} + their bytes
        -> {"begin": n}, {"done": n, "changed": true} ..., {"end": "done" | "failed" | "refused", ...}
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from typing import BinaryIO

from rustun.ops.deploy.far.execution import INCOMING, Execution, Report
from rustun.ops.deploy.far.facts import facts, generations, read
from rustun.ops.deploy.far.system import CONFIG, RELEASES, STATE, Json, StepError, System


def main() -> None:
    """Talk with whoever is on the other side of the standard input and output."""
    os.umask(0o022)
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):  # rule 5: who hangs up does not end a change
        signal.signal(ignored, signal.SIG_IGN)
    converse(System(), sys.stdin.buffer, sys.stdout.buffer)


def converse(system: System, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until nobody asks any more."""

    def answer(document: Json) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody listens any more: the work goes on
            answers.write(json.dumps(document).encode() + b"\n")
            answers.flush()

    while line := requests.readline():
        request = json.loads(line)
        if request["ask"] == "facts":
            answer({"facts": facts(system, request["units"])})
        elif request["ask"] == "read":
            answer({"files": read(system, request["paths"])})
        else:
            end = apply(system, request, requests, answer)
            answer(end)
            if end["end"] == "refused":  # bytes that belong to it may still be on their way
                return


def apply(system: System, request: Json, requests: BinaryIO, report: Report) -> Json:
    """Take the steps of a request; return how it ended."""
    try:
        with locked(system):
            receive(system, request["blobs"], requests)
            newest = max((entry["number"] for entry in generations(system)), default=0)
            if newest != request["expect"]:
                raise StepError(
                    f"generation {newest} is there, the plan was made for {request['expect']}",
                    "somebody else deployed meanwhile: look at a new plan",
                )
            return Execution(system, request["manifest"], report).run(request["steps"])
    except StepError as error:
        return {"end": "refused", "reason": error.reason, "remedy": error.remedy}
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return {"end": "refused", "reason": f"{place}{error.strerror or error}", "remedy": "see the room on the disk"}


@contextlib.contextmanager
def locked(system: System) -> Iterator[None]:
    """Hold this host's lock, with the folders that everything else stands in. Raises: StepError: somebody has it."""
    for path in (STATE, RELEASES, CONFIG):
        os.makedirs(system.at(path), exist_ok=True)
    os.chmod(system.at(STATE), 0o700)
    descriptor = os.open(system.at(f"{STATE}/lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StepError("another deployment is at work on this host", "wait for it, then deploy again") from None
        try:
            yield
        finally:
            shutil.rmtree(system.at(INCOMING), ignore_errors=True)
    finally:
        os.close(descriptor)


def receive(system: System, blobs: list[tuple[str, int]], requests: BinaryIO) -> None:
    """Write what a request brings to the disk. Raises: StepError: the connection ended early, or bytes changed."""
    folder = system.at(INCOMING)
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)
    for digest, size in blobs:
        seen, left = hashlib.sha256(), size
        descriptor = os.open(os.path.join(folder, digest), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            while left and (piece := requests.read(min(left, 1 << 20))):
                seen.update(piece)
                file.write(piece)
                left -= len(piece)
        if left or seen.hexdigest() != digest:
            raise StepError("what was sent did not arrive whole", "deploy again")
