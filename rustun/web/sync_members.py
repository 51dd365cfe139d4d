"""What a control plane and a server tell each other, and what a server makes of it.

    GET  /api/sync/clients      [{"name", "cluster", "identity", "private_ip", "mask", "gateway", "ciders",
                                  "cider_mapping"?}]
    POST /api/sync/connections  [{"cluster_id", "identity", "last_active"}]

Rules of this module
  1. An answer is taken whole or not at all: what is no list of such objects, and what the server would refuse as a
     routes.json, changes nothing. An empty one is taken only where that was allowed.
  2. It speaks of the fields above. Every other key of an entry (public_key, psk_file, tier, enabled, expires_at, what
     we do not know) stays as it is written: there is no word here that takes a key away or lowers a tier.
  3. Who was taken out and comes back gets those keys back as well (`left_behind`).
  4. Who is disabled or expired here is not told to others, who have no word for it.

The seed's cluster is a number in a text. `cluster_id` is that number; a cluster with a name has the name there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from rustun.config.findings import Complaint, describe
from rustun.config.member import parse_moment
from rustun.errors import ProtocolError
from rustun.printable import quoted
from rustun.protocol.strict_json import loads_list
from rustun.web.changes import SHOWN, Values
from rustun.web.entry_text import set_keys
from rustun.web.management import Proposal, Refused, propose
from rustun.web.routes_text import RoutesText

TOLD: Final = SHOWN[:8]  # the seed's fields
REQUIRED: Final = ("cluster", "identity", "private_ip", "mask")
PROTECTING: Final = ("public_key", "psk_file", "tier", "enabled", "expires_at")
MAX_ANSWER_BYTES: Final = 16 << 20  # 10,000 members take 3 MiB
MAX_ANSWER_DEPTH: Final = 4
MAX_ANSWER_ITEMS: Final = 1_000_000
MAX_LEFT_BEHIND: Final = 100_000
MAX_CLUSTER_ID: Final = 2**64 - 1


def parse_members(data: bytes) -> list[dict[str, object]]:
    """Return the members that a control plane's answer names, each with all of TOLD; fields beyond are left out.

    Raises: ProtocolError: it is no list of members.
    """
    entries = loads_list(data, max_bytes=MAX_ANSWER_BYTES, max_depth=MAX_ANSWER_DEPTH, max_items=MAX_ANSWER_ITEMS)
    members = [_member(number, entry) for number, entry in enumerate(entries, start=1)]
    seen: set[object] = set()
    for member in members:
        if member["identity"] in seen:
            raise ProtocolError(f"member {quoted(str(member['identity']))} stands there twice")
        seen.add(member["identity"])
    return members


def _member(number: int, entry: object) -> dict[str, object]:
    if not isinstance(entry, dict):
        raise ProtocolError(f"entry {number} is {describe(entry)}, not a member")
    member: dict[str, object] = {}
    for key in TOLD:
        value = entry.get(key)
        empty: object = [] if key == "ciders" else {} if key == "cider_mapping" else ""
        if value is None:
            value = empty
        if not isinstance(value, type(empty)) or (key in REQUIRED and not value):
            found = describe(value) if key in entry else "missing"
            raise ProtocolError(f"entry {number}: {key} is {found}")
        member[key] = value
    return member


def replace_members(
    before: RoutesText, members: Iterable[Values], *, allow_empty: bool, left_behind: Mapping[str, Values]
) -> Proposal:
    """Propose that the file has these members and no others.

    Args:
        members: each with all of TOLD.
        allow_empty: whether there may be none, where there are some now.
        left_behind: by identity, what `left_behind` said of those that were taken out before.

    Raises: Refused.
    """
    wanted = {str(member["identity"]): member for member in members}
    if not wanted and before.entries and not allow_empty:
        remedy = "if that is meant: [conf_agent] allow_empty = true"
        raise Refused("wrong", "the control plane names no member at all", remedy)
    changed: dict[int, str | None] = {}
    for number, entry in enumerate(before.entries):
        member = wanted.pop(str(entry.values.get("identity")), None)
        if member is None:
            changed[number] = None
            continue
        if differing := _differing(entry.values, member):
            changed[number] = set_keys(before.text[entry.span.start : entry.span.end], differing)
    added = [_new(member, left_behind.get(identity, {})) for identity, member in wanted.items()]
    if not changed and not added:
        return Proposal(before, before, "", ())  # as it is nearly every time: judged before
    return propose(before, changed, added, "")


def _differing(entry: Values, member: Values) -> dict[str, object]:
    """Return what an entry has to be told, so that it says what a member has; None takes a key out."""
    told: dict[str, object] = {}
    for key in TOLD:
        said, has = member[key], entry.get(key)
        if said and said != has:
            told[key] = said
        elif has and not said:
            told[key] = [] if key == "ciders" else None
    return told


def _new(member: Values, behind: Values) -> dict[str, object]:
    always = (*REQUIRED, "gateway", "ciders")
    return {key: member[key] for key in TOLD if member[key] or key in always} | dict(behind)


def left_behind(proposal: Proposal, before: Mapping[str, Values]) -> dict[str, Values]:
    """Return by identity what protected members that are not in the file any more.

    Args:
        proposal: that was made true.
        before: what this returned the last time.
    """
    staying = {str(entry.get("identity")) for entry in proposal.after}
    left = dict(before)
    for entry in proposal.before:
        left[str(entry.get("identity"))] = {key: entry[key] for key in PROTECTING if key in entry}
    left = {identity: values for identity, values in left.items() if values and identity not in staying}
    return dict(islice(left.items(), max(0, len(left) - MAX_LEFT_BEHIND), None))


def members_told(routes: RoutesText, now: datetime) -> list[dict[str, object]]:
    """Return what this server answers who asks it for its members."""
    return [_told(entry) for entry in routes if _is_in(entry, now)]


def _told(entry: Values) -> dict[str, object]:
    told = {key: entry.get(key) or ([] if key == "ciders" else "") for key in TOLD if key != "cider_mapping"}
    mapping = entry.get("cider_mapping")
    return {**told, "cider_mapping": mapping} if mapping else told


def _is_in(entry: Values, now: datetime) -> bool:
    expires_at = entry.get("expires_at")
    try:
        over = isinstance(expires_at, str) and parse_moment(expires_at) <= now
    except Complaint:
        over = True  # the server refuses such a file; whoever asks should not learn of this member meanwhile
    return entry.get("enabled", True) is True and not over


def cluster_id(cluster: str) -> int | str:
    """Return what a cluster is called in a report."""
    is_number = cluster.isascii() and cluster.isdigit() and len(cluster) <= 20 and str(int(cluster)) == cluster
    return int(cluster) if is_number and int(cluster) <= MAX_CLUSTER_ID else cluster


def connections_told(document: Mapping[str, Any], taken_unix: float) -> list[dict[str, object]]:
    """Return a report of who is connected.

    Args:
        document: the server's status (docs/status.md).
        taken_unix: when it was taken.
    """
    return [
        {
            "cluster_id": cluster_id(session["cluster"]),
            "identity": session["identity"],
            "last_active": max(0, int(taken_unix - (session["proof_age_s"] or 0))),
        }
        for session in document.get("sessions", ())
    ]


def parse_connections(entries: list[object], now: datetime) -> dict[tuple[str, str], int]:
    """Return when each member of a report was last active, unix seconds, by cluster and identity.

    Args:
        now: what was later cannot be; where nothing is said it is this.

    Raises: ProtocolError: it is no report.
    """
    unix = int(now.astimezone(UTC).timestamp())
    found = {}
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise ProtocolError(f"entry {number} is {describe(entry)}, not a connection")
        cluster, identity, active = (entry.get(key) for key in ("cluster_id", "identity", "last_active"))
        if isinstance(cluster, bool) or not isinstance(cluster, int | str):
            raise ProtocolError(f"entry {number}: cluster_id is {describe(cluster)}")
        if not isinstance(identity, str) or not identity:
            raise ProtocolError(f"entry {number}: identity is {describe(identity)}")
        if active is not None and (isinstance(active, bool) or not isinstance(active, int) or active < 0):
            raise ProtocolError(f"entry {number}: last_active is {describe(active)}")
        found[str(cluster), identity] = unix if active is None else min(active, unix)
    return found
