"""A plan as one document of facts: what JSON prints and the text is made from."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from typing import Final

from rustun.ops.deploy.looking import everybody
from rustun.ops.deploy.members import compare_routes
from rustun.ops.deploy.order import Known, Visit
from rustun.ops.deploy.records import Json, plain
from rustun.ops.deploy.ssh import Unreachable
from rustun.ops.deploy.survey import Survey
from rustun.ops.deploy.unfit import ROUTES, members_file
from rustun.ops.deploy.wish import HOSTS_FILE
from rustun.ops.filenames import SECRETS
from rustun.ops.generation import Prepared
from rustun.ops.masking import masked
from rustun.ops.units import SERVER_UNIT

SCHEMA: Final = 1
PICTURE: Final = ".svg"


def plan_document(prepared: Prepared, found: Survey | None, *, diff: bool) -> Json:
    """Return what differs between an inventory, its generated files, and its hosts.

    Args:
        found: what the hosts are like; None where nobody looked.
        diff: with the lines that change.
    """
    hosts = [] if found is None else list(_hosts(found, {ssh for _, _, ssh in everybody(prepared)}, diff=diff))
    return {
        "schema": SCHEMA,
        "fleet": prepared.fleet.name,
        "folder": str(prepared.plan.folder),
        "warnings": [asdict(one) for one in prepared.notes if one.level == "warning"],
        "current": prepared.current and not any(host["visits"] or not host["reachable"] for host in hosts),
        "files": list(_files(prepared, hosts, diff=diff)),
        "new_secrets": list(prepared.plan.new_secrets),
        "members": [
            plain(_fields(change))
            for change in compare_routes(_routes_in_force(prepared, found), prepared.plan.routes.wished)
        ],
        "hosts": hosts,
        "by_hand": [name for _, name, ssh in everybody(prepared) if not ssh],
    }


def _files(prepared: Prepared, hosts: Iterable[Json], *, diff: bool) -> Iterator[Json]:
    """Yield the generated files that change; the lines of those that no host shows anyway, and not of pictures."""
    steps = (step for host in hosts for visit in host["visits"] for step in visit["steps"])
    shown = {step["digest"] for step in steps if step["do"] == "put"}
    for file in prepared.changes:
        told: Json = {"name": file.name, "kind": file.kind}
        if diff and hashlib.sha256(file.wished).hexdigest() not in shown and not file.name.endswith(PICTURE):
            told["diff"] = file.diff()
        yield told


def _fields(change: object) -> Json:
    return {name: getattr(change, name) for name in ("kind", "cluster", "identity", "what", "effect")}


def _routes_in_force(prepared: Prepared, found: Survey | None) -> bytes | None:
    """Return the routes.json that a server has, or else the generated one that is there."""
    if found is None:
        return prepared.plan.routes.present
    for known in found.hosts:
        path = _members_before(known, found.visits)
        if SERVER_UNIT in known.wish.services and (path != ROUTES or path in known.facts["files"]):
            try:
                return found.lines[known.wish.ssh].read([path])[path]
            except Unreachable:
                continue
    return prepared.plan.routes.present


def _members_before(known: Known, visits: Iterable[Visit]) -> str:
    """Return the file whose members end with a deployment: a server that is restarted may read another one now."""
    steps = [step for visit in visits if visit.ssh == known.wish.ssh for step in visit.plan.steps]
    restarts = any(step["do"] == "restart" and step["unit"] == SERVER_UNIT for step in steps)
    return members_file(known.facts) if restarts else ROUTES


def _hosts(found: Survey, wished: Collection[str], *, diff: bool) -> Iterator[Json]:
    visits: dict[str, list[Visit]] = {}
    for visit in found.visits:
        visits.setdefault(visit.ssh, []).append(visit)
    for known in found.hosts:
        ssh, facts = known.wish.ssh, known.facts
        generations = [entry["number"] for entry in facts["generations"]]
        yield {
            "ssh": ssh,
            "names": list(known.wish.names),
            "role": _role(known.wish.services, is_leaving=ssh in found.roster.leaving),
            "reachable": True,
            "system": facts["os"],
            "generation": max(generations, default=0),
            "visits": [_visit(visit) for visit in visits.get(ssh, [])],
            **({"diff": "".join(_host_diff(found, visits.get(ssh, [])))} if diff else {}),
        }
    for ssh, why in found.unreachable.items():
        names = list(found.roster.hosts.get(ssh, ()))
        told = {"reason": why.reason, "remedy": why.remedy}
        role = "" if ssh in wished else "leaving"
        yield {"ssh": ssh, "names": names, "role": role, "reachable": False, **told, "visits": []}


def _role(services: Iterable[str], *, is_leaving: bool) -> str:
    return "leaving" if is_leaving else "server" if SERVER_UNIT in services else "member"


def _visit(visit: Visit) -> Json:
    plan = visit.plan
    told = {name: list(getattr(plan, name)) for name in ("steps", "problems", "notes", "notices")}
    return {"deployment": visit.number, "last": visit.last, **told}


def _host_diff(found: Survey, visits: Iterable[Visit]) -> Iterator[str]:
    """Yield the lines of files that change on a host; of secrets only that they do."""
    for visit in visits:
        steps = [step for step in visit.plan.steps if step["do"] in ("put", "remove") and step["path"] != HOSTS_FILE]
        paths = [step["path"] for step in steps if not is_secret(step["path"])]
        try:
            there = found.lines[visit.ssh].read(paths) if paths else {}
        except Unreachable:
            return
        for step in steps:
            path = step["path"]
            if is_secret(path):
                yield f"{visit.ssh}:{path}: a secret {'comes, or changes' if step['do'] == 'put' else 'goes'}\n"
                continue
            after = found.contents.get(step.get("digest", ""), b"")
            yield masked(_unified(there.get(path) or b"", after, f"{visit.ssh}:{path}"))


def _unified(before: bytes, after: bytes, name: str) -> str:
    old, new = (data.decode(errors="replace").splitlines(keepends=True) for data in (before, after))
    return "".join(difflib.unified_diff(old, new, name, name))


def is_secret(path: str) -> bool:
    """Return whether a file of a host may hold what nobody should see."""
    return f"/{SECRETS}/" in path or path.endswith(".key")
