"""Changes of routes.json, as proposals: who is added, edited or removed, judged by the parser that the server uses.

Rules of this module
  1. A proposal is made from one state of the file and changes nothing. What it would write was read back by
     `parse_routes`: a file that the server would refuse is never proposed.
  2. An edit names keys; every other key of the entry stays as it is written, and so does every other entry.
  3. What keeps somebody out is neither taken away nor lowered by an edit: a `public_key` that stands there stays, a
     `tier` only rises, `psk_file` is not spoken of at all. Who changes these changes the file itself.
  4. A key that nobody knows is refused by name: a misspelt `enabled` would keep somebody in.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Interface, IPv4Network
from itertools import islice
from typing import Final, Literal

from rustun.config.findings import suggestion
from rustun.config.member import member_label
from rustun.config.routes import RoutesFile, at_once, parse_routes
from rustun.errors import ConfigError, Problem, RustunError
from rustun.printable import quoted
from rustun.protocol.tiers import Tier
from rustun.web.changes import SHOWN, Change, Values, changes, line_difference
from rustun.web.entry_text import edit_list, set_keys
from rustun.web.routes_text import RoutesText

# wrong: the request makes no sense; missing, taken: there is no such member, or there is one already; changed: the file
# is not the one that was shown; unfit: the file would be refused; broken: it is, as it stands; unwritable: no right.
Kind = Literal["wrong", "missing", "taken", "changed", "unfit", "broken", "unwritable"]
NAMING: Final = ("cluster", "identity")
NEVER_EMPTY: Final = ("public_key", "tier", "enabled")  # null does not take these out
MAX_SEARCH: Final = 1 << 16  # addresses that are tried for a free one
MAX_TOLD_PROBLEMS: Final = 20
NO_KEY: Final = (
    "it has no public key, as others here have: where the server's minimum_tier is key it cannot come in;"
    " rustun keygen --out client.key, on its host, makes one and shows it"
)


class Refused(RustunError):
    """A change that was not made; the file is as it was.

    Args:
        told: what else whoever asked should know, as JSON has it.
    """

    def __init__(self, kind: Kind, message: str, remedy: str = "", told: Mapping[str, object] | None = None) -> None:
        super().__init__(message, remedy)
        self.kind = kind
        self.told = told or {}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that could be made.

    Attributes:
        before, after: the file as it is, and as it would be.
        identity: of the member that it is about, empty where it is about many.
        notes: what is worth knowing about that member then.
    """

    before: RoutesText
    after: RoutesText
    identity: str
    notes: tuple[str, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What would happen to whom."""
        return changes(self.before, self.after)

    @property
    def difference(self) -> str:
        """The lines that would differ, as diff -u shows them."""
        return line_difference(self.before.text, self.after.text, self.before.path.name)

    @property
    def member(self) -> Values | None:
        """The entry that it is about, as it would be; None when it goes."""
        return next((entry for entry in self.after if entry.get("identity") == self.identity), None)


def add(before: RoutesText, values: Values) -> Proposal:
    """Propose a new member.

    Args:
        values: of its entry. Without `identity` one is made; without `private_ip` the next free address of its
            cluster is taken, and where `mask` and `gateway` are not said they are those of its other members.

    Raises: Refused.
    """
    _refuse_unknown(values)
    if not isinstance(values.get("cluster"), str) or not values["cluster"]:
        raise Refused("wrong", "cluster is missing", 'add "cluster": "..."')
    identity = values.get("identity") or str(uuid.uuid4())
    if any(entry.get("identity") == identity for entry in before):
        name = quoted(str(identity))
        raise Refused("taken", f"there is a member {name} already", "an identity stands once in the file")
    entry = _with_address(before, {**values, "identity": identity})
    ordered = {key: entry[key] for key in SHOWN if key in entry}
    proposal = propose(before, {}, [ordered], str(identity))
    # The server's minimum_tier is not known here; that others have keys tells what is usual.
    lacks_key = not entry.get("public_key") and not entry.get("tier") and any(one.get("public_key") for one in before)
    return replace(proposal, notes=(*proposal.notes, NO_KEY)) if lacks_key else proposal


def edit(before: RoutesText, cluster: str, identity: str, values: Values) -> Proposal:
    """Propose other values for some keys of a member's entry.

    Args:
        values: by key; None takes a key out. Those that are not named stay.

    Raises: Refused.
    """
    _refuse_unknown(values)
    number = _find(before, cluster, identity)
    entry = before.entries[number]
    for key in NAMING:
        if values.get(key, entry.values[key]) != entry.values[key]:
            raise Refused("wrong", f"{key} of a member cannot be changed", "add it anew, and remove the old one")
    _refuse_lowering(entry.values, values)
    text = before.text[entry.span.start : entry.span.end]
    return propose(before, {number: set_keys(text, values)}, [], identity)


def remove(before: RoutesText, cluster: str, identity: str) -> Proposal:
    """Propose that a member's entry goes. Raises: Refused."""
    return propose(before, {_find(before, cluster, identity): None}, [], identity)


def remove_cluster(before: RoutesText, cluster: str) -> Proposal:
    """Propose that all members of a cluster go. Raises: Refused."""
    gone: dict[int, str | None] = {
        number: None for number, entry in enumerate(before) if entry.get("cluster") == cluster
    }
    if not gone:
        raise Refused("missing", f"there is no cluster {quoted(cluster)}", _nearest(cluster, before, "cluster"))
    return propose(before, gone, [], "")


def propose(before: RoutesText, changed: Mapping[int, str | None], added: Sequence[Values], identity: str) -> Proposal:
    """Return the proposal of an edit, judged.

    Args:
        changed, added: as of `edit_list`.

    Raises: Refused: the server would refuse the file, or does so already.
    """
    spans = [entry.span for entry in before.entries]
    text = edit_list(before.text, spans, changed, added)
    try:
        after = before.with_text(text)
        read = _judge(after)
    except ConfigError as error:
        _refuse_broken(before)
        remedy = error.errors[0].remedy if len(error.errors) == 1 else ""  # of more each has its own, in `told`
        raise Refused("unfit", _in_words(error.errors), remedy, {"problems": _told(error.errors)}) from None
    labels = {member_label(identity, entry.get("cluster")) for entry in after if entry.get("identity") == identity}
    notes = tuple(note.reason for note in read.notes if note.key in labels)
    return Proposal(before, after, identity, notes)


def _judge(routes: RoutesText) -> RoutesFile:
    return at_once(parse_routes(routes.data, str(routes.path)))


def _refuse_broken(before: RoutesText) -> None:
    """Raise Refused where the file cannot be in force as it stands: nobody could tell what an edit does to it."""
    try:
        _judge(before)
    except ConfigError as error:
        message = f"{before.path.name} is refused as it stands: {_in_words(error.errors)}"
        raise Refused("broken", message, "mend it first", {"problems": _told(error.errors)}) from None


def _in_words(problems: Iterable[Problem]) -> str:
    lines = [": ".join(filter(None, (one.key, one.reason))) for one in islice(problems, 3)]
    return "; ".join(lines)


def _told(problems: Iterable[Problem]) -> list[dict[str, object]]:
    told = islice(problems, MAX_TOLD_PROBLEMS)
    return [{"line": one.line, "subject": one.key, "reason": one.reason, "remedy": one.remedy} for one in told]


def _find(routes: RoutesText, cluster: str, identity: str) -> int:
    for number, entry in enumerate(routes):
        if (entry.get("cluster"), entry.get("identity")) == (cluster, identity):
            return number
    nearest = _nearest(identity, routes, "identity")
    raise Refused("missing", f"there is no member {quoted(identity)} in cluster {quoted(cluster)}", nearest)


def _nearest(word: str, routes: RoutesText, key: str) -> str:
    close = suggestion(word, {value for entry in routes if isinstance(value := entry.get(key), str)})
    return close if close.startswith("did you mean") else ""


def _refuse_unknown(values: Values) -> None:
    for key in values:
        if key not in SHOWN:
            raise Refused("wrong", f"{quoted(key)} is not a key of a member here", suggestion(key, SHOWN))
    for key in NEVER_EMPTY:
        if key in values and values[key] is None:
            raise Refused("wrong", f"{key} is null", "leave it out, and it stays as it is")


def _refuse_lowering(entry: Values, values: Values) -> None:
    if entry.get("public_key") and "public_key" in values and values["public_key"] != entry["public_key"]:
        remedy = "keys are exchanged in routes.json itself"
        raise Refused("wrong", "public_key of a member is neither replaced nor taken away here", remedy)
    if "tier" not in values or values["tier"] == entry.get("tier"):
        return
    before, after = _tier(entry.get("tier")), _tier(values["tier"])
    # Without a word of its own an entry is held to the server's minimum_tier, which may be any.
    if after is not None and after < (before or Tier.KEY):
        remedy = "tiers are lowered in routes.json itself"
        raise Refused("wrong", f"tier {after} might be lower than what holds now", remedy)


def _tier(value: object) -> Tier | None:
    try:
        return Tier(str(value))
    except ValueError:
        return None  # the parser says what is wrong with it


def _with_address(routes: RoutesText, values: Values) -> Values:
    """Return an entry with the address and the network that it does not name."""
    if all(values.get(key) for key in ("private_ip", "mask")):
        return values
    neighbours = [entry for entry in routes if entry.get("cluster") == values["cluster"]]
    if not neighbours:
        name = quoted(str(values["cluster"]))
        example = 'as in "10.0.1.1" and "255.255.255.0"'
        raise Refused("wrong", f"nobody is in cluster {name} yet, so private_ip and mask are needed", example)
    usable = (one for one in neighbours if isinstance(one.get("private_ip"), str) and isinstance(one.get("mask"), str))
    like = next(usable, {})
    filled = {key: like[key] for key in ("mask", "gateway") if like.get(key)} | {
        key: value for key, value in values.items() if value not in (None, "")
    }
    if not filled.get("private_ip"):
        try:
            network = IPv4Interface(f"{like.get('private_ip')}/{filled.get('mask')}").network
        except ValueError:
            raise Refused("wrong", "nobody can tell the network of this cluster", "name private_ip and mask") from None
        filled["private_ip"] = _free_address(neighbours, network)
    return filled


def _free_address(neighbours: list[dict[str, object]], network: IPv4Network) -> str:
    taken = {str(entry.get(key)) for entry in neighbours for key in ("private_ip", "gateway")}
    for number in range(1, min(network.num_addresses - 1, MAX_SEARCH)):
        if (address := str(network[number])) not in taken:
            return address
    raise Refused("wrong", f"{network} has no free address", "name one with private_ip")
