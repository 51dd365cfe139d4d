"""`rustun status`: show what runs on this host.

Rules of this module
  1. What is named is asked of the process, so that of 10,000 members one travels. A name may be a member's or a
     cluster's: the member's is looked for first.
  2. Exit codes: 0, also where `--check` says yes; 1 where it says no, or nothing runs; 2 for a name that nobody knows;
     69 where it is no because the server refused this client; 77 without the right to ask.
  3. A long document is printed as JSON on one line, as it came: to write 5,000 sessions anew takes as long as to read
     them, with indentation a second.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rustun.admin.control import FOLDER, SCHEMA, find_sockets
from rustun.admin.control_client import Answer, answer_to, follow
from rustun.admin.differences import with_rates
from rustun.admin.health import why_not
from rustun.cli.failures import LINE_CHARACTERS, failure_lines
from rustun.errors import HostError, RefusedError, RightsError, RustunError, UsageError
from rustun.printable import printable, quoted

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_COLUMNS: Final = 100  # width where there is no terminal to ask
PRETTY_ENTRIES: Final = 200  # sessions, members or peers; longer documents stand on one line
ENTRIES: Final = ("sessions", "offline", "peers")  # of a document, whatever its role
WATCH_SECONDS: Final = 1.0
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which processes are asked, and for what.

    Attributes:
        control: the only control socket, or None for all in the default folder.
        role: "server" or "client" alone; empty for both.
        name: of a member or a cluster; empty for all.
    """

    control: Path | None = None
    role: str = ""
    name: str = ""


def status(wanted: Wanted, *, as_json: bool) -> int:
    """Print the status of the chosen processes, and return the exit code 0.

    Raises: RustunError when there is none, what was named cannot be read, or nobody knows the name.
    """
    of_name, found = _read(wanted)
    answers = list(found.values())
    if as_json:
        _print_json(answers)
        return 0
    console = _console()
    for number, answer in enumerate(answers):
        if number:
            console.print()
        _show(answer.document, of_name, console)
    return 0


def watch(wanted: Wanted, *, as_json: bool) -> int:
    """Print the status of one process again each second until Ctrl-C, and return the exit code 0.

    Raises: as `status`; UsageError where several processes could be meant; HostError: the process has ended.
    """
    of_name, found = _read(wanted)
    if len(found) > 1:
        remedy = f"choose one with --server, --client or --control: {', '.join(map(str, found))}"
        raise UsageError("only one process can be watched at a time", remedy)
    [path] = found
    console = None if as_json else _console()
    try:
        _follow(path, of_name, console)
    except KeyboardInterrupt:  # how one ends it
        return 0
    raise HostError(f"nobody answers on {path} any more", "its process has ended: see its log")


def _follow(path: Path, of_name: Mapping[str, str], console: Console | None) -> None:
    before: Document = {}
    for answer in follow(path, {**of_name, "ask": "watch", "seconds": WATCH_SECONDS}):
        if console is None:
            print(answer.as_line(), flush=True)
            continue
        compared = with_rates(before, answer.document)
        if console.is_terminal:
            console.clear()
        _show(compared, of_name, console, now=bool(before))
        console.file.flush()
        before = answer.document


def check(wanted: Wanted, what: str, *, as_json: bool) -> int:
    """Say whether the chosen processes are what is asked (rustun.admin.health), and return the exit code.

    Raises: as `status`; HostError for the first process that is not, RefusedError where its server refuses it.
    """
    _, found = _read(wanted)
    reasons = {str(path): why_not(answer.document, what) for path, answer in found.items()}
    if as_json:
        ok = not any(reasons.values())
        print(json.dumps({"schema": SCHEMA, "check": what, "ok": ok, "reasons": reasons}, indent=2))
        return int(not ok)
    for path, reason in reasons.items():
        if reason:
            message = f"not {what}: {printable(reason, len(reason))} ({path})"
            if found[Path(path)].document.get("state") == "refused":
                raise RefusedError("refused", message, "its server's operator knows why")
            raise HostError(message, "rustun status shows the rest")
    return 0


