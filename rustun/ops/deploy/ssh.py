"""Hosts over SSH: the operator's own `ssh`, one process and one connection per host.

Rules of this module
  1. Whatever `ssh HOST` does at a prompt happens here: ssh_config with all it knows, agents and hardware keys, jump
     hosts, known_hosts. Nothing is asked (BatchMode), and an unknown host key is refused, not taken.
  2. A host that cannot be reached, or stops to answer, is an `Unreachable` with a reason; never another exception.
  3. What a host says is checked (told.py), and of what it says without end only so much is kept.
  4. Ctrl-C does not reach the ssh processes: what happens to a host under way is decided in rollout.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, cast

from rustun.ops.deploy.bundle import COMMAND, bundle
from rustun.ops.deploy.records import Json
from rustun.ops.deploy.told import ENDS, FILES, nonsense, whole
from rustun.ops.destination import destination_words

CONNECT_SECONDS: Final = 10
SILENT_SECONDS: Final = 15  # without a sign of life from its ssh server a connection is dead
FACTS_SECONDS: Final = 60.0  # from starting ssh to the facts: a host with a slow disk and many services
ENDING_SECONDS: Final = 2.0  # for ssh to end when the far end has
APPLY_SECONDS: Final = 600.0  # a release on a slow host; a step has its own limit there
MAX_ANSWER_BYTES: Final = 64 << 20  # facts of a server with 10,000 members and pre-shared keys have half of that
SAID_SECONDS: Final = 0.5  # for them to be read; a master of ssh may hold the pipe for ever
SAID_PIECES: Final = 16  # of ssh's last words
SAID_BYTES: Final = 4096  # of each piece
OPTIONS: Final = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    "ServerAliveInterval": str(SILENT_SECONDS // 3),
    "ServerAliveCountMax": "3",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "RequestTTY": "no",
}
REMEDIES: Final = (  # what ssh, the shell or sudo say -> what to do
    (
        "Host key verification failed",
        "its key is not the known one, or not known: compare it, then run `ssh {ssh}` once",
    ),
    ("Permission denied", "your key is not accepted there: see `ssh -v {ssh}`"),
    ("python3: not found", "install python3 (3.11 or newer) there"),
    ("python3: command not found", "install python3 (3.11 or newer) there"),
    ("a password is required", "log in as root, or allow sudo without a password there"),
    ("Could not resolve hostname", "see `ssh` of this member or server in the inventory"),
    ("Connection timed out", "is it up, and is this the right address?"),
    ("Connection refused", "is an ssh server running there?"),
    ("No route to host", "is it up, and is this the right address?"),
)


class Unreachable(Exception):
    """A host that does not answer, or no more: why, and what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class Far:
    """The far end of one host.

    Args:
        reader, writer: pipes to a conversation (far/conversation.py).
        give_up: has a reader that waits see the end; called from another thread.
        hang_up: ends the connection; returns why it has ended.
    """

    def __init__(
        self, reader: BinaryIO, writer: BinaryIO, give_up: Callable[[], None], hang_up: Callable[[], Unreachable]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._give_up = give_up
        self._hang_up = hang_up

    def facts(self, units: Iterable[str]) -> Json:
        """Return the facts of the host. Raises: Unreachable, after which nothing more can be asked."""
        answer = next(self._ask({"ask": "facts", "units": list(units)}, (), FACTS_SECONDS)).get("facts")
        if found := list(nonsense(answer)):
            raise self._senseless(f"what it tells of itself makes no sense: {', '.join(found)}")
        return cast(Json, answer)

    def read(self, paths: Iterable[str]) -> dict[str, bytes | None]:
        """Return the bytes of files, None for those that are not there. Raises: Unreachable."""
        wanted = list(paths)
        found = next(self._ask({"ask": "read", "paths": wanted}, (), FACTS_SECONDS)).get("files")
        if not FILES(found):
            raise self._senseless("what it tells of its files makes no sense")
        texts = cast(dict[str, str | None], found)
        try:
            return {path: None if (text := texts.get(path)) is None else base64.b64decode(text) for path in wanted}
        except ValueError:
            raise self._senseless("what it tells of its files makes no sense") from None

    def apply(self, request: Json, blobs: Mapping[str, bytes], report: Callable[[Json], None]) -> Json:
        """Have steps taken, and return how that ended.

        Args:
            request: `expect`, `steps` and `manifest`.
            blobs: what the steps need and the host does not have, by digest.
            report: called with each sign of progress.
        Raises: Unreachable: the host ends what it began by itself, and is then before or after.
        """
        sizes = [[digest, len(data)] for digest, data in blobs.items()]
        is_step = whole(0, len(request["steps"]) - 1)
        for answer in self._ask({"ask": "apply", **request, "blobs": sizes}, blobs.values(), APPLY_SECONDS):
            end = answer.get("end")
            if isinstance(end, str) and end in ENDS and ENDS[end](answer):
                return answer
            if end is not None or not is_step(answer.get("begin", answer.get("done"))):
                raise self._senseless("what it tells of the steps makes no sense")
            report(answer)
        raise self._hang_up()

    def give_up(self) -> None:
        """Have whoever waits for an answer of this host see the end; called from another thread."""
        self._give_up()

    def close(self) -> None:
        """End the connection; a second call is harmless."""
        self._hang_up()

    def _ask(self, request: Json, blobs: Iterable[bytes], seconds: float) -> Iterator[Json]:
        limit = threading.Timer(seconds, self._give_up)
        limit.daemon = True
        limit.start()
        try:
            self._writer.write(json.dumps(request).encode() + b"\n")
            for data in blobs:
                self._writer.write(data)
            self._writer.flush()
            while line := self._reader.readline(MAX_ANSWER_BYTES):
                answer = json.loads(line)
                if not isinstance(answer, dict):
                    raise self._senseless("what it answers makes no sense")
                yield answer
        except (OSError, ValueError, RecursionError) as error:
            raise self._hang_up() from error
        finally:
            limit.cancel()
        raise self._hang_up()

    def _senseless(self, reason: str) -> Unreachable:
        """End the connection to a host that tells what cannot be; return why."""
        self._hang_up()
        return Unreachable(reason, "is this the right host, and still yours alone?")


def connect(ssh: str, config: Path | None = None) -> Far:
    """Connect to a host and start its far end.

    Args:
        ssh: user@host:port, or whatever else `ssh` takes.
        config: an ssh_config to use instead of the user's own.
    Raises: Unreachable.
    """
    connection = _Connection(ssh, command_line(ssh, config))
    far = Far(connection.reader, connection.writer, connection.give_up, connection.hang_up)
    try:
        connection.writer.write(bundle())
        connection.writer.flush()
    except OSError:
        raise connection.hang_up() from None
    return far


class _Connection:
    """One ssh process; what it says of itself is read when it is gone."""

    def __init__(self, ssh: str, words: list[str]) -> None:
        self._ssh = ssh
        self._end: Unreachable | None = None
        self._too_slow = False
        self._said: deque[bytes] = deque(maxlen=SAID_PIECES)
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise Unreachable(f"ssh cannot be started: {error.strerror}", "install OpenSSH's client") from error
        self.reader = cast(BinaryIO, self._process.stdout)
        self.writer = cast(BinaryIO, self._process.stdin)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        """Keep the last of what ssh and the host's programs say beside the answers."""
        with cast(BinaryIO, self._process.stderr) as stream:
            while piece := stream.read1(SAID_BYTES):  # type: ignore[attr-defined]  # Popen's pipe is a BufferedReader
                self._said.append(piece)

    def give_up(self) -> None:
        """Have whoever waits for an answer see the end, from another thread."""
        self._too_slow = True
        self._process.terminate()

    def hang_up(self) -> Unreachable:
        """End the process if it has not ended itself, and return why it has."""
        if self._end is None:
            with contextlib.suppress(OSError):
                self.writer.close()  # the far end sees it, and goes
            try:
                self._process.wait(ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self.reader.close()
            self._listener.join(SAID_SECONDS)
            self._end = _explain(self._ssh, b"".join(self._said).decode(errors="replace"), too_slow=self._too_slow)
        return self._end


def command_line(ssh: str, config: Path | None) -> list[str]:
    """Return the words that reach a host and start its far end."""
    words = ["ssh", *(word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}"))]
    if config is not None:
        words += ["-F", str(config)]
    return [*words, *destination_words(ssh), COMMAND]


def _explain(ssh: str, said: str, *, too_slow: bool) -> Unreachable:
    """Return what ssh's last words mean."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for part, remedy in REMEDIES:
        for line in lines:
            if part in line:
                return Unreachable(line, remedy.format(ssh=ssh))
    if lines:
        return Unreachable(lines[-1], f"see `ssh {ssh}`")
    return Unreachable("no answer in time" if too_slow else "the connection ended", f"see `ssh {ssh}`")
