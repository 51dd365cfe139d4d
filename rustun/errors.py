"""All errors that rustun raises on purpose, split by who must act.

    RustunError
      ConfigError      the operator: a file or an option is wrong            exit 78 (sysexits EX_CONFIG)
      UsageError       the user: what was typed names nothing that is there  exit 2
      RightsError      the operator: this process may not do what it must    exit 77 (EX_NOPERM)
      RefusedError     the server's operator: the server said no, sealed     exit 69 (EX_UNAVAILABLE)
      HostError        the host: a port is taken, a device is gone           exit 1
      ProtocolError    the peer: its bytes are not what the protocol allows  never ends the process

Every message is one line that says what and where; `remedy` says what to do about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rustun.printable import printable

Level = Literal["error", "warning", "note"]


class RustunError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: one line: what went wrong, and where.
        remedy: one line: what the reader can do about it; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth knowing, in one file.

    `line` counts from 1, 0 where no line can be named; `key` is the dotted key, empty for the whole file.
    """

    file: str
    line: int
    key: str
    reason: str
    remedy: str = ""
    level: Level = "error"

    def lines(self) -> list[str]:
        """Return it for a screen: what and where, then indented what to do."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        level = "" if self.level == "error" else f"{self.level}: "
        subject = f"{self.key}: " if self.key else ""
        what = f"{place}: {level}{subject}{self.reason}"
        lines = [what, f"  {self.remedy}"] if self.remedy else [what]
        return [printable(line, len(line)) for line in lines]  # a path or a key that a file names may be anything

    def __str__(self) -> str:
        """Return it on one line, for a log and for the status."""
        return "; ".join(line.strip() for line in self.lines())


class ConfigError(RustunError):
    """Configuration that cannot be used; `problems` lists all of them, not only the first."""

    exit_code: ClassVar[int] = 78

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(line for problem in problems for line in problem.lines()))
        self.problems = problems

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What the configuration was refused for; the other problems are only worth knowing."""
        return tuple(problem for problem in self.problems if problem.level == "error")


class UsageError(RustunError):
    """What was typed cannot be answered: it names nothing that is there, or asks for what a process does not know."""

    exit_code: ClassVar[int] = 2


class RightsError(RustunError):
    """This process lacks a right that it needs (CAP_NET_ADMIN, /dev/net/tun)."""

    exit_code: ClassVar[int] = 77


class RefusedError(RustunError):
    """The server proved that it holds the key and refused this client; `code` is the refusal's word on the wire."""

    exit_code: ClassVar[int] = 69

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.code = code


class HostError(RustunError):
    """The host refused something that is not a matter of rights: a port taken, a device that vanished."""


class ProtocolError(RustunError):
    """The peer's bytes break the protocol; whatever object raised this is unusable and the connection must close."""