def _read(wanted: Wanted) -> tuple[dict[str, str], dict[Path, Answer]]:
    """Return what the chosen processes were asked for, beside the word, and what they said."""
    if not wanted.name:
        return {}, _ask_all(wanted, {})
    for key in ("member", "cluster"):
        of_name = {key: wanted.name}
        found = _ask_all(wanted, of_name, tell=key == "member")
        knowing = {path: one for path, one in found.items() if _knows(one.document, key, wanted.name)}
        if knowing:
            return of_name, knowing
    from rustun.config.findings import nearest  # here, because who asks for nothing wrong does not need its 80 ms

    known = {name for answer in _ask_all(wanted, {}, tell=False).values() for name in _names(answer.document)}
    near = nearest(wanted.name, known)
    remedy = f'did you mean "{printable(near)}"?' if near else "rustun status shows all"
    raise UsageError(f"no member and no cluster {quoted(wanted.name)} here", remedy)


def _knows(document: Document, key: str, name: str) -> bool:
    if document.get("role") == "server":
        listed = ("sessions", "offline") if key == "member" else ("clusters", "offline")
        return any(document.get(part) for part in listed)
    return key == "member" and bool(document.get("peers") or document.get("identity") == name)


def _names(document: Document) -> set[str]:
    """Return the names of all members and clusters that a process knows."""
    found = {str(one[key]) for one in _entries(document) for key in ("identity", "cluster") if one.get(key)}
    return found | ({str(document["identity"])} if document.get("identity") else set())


def read_documents(wanted: Wanted) -> dict[Path, Document]:
    """Return the status of each chosen process by its control socket. Raises: RustunError when there is none."""
    return {path: answer.document for path, answer in _ask_all(wanted, {}).items()}


def _ask_all(wanted: Wanted, told: Mapping[str, str], *, tell: bool = True) -> dict[Path, Answer]:
    """Ask each chosen process; what cannot be read is told on standard error, beside what can."""
    question = {"ask": "status", **told}
    if wanted.control is not None:
        return {wanted.control: _of_role(answer_to(wanted.control, question), wanted)}
    answers: dict[Path, Answer] = {}
    errors: list[RustunError] = []
    for path in find_sockets():
        try:
            answer = answer_to(path, question)
        except RustunError as error:
            errors.append(error)
            continue
        if wanted.role in ("", answer.document.get("role")):
            answers[path] = answer
    if not answers:
        raise _first(errors) or _nothing_runs(wanted.role)
    for failure in errors if tell else ():
        for line in failure_lines("rustun status", failure):
            print(printable(line, LINE_CHARACTERS), file=sys.stderr)
    return answers


def _of_role(answer: Answer, wanted: Wanted) -> Answer:
    if wanted.role not in ("", answer.document.get("role")):
        raise UsageError(f"{wanted.control} is no {wanted.role}'s", "leave the role out, or name another socket")
    return answer


def _first(errors: list[RustunError]) -> RustunError | None:
    """Return the error that tells most: that a right is missing, before that somebody is gone."""
    return next((error for error in errors if isinstance(error, RightsError)), errors[0] if errors else None)


def _nothing_runs(role: str) -> HostError:
    remedy = "start `rustun serve` or `rustun connect`, or name a control socket with --control PATH"
    return HostError(f"{f'no {role}' if role else 'nothing'} runs here: no control socket in {FOLDER}", remedy)


def _show(document: Document, of_name: Mapping[str, str], console: Console, *, now: bool = False) -> None:
    from rustun.admin.status_view import show_member, show_status  # as below

    if of_name.get("member", document.get("identity")) == document.get("identity"):
        show_status(document, console, now=now)
    else:
        show_member(document, console)


def _print_json(answers: Sequence[Answer]) -> None:
    documents = [answer.document for answer in answers]
    document = documents[0] if len(documents) == 1 else {"schema": SCHEMA, "instances": documents}
    if sum(len(_entries(one)) for one in documents) <= PRETTY_ENTRIES:
        print(json.dumps(document, indent=2))
    else:
        print(answers[0].as_line() if len(answers) == 1 else json.dumps(document))


def _entries(document: Document) -> list[Any]:
    return [one for part in ENTRIES for one in document.get(part) or ()]


def _console() -> Console:
    from rich.console import Console  # here, because --json does not need its 80 ms and 10 MB

    return Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS, highlight=False)
