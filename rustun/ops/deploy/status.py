"""`invoke status`: every host's service, version, session, and drift against the inventory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rustun.ops.deploy.looking import Target, columns, everybody, guarded, look, say, show
from rustun.ops.deploy.order import Known
from rustun.ops.deploy.records import Json
from rustun.ops.deploy.survey import Survey, is_named
from rustun.ops.exit_codes import FAILED, OK
from rustun.ops.generation import Prepared
from rustun.ops.units import SERVER_UNIT, client_unit

SCHEMA = 1
HEAD = ("cluster", "name", "service", "version", "session", "seen", "deployed", "drift")


def run(target: Target, *, as_json: bool) -> int:
    """Show what hosts are like; return 0, or 5 where a host did not answer or a service does not do its work."""

    def work() -> int:
        prepared = target.prepare()
        found = look(target, prepared, target.connect, target.wheels())
        found.close()
        rows = list(_rows(prepared, found, target.limit))
        document = {"schema": SCHEMA, "fleet": prepared.fleet.name, "hosts": rows}
        show(document, as_json, _show)
        return OK if all(row["ok"] for row in rows) else FAILED

    return guarded("status", work)


def _rows(prepared: Prepared, found: Survey, limit: str) -> Iterator[Json]:
    hosts = {known.wish.ssh: known for known in found.hosts}
    steps: dict[str, int] = {}
    for visit in found.visits:
        steps[visit.ssh] = steps.get(visit.ssh, 0) + len([one for one in visit.plan.steps if one["do"] != "record"])
    sessions = _sessions(found)
    for cluster, name, ssh in everybody(prepared):
        if not is_named([name], limit):
            continue
        row: Json = {"cluster": cluster, "name": name, "ssh": ssh, "service": "by hand" if not ssh else "unreachable"}
        row |= {"version": "", "release": "", "generation": 0, "differences": 0, "reason": "", "last_error": ""}
        if ssh in hosts:
            row |= _of_host(hosts[ssh], name if cluster else "")
            row["differences"] = steps.get(ssh, 0)
        elif ssh in found.unreachable:
            row["reason"] = found.unreachable[ssh].reason
        row |= sessions.get(name, {"session": "", "seen_s": None}) if cluster else {"session": "", "seen_s": None}
        row["ok"] = row["service"] in ("active", "by hand", "off")
        yield row
    yield from _left(prepared, found, steps, limit)


def _left(prepared: Prepared, found: Survey, steps: Mapping[str, int], limit: str) -> Iterator[Json]:
    """Yield a row for each host that has left the inventory and is not cleared yet; the fleet does not wait for it."""
    wished = {ssh for _, _, ssh in everybody(prepared)}
    generations = {known.wish.ssh: _newest(known) for known in found.hosts}
    for ssh, names in found.roster.hosts.items():
        if ssh in wished or not is_named(names, limit):
            continue
        reason = found.unreachable[ssh].reason if ssh in found.unreachable else ""
        row: Json = {"cluster": "", "name": ", ".join(sorted(names)), "ssh": ssh, "service": "left", "version": ""}
        row |= {"release": "", "generation": generations.get(ssh, 0), "differences": steps.get(ssh, 0)}
        yield row | {"reason": reason, "last_error": "", "session": "", "seen_s": None, "ok": True}


def _of_host(known: Known, identity: str) -> Json:
    """Return the part of a row that its own host tells."""
    unit = client_unit(identity) if identity else SERVER_UNIT
    facts, service = known.facts, known.wish.services.get(unit)
    state = facts["units"].get(unit, {})
    document: Json = next((one for one in facts["status"] if state.get("pid") and one.get("pid") == state["pid"]), {})
    active = state.get("active") or "not installed"
    return {
        "service": "off" if service is not None and not service.runs and active == "inactive" else active,
        "version": document.get("version") or "",
        "release": state.get("release", ""),
        "generation": _newest(known),
        "last_error": document.get("last_error") or "",
    }


def _newest(known: Known) -> int:
    return max((entry["number"] for entry in known.facts["generations"]), default=0)


def _sessions(found: Survey) -> dict[str, Json]:
    """Return what the servers say of each member; one that is online anywhere is online."""
    told: dict[str, Json] = {}
    for known in found.hosts:
        if SERVER_UNIT not in known.wish.services:
            continue  # of others' sessions a member's host is no witness
        for document in known.facts["status"]:
            for one in (*(document.get("sessions") or ()), *(document.get("offline") or ())):
                seen = one.get("proof_age_s", one.get("last_seen_age_s"))
                if one["state"] == "online" or one["identity"] not in told:
                    told[one["identity"]] = {"session": one["state"], "seen_s": seen}
    return told


def _show(document: Json) -> None:
    rows: list[tuple[str, ...]] = [HEAD]
    for row in document["hosts"]:
        differences = row["differences"]
        drift = (
            "none"
            if row["ssh"] and not row["reason"] and not differences
            else f"{differences} step{'' if differences == 1 else 's'}"
            if differences
            else "-"
        )
        seen = f"{age(row['seen_s'])} ago" if row["seen_s"] is not None else "-"
        deployed = str(row["generation"] or "-")
        rows.append((
            row["cluster"] or "-", row["name"], row["service"], row["version"] or "-", row["session"] or "-", seen,
            deployed, drift,
        ))  # fmt: skip
    print(*columns(rows, indent=""), sep="\n")
    for row in document["hosts"]:
        for text in (row["reason"], row["last_error"]):
            if text:
                say(f"{row['name']}: {text}")


def age(seconds: float) -> str:
    """Return a length of time for people."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
