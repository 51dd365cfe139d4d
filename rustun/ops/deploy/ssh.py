"""Hosts over SSH: the operator's own `ssh`, one process and one connection per host.

Rules of this module
  1. Whatever `ssh HOST` does at a prompt happens here: ssh_config with all it knows, agents and hardware keys, jump
     hosts, known_hosts. Nothing is asked (BatchMode), and an unknown host key is refused, not taken.
  2. A host that cannot be reached, or stops to answer, is an `Unreachable` with a reason; never another exception.
  3. Ctrl-C does not reach the ssh processes: what happens to a host under way is decided in rollout.py.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, cast

from rustun.ops.deploy.bundle import COMMAND, bundle
from rustun.ops.deploy.records import Json

CONNECT_SECONDS: Final = 10
SILENT_SECONDS: Final = 15  # without a sign of life from its ssh server a connection is dead
FACTS_SECONDS: Final = 60.0  # from starting ssh to the facts: a host with a slow disk and many services
ENDING_SECONDS: Final = 2.0  # for ssh to end when the far end has
APPLY_SECONDS: Final = 600.0  # a release on a slow host; a step has its own limit there
KEYS_OF_FACTS: Final = frozenset((
    "machine", "os", "arch", "libc", "libc_version", "pythons", "systemd", "clock", "free_bytes", "has_user",
    "releases", "current", "files", "folders", "units", "generations", "status",
))  # fmt: skip
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
WITH_PORT: Final = re.compile(r"(?P<host>.*\[[0-9A-Fa-f:.]+\]|[^:]*):(?P<port>[0-9]{1,5})")
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
        answer: Json = next(self._ask({"ask": "facts", "units": list(units)}, (), FACTS_SECONDS)).get("facts", {})
        if not answer.keys() >= KEYS_OF_FACTS:
            self._hang_up()
            raise Unreachable("what it tells of itself makes no sense", "is this the right host?")
        return answer

    def read(self, paths: Iterable[str]) -> dict[str, bytes | None]:
        """Return the bytes of files, None for those that are not there. Raises: Unreachable."""
        found = next(self._ask({"ask": "read", "paths": list(paths)}, (), FACTS_SECONDS))["files"]
        return {path: None if text is None else base64.b64decode(text) for path, text in found.items()}

    def apply(self, request: Json, blobs: Mapping[str, bytes], report: Callable[[Json], None]) -> Json:
        """Have steps taken, and return how that ended.

        Args:
            request: `expect`, `steps` and `manifest`.
            blobs: what the steps need and the host does not have, by digest.
            report: called with each sign of progress.
        Raises: Unreachable: the host ends what it began by itself, and is then before or after.
        """
        sizes = [[digest, len(data)] for digest, data in blobs.items()]
        for answer in self._ask({"ask": "apply", **request, "blobs": sizes}, blobs.values(), APPLY_SECONDS):
            if "end" in answer:
                return answer
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
            while line := self._reader.readline():
                yield json.loads(line)
        except (OSError, ValueError) as error:
            raise self._hang_up() from error
        finally:
            limit.cancel()
        raise self._hang_up()


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
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the process)
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            self._said.close()
            raise Unreachable(f"ssh cannot be started: {error.strerror}", "install OpenSSH's client") from error
        self.reader = cast(BinaryIO, self._process.stdout)
        self.writer = cast(BinaryIO, self._process.stdin)

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
            self._said.seek(0)
            self._end = _explain(self._ssh, self._said.read().decode(errors="replace"), too_slow=self._too_slow)
            self._said.close()
        return self._end


def command_line(ssh: str, config: Path | None) -> list[str]:
    """Return the words that reach a host and start its far end."""
    words = ["ssh", *(word for name, value in OPTIONS.items() for word in ("-o", f"{name}={value}"))]
    if config is not None:
        words += ["-F", str(config)]
    if found := WITH_PORT.fullmatch(ssh):
        words += ["-p", found["port"]]
        ssh = found["host"].replace("[", "").replace("]", "")
    return [*words, "--", ssh, COMMAND]


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
