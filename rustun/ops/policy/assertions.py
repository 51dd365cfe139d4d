"""Lines of a .policy file -> assertions, or every problem of the file at once.

One assertion a line; # begins a comment:

    alice can reach 192.168.10.5
    everybody tagged office can reach sh-db
    nobody in beijing can reach shanghai
    nobody except alice and bob can reach 10.0.2.0/24
    laptop can reach the internet

Rules of this module
  1. WHO [except NAMES] can|cannot reach WHAT. WHO: an identity, `everybody` or `nobody`; these two alone, `in` a
     cluster or `tagged` with a tag. WHAT: an address, a prefix, an identity, a cluster, the same with `everybody`, or
     `the internet`. `member X` and `cluster X` tell apart what has the same name.
  2. "nobody can" and "everybody cannot" are one thing; "nobody cannot" is refused, since it is read either way.
  3. A name that the inventory does not have is an error: an assertion about nobody could never fail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, Literal

from rustun.backends.base import Prefix
from rustun.config.addresses import parse_prefix
from rustun.config.files import decode, read_bytes
from rustun.config.findings import Complaint, Findings, suggestion
from rustun.ops.fleet import Inventory
from rustun.printable import quoted

MAX_POLICY_BYTES: Final = 4 << 20
SUFFIX: Final = ".policy"
FORM: Final = "write it like: alice can reach 192.168.10.5"
Kind = Literal["prefix", "members", "cluster", "internet"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is reached.

    Attributes:
        kind: addresses, whoever has them; the tunnel addresses of members; all that a cluster has; any global address.
        prefix: of kind "prefix".
        names: identities, or the cluster's name.
    """

    kind: Kind
    prefix: Prefix | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assertion:
    """One line of a policy.

    Attributes:
        place: file and line.
        text: as written, without comment.
        who: identities; at least one.
        reaches: whether each of them has to reach the target, or none of them may.
    """

    place: str
    text: str
    who: tuple[str, ...]
    reaches: bool
    target: Target


def policy_files(inventory: Path) -> tuple[Path, ...]:
    """Return the policies kept beside an inventory: NAME.policy beside NAME.toml, or *.policy in its folder."""
    if inventory.is_dir():
        return tuple(sorted(inventory.glob(f"*{SUFFIX}")))
    beside = inventory.with_suffix(SUFFIX)
    return (beside,) if beside.exists() else ()


def read_policy(path: Path, inventory: Inventory) -> tuple[Assertion, ...]:
    """Read one policy. Raises: ConfigError with every problem of the file."""
    file = str(path)
    text = decode(file, read_bytes(path, MAX_POLICY_BYTES))
    findings, reader, found = Findings(file), _Reader(inventory), []
    for number, line in enumerate(text.splitlines(), start=1):
        if words := line.partition("#")[0].split():
            try:
                who, reaches, target = reader.read(words)
                found.append(Assertion(f"{file}:{number}", " ".join(words), who, reaches, target))
            except Complaint as complaint:
                findings.add(number, "", complaint.reason, complaint.remedy)
    findings.finish()
    return tuple(found)


class _Reader:
    """Knows the names that an assertion may use."""

    def __init__(self, inventory: Inventory) -> None:
        self._members = {member.identity: None for member in inventory.members}
        self._clusters = {one.name: tuple(member.identity for member in one.members) for one in inventory.clusters}
        self._tags: dict[str, list[str]] = {}
        for member in inventory.members:
            for tag in member.tags:
                self._tags.setdefault(tag, []).append(member.identity)

    def read(self, words: Sequence[str]) -> tuple[tuple[str, ...], bool, Target]:
        """Return who, whether they reach, and what. Raises: Complaint."""
        verb = next((at for at, word in enumerate(words) if word in ("can", "cannot")), 0)
        if not verb or words[verb + 1 : verb + 2] != ["reach"]:
            raise Complaint(f'"{" ".join(words)}" is no assertion', FORM)
        subject, target = words[:verb], words[verb + 2 :]
        reaches = words[verb] == "can"
        if subject[0] == "nobody":
            if not reaches:
                raise Complaint('"nobody cannot" says two things', 'write "everybody can" or "nobody can"')
            reaches = False
        return self._who(subject), reaches, self._target(target)

    def _who(self, words: Sequence[str]) -> tuple[str, ...]:
        names, spared = list(words), set[str]()
        if "except" in names:
            at = names.index("except")
            names, exceptions = names[:at], [word.rstrip(",") for word in names[at + 1 :] if word != "and"]
            spared = {self._known(name, self._members, "member") for name in exceptions}
            if not spared:
                raise Complaint('"except" names nobody', "name the members that are spared")
        found = tuple(one for one in self._group(names) if one not in spared)
        if not found:
            raise Complaint(f'"{" ".join(words)}" is nobody at all', "such an assertion could never fail: take it out")
        return found

    def _group(self, names: Sequence[str]) -> tuple[str, ...]:
        match list(names):
            case ["everybody" | "nobody"]:
                return tuple(self._members)
            case ["everybody" | "nobody", "in", cluster]:
                return self._clusters[self._known(cluster, self._clusters, "cluster")]
            case ["everybody" | "nobody", "tagged", tag]:
                return tuple(self._tags[self._known(tag, self._tags, "tag")])
            case [name] | ["member", name]:
                return (self._known(name, self._members, "member"),)
        raise Complaint(f'"{" ".join(names)}" is nobody that can be named so', f'"everybody in CLUSTER" can; {FORM}')

    def _target(self, words: Sequence[str]) -> Target:
        match list(words):
            case ["the", "internet"]:
                return Target("internet")
            case ["everybody", *_]:
                return Target("members", names=self._group(words))
            case ["member", name]:
                return Target("members", names=(self._known(name, self._members, "member"),))
            case ["cluster", name]:
                return Target("cluster", names=(self._known(name, self._clusters, "cluster"),))
            case [name]:
                return self._named(name)
        raise Complaint(f'"{" ".join(words)}" is nothing that can be reached', FORM)

    def _named(self, name: str) -> Target:
        if name in self._members and name in self._clusters:
            raise Complaint(f"{quoted(name)} is a member and a cluster", f"write member {name} or cluster {name}")
        if name in self._members:
            return Target("members", names=(name,))
        if name in self._clusters:
            return Target("cluster", names=(name,))
        if name[0].isdigit() or ":" in name:
            return Target("prefix", _prefix(name))
        known = [*self._members, *self._clusters]
        raise Complaint(f"there is no member or cluster {quoted(name)}", suggestion(name, known))

    def _known(self, name: str, known: Mapping[str, object], kind: str) -> str:
        if name not in known:
            raise Complaint(f"there is no {kind} {quoted(name)}", suggestion(name, known))
        return name


def _prefix(text: str) -> Prefix:
    try:
        return ip_network(ip_address(text))
    except ValueError:
        return parse_prefix(text)
