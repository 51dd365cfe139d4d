"""`invoke plan`: what differs between the inventory, build/ and the hosts, and who will notice. Changes nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from rustun.errors import Problem
from rustun.ops.deploy.document import plan_document
from rustun.ops.deploy.looking import Target, columns, guarded, look, note, say, show
from rustun.ops.deploy.members import ENDED, MAY_COME
from rustun.ops.deploy.records import Json
from rustun.ops.deploy.wish import HOSTS_FILE
from rustun.ops.exit_codes import DIFFERS, FAILED, OK

VERBS = {  # where no file changes
    "folder": "rights of a folder",
    "disable": "service off",
    "enable": "service on",
    "reload": "reload",
    "restart": "restart",
    "record": "its record",
}
MAX_FILES_NAMED = 2  # in a line; of more only how many
MAX_NAMES_TOLD = 6  # of hosts about which the same is said
DIGEST_CHARACTERS = 8  # of a release's name, for people
WHAT_CHARACTERS = 27  # of what changes, so that a line has room for who notices in 100 columns


def run(target: Target, *, as_json: bool, diff: bool, offline: bool, check: bool) -> int:
    """Show a plan; return 0, with `check` 3 where something differs, 5 where hosts do not answer or are not fit."""

    def work() -> int:
        prepared = target.prepare()
        if offline and not target.is_in(prepared):  # no server is asked whether somebody has just left
            raise target.nobody(prepared)
        if offline:
            document = plan_document(prepared, None, diff=diff)
        else:
            found = look(target, prepared, target.connect, target.wheels())
            try:
                document = plan_document(prepared, found, diff=diff)
            finally:
                found.close()
        show(document, as_json, show_plan)
        if any(not host["reachable"] or _troubles(host) for host in document["hosts"]):
            return FAILED
        return DIFFERS if check and not document["current"] else OK

    return guarded("plan", work)


def show_plan(document: Json, *, hint: bool = True) -> None:
    """Print a plan for people; with `hint` what to do with it."""
    hosts = document["hosts"]
    and_hosts = f" and {_count(len(hosts), 'host')}" if hosts else ""
    for warning in document["warnings"]:
        print(*Problem(**warning).lines(), sep="\n", file=sys.stderr, flush=True)
    print(f"inventory -> {_short(document['folder'])}{and_hosts}")
    rows = [*_file_rows(document), *_member_rows(document), *_host_rows(hosts)]
    print(*columns(rows, most={1: 24, 2: WHAT_CHARACTERS}), sep="\n", end="\n" if rows else "")
    unchanged = sum(host["reachable"] and not host["visits"] for host in hosts)
    if unchanged or not rows:
        print(f"  = {_count(unchanged, 'host')} unchanged" if hosts else "  = nothing to change")
    for text in _obstacles(hosts):
        say(text)
    for text in _texts(document):
        for line in text.splitlines():
            say(line)
    if document["by_hand"]:
        note(f"without ssh, deployed by hand: {_few(document['by_hand'])}")
    if rows:
        who = list(_who_notices(document))
        say("who notices: " + (", ".join([*who, "nobody else"]) if who else "nobody"))
    if hint and (document["files"] or any(host["visits"] for host in hosts)):
        details = "" if any("diff" in host for host in hosts) else "        details: ./invoke plan --diff"
        print(f"apply with: ./invoke deploy{details}")


def _file_rows(document: Json) -> Iterator[tuple[str, ...]]:
    names = [os.path.basename(file["name"]) for file in document["files"]]
    if names:
        yield "~ files", "generated", _some(names)
    if document["new_secrets"]:
        yield "+ keys", "generated", _some([os.path.basename(name) for name in document["new_secrets"]])


def _member_rows(document: Json) -> Iterator[tuple[str, ...]]:
    for change in document["members"]:
        name = f"{change['cluster']}/{change['identity']}"
        yield f"{change['kind']} member", name, change["what"], change["effect"]


def _host_rows(hosts: list[Json]) -> Iterator[tuple[str, ...]]:
    for host in hosts:
        name = ", ".join(host["names"]) or host["ssh"]
        if not host["reachable"]:
            yield "! host", name, "unreachable", "left as it is"
        for text in dict.fromkeys(text for visit in host["visits"] for text in visit["notes"]):
            yield "! host", name, text
        for visit in host["visits"]:
            if visit["problems"]:
                yield "! host", name, "cannot be as wished", "left as it is"
            else:
                kind = "-" if host["role"] == "leaving" else "~" if host["generation"] else "+"
                later = "last: " if visit["last"] else ""
                yield f"{kind} host", name, f"{later}{what_changes(visit['steps'])}", _noticed(host, visit)


def _obstacles(hosts: list[Json]) -> Iterator[str]:
    """Yield why hosts are left as they are; in lines of their own, since these texts are long, and each once."""
    troubled: dict[str, list[str]] = {}
    for host in hosts:
        name = ", ".join(host["names"]) or host["ssh"]
        if not host["reachable"]:
            yield f"{name}: {host['reason']}"
            yield from [f"  {host['remedy']}"] if host["remedy"] else []
            if host["role"] == "leaving":
                yield f"  it has left the fleet; where it never comes back: ./invoke deploy --forget '{name}'"
        for problem in _troubles(host):
            troubled.setdefault(problem, []).append(name)
    yield from (f"{_few(names)}: {problem}" for problem, names in troubled.items())


def _troubles(host: Json) -> list[str]:
    """Return why a host that answers cannot be as wished."""
    return list(dict.fromkeys(problem for visit in host["visits"] for problem in visit["problems"]))


def _noticed(host: Json, visit: Json) -> str:
    """Return who notices a visit; where a host has one unit, without its name."""
    units = {text.partition(" ")[0] for one in host["visits"] for text in one["notices"]}
    return "; ".join(text.partition(" ")[2] if len(units) == 1 else text for text in visit["notices"])


def what_changes(steps: list[Json]) -> str:
    """Return in a few words what steps change on a host."""
    puts = [step["path"].rpartition("/")[2] for step in steps if step["do"] == "put" and step["path"] != HOSTS_FILE]
    removed = [step["path"].rpartition("/")[2] for step in steps if step["do"] == "remove"]
    parts = [f"release {step['release'][:DIGEST_CHARACTERS]}" for step in steps if step["do"] == "switch"]
    if puts and removed:
        parts += [_count(len(puts), "file"), f"{len(removed)} removed"]
    else:
        parts += [_some(puts)] if puts else [f"without {_some(removed)}"] if removed else []
    if any(step["do"] == "remove-folder" for step in steps):
        parts = ["nothing of ours stays"]
    if not parts and any(step.get("path") == HOSTS_FILE for step in steps):
        parts = ["its list of the fleet's hosts"]
    if not parts:
        parts = list(dict.fromkeys(VERBS[step["do"]] for step in steps if step["do"] in VERBS))[:1]
    return ", ".join(parts)


def _few(names: list[str]) -> str:
    more = len(names) - MAX_NAMES_TOLD
    return ", ".join(names[:MAX_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _some(names: list[str]) -> str:
    shown = " ".join(names)
    return shown if len(names) <= MAX_FILES_NAMED and len(shown) <= WHAT_CHARACTERS else _count(len(names), "file")


def _texts(document: Json) -> Iterator[str]:
    yield from (file["diff"] for file in document["files"] if "diff" in file)
    yield from (host["diff"] for host in document["hosts"] if host.get("diff"))


def _who_notices(document: Json) -> Iterator[str]:
    cut_off = set()
    starting = {name for host in document["hosts"] for name in host["names"] if _starts(host)}
    for change in document["members"]:
        if change["kind"] == "-" or change["effect"] == ENDED:
            cut_off.add(change["identity"])
            yield f"{change['identity']} (cut off)"
        elif "route" in change["effect"]:
            yield f"{change['cluster']} ({change['effect'].rpartition('; ')[2]})"
        elif (change["kind"] == "+" or MAY_COME in change["effect"]) and change["identity"] not in starting:
            yield f"{change['identity']} (may come in)"
    for host in document["hosts"]:
        told = [text for visit in host["visits"] if not visit["problems"] for text in visit["notices"]]
        if any("restarts" in text for text in told):
            yield f"{', '.join(host['names'])} (restarts)"
        elif _starts(host):
            yield f"{', '.join(host['names'])} (starts)"
        elif any(" stops" in text for text in told) and not cut_off & set(host["names"]):
            yield f"{', '.join(host['names'])} (stops)"


def _starts(host: Json) -> bool:
    """Return whether a service that did not run begins to."""
    visits = (visit for visit in host["visits"] if not visit["problems"])
    return any(" starts" in text for visit in visits for text in visit["notices"])


def _short(path: str) -> str:
    """Return a path as seen from here, where that is shorter."""
    return min(path, os.path.relpath(path), key=len)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
