"""One entry of routes.json -> Member."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Final, TypeVar

from rustun.backends.base import Prefix
from rustun.config.addresses import parse_interface6, parse_ipv4, parse_mask, parse_prefix
from rustun.config.findings import MAX_PROBLEMS, Complaint, Findings, describe, nearest, suggestion
from rustun.config.json_entries import Entry, EntryCutter, Span
from rustun.config.keys import Secret, parse_public_key, read_psk
from rustun.config.mapping import parse_mapping
from rustun.config.names import parse_label, parse_name
from rustun.errors import Level
from rustun.printable import quoted
from rustun.protocol.tiers import Tier

KNOWN_KEYS: Final = frozenset(
    ("cluster", "identity", "name", "private_ip", "mask", "gateway", "ciders", "cider_mapping")  # the seed's
    + ("private_ip6", "public_key", "psk_file", "tier", "enabled", "expires_at")
)
# What keeps somebody out, and other words for it. One that is misspelt would let him in, so it is no mere warning.
PROTECTING: Final = {
    **{key: key for key in ("public_key", "psk_file", "tier", "enabled", "expires_at")},
    **{"pubkey": "public_key", "psk": "psk_file", "disabled": "enabled", "expires": "expires_at"},
}
MISSPELT: Final = 0.8  # how like a word has to be to one of these (difflib's ratio)
MAX_CIDERS: Final = 400  # all of them, with a mapping each, fit one control record of 60,000 bytes in IPv6 too
MAX_PUBLIC_KEYS: Final = 2  # old and new, during a rotation
PREFIXES_PER_STEP: Final = 64  # a prefix takes about 5 us: a step stays well under 1 ms
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """One member of one cluster.

    Attributes:
        ciders: prefixes behind the member, without those written twice.
        cider_mapping: pairs of the prefix that the cluster sees (one of `ciders`) and the real LAN.
        public_keys: 32 bytes each; none: the member has no key of its own.
        psk_file: as the entry has it; empty: the member has none.
        psk: Base64 of 32 bytes, as that file had it; None: the member has none.
        tier: what the entry says; None where it says nothing.
        line: of its entry, from 1.
    """

    cluster: str
    identity: str
    name: str
    private_ip: IPv4Address
    mask: IPv4Address
    gateway: IPv4Address | None
    ciders: tuple[Prefix, ...]
    cider_mapping: tuple[tuple[Prefix, Prefix], ...]
    private_ip6: IPv6Interface | None
    public_keys: tuple[bytes, ...]
    psk_file: str
    psk: Secret | None
    tier: Tier | None
    enabled: bool
    expires_at: datetime | None
    line: int = field(compare=False)

    @property
    def interface(self) -> IPv4Interface:
        """Return the address with the length of its network."""
        return IPv4Interface((int(self.private_ip), int(self.mask).bit_count()))  # twice a handshake: no text to parse

    @property
    def label(self) -> str:
        """Return how messages call it."""
        return member_label(self.identity, self.cluster)


def member_label(identity: object, cluster: object) -> str:
    """Return how messages call the member of an entry, whatever its values are."""
    if not isinstance(identity, str) or not identity:
        return "member without an identity"
    place = f" (cluster {quoted(cluster)[1:-1]})" if isinstance(cluster, str) and cluster else ""
    return f"member {quoted(identity)}{place}"


class MemberReader:
    """Reads entries of one file; what is wrong goes into `findings`.

    Args:
        folder: what `psk_file` is relative to.
    """

    def __init__(self, cutter: EntryCutter, findings: Findings, folder: Path) -> None:
        self._cutter = cutter
        self._findings = findings
        self._folder = folder
        self._judged: set[str] = set()  # folders of pre-shared keys
        self._unknown: dict[str, tuple[Span, int]] = {}  # key -> first entry that has it, how many have
        self._span = Span(0, 0, 0)
        self._values: dict[str, object] = {}
        self._failed = False

    def read(self, entry: Entry) -> Generator[None, None, Member | None]:
        """Return the member, None when an error was reported; yields where that took long."""
        self._span, self._failed = entry.span, False
        if not isinstance(entry.value, dict):
            self._values = {}
            self._report("", f"is {describe(entry.value)}, not a member", 'write { "cluster": ..., "identity": ... }')
            return None
        self._values = entry.value
        for key in entry.duplicates:
            self._report(key, f"{quoted(key)} stands there more than once", "keep one of them")
        for key in [key for key in entry.value if key not in KNOWN_KEYS]:
            first, count = self._unknown.get(key, (entry.span, 0))
            self._unknown[key] = first, count + 1
        ciders = yield from self._ciders()
        member = Member(
            cluster=self._text("cluster", parse_name, ""),
            identity=self._text("identity", parse_name, ""),
            name=self._text("name", parse_label, "", optional=True),
            private_ip=self._text("private_ip", parse_ipv4, IPv4Address(0)),
            mask=self._text("mask", parse_mask, IPv4Address(0)),
            gateway=self._text("gateway", _optional_ipv4, None, optional=True),
            ciders=ciders,
            cider_mapping=self._mapping(ciders),
            private_ip6=self._text("private_ip6", _optional_interface6, None, optional=True),
            public_keys=self._public_keys(),
            psk_file=self._text("psk_file", str, "", optional=True),
            psk=self._psk(),
            tier=self._text("tier", _tier, None, optional=True),
            enabled=self._enabled(),
            expires_at=self._text("expires_at", parse_moment, None, optional=True),
            line=entry.span.line,
        )
        if self._failed:
            return None
        self._judge(member)
        return None if self._failed else member

    def report_unknown(self) -> Iterator[None]:
        """Report every unknown key once, however many entries have it; yields after each."""
        for number, (key, (span, count)) in enumerate(self._unknown.items()):
            where = f" in {count} entries, first here" if count > 1 else ""
            if meant := _meant_to_protect(key):
                line = self._cutter.line_in(span, key)
                self._findings.add(line, quoted(key), f"is not a known key{where}", f"did you mean {meant}?")
            elif number < MAX_PROBLEMS:
                line = self._cutter.line_in(span, key)
                reason = f"is not a known key{where}: kept, but not used"
                self._findings.add(line, quoted(key), reason, suggestion(key, KNOWN_KEYS), "warning")
            yield

    def _report(
        self, key: str, reason: str, remedy: str = "", value: str | None = None, level: Level = "error"
    ) -> None:
        self._failed = self._failed or level == "error"
        if self._findings.full(level):
            key = ""  # it is only counted: do not look for its line
        line = self._cutter.line_in(self._span, key, value) if key else self._span.line
        label = member_label(self._values.get("identity"), self._values.get("cluster"))
        self._findings.add(line, label, reason, remedy, level)

    def _text(self, key: str, convert: Callable[[str], T], default: T, *, optional: bool = False) -> T:
        value = self._values.get(key)
        if isinstance(value, str):
            try:
                return convert(value)
            except Complaint as complaint:
                self._report(key, f"{key}: {complaint.reason}", complaint.remedy)
        elif value is not None:
            self._report(key, f"{key} is {describe(value)}, not a text", "put it in quotes")
        elif not optional:
            close = suggestion(key, self._values.keys() - KNOWN_KEYS)
            self._report(key, f"{key} is missing", close if close.startswith("did you mean") else f'add "{key}": "..."')
        return default

    def _list(self, key: str) -> list[str]:
        value = self._values.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        if not isinstance(value, list | None):
            self._report(key, f"{key} is {describe(value)}, not a list", f'write "{key}": ["..."]')
            return []
        wrong = [item for item in items if not isinstance(item, str)]
        if wrong:
            self._report(key, f"{key} holds {describe(wrong[0])}, not a text", "put it in quotes")
        return [item for item in items if isinstance(item, str)]

    def _ciders(self) -> Generator[None, None, tuple[Prefix, ...]]:
        found: dict[Prefix, None] = {}
        for number, text in enumerate(self._list("ciders"), start=1):
            if not number % PREFIXES_PER_STEP:
                yield
            try:
                prefix = parse_prefix(text)
            except Complaint as complaint:
                self._report("ciders", f"ciders: {complaint.reason}", complaint.remedy, text)
                continue
            if prefix in found:
                self._report("ciders", f"ciders: {prefix} stands there twice", "keep one of them", text, "warning")
            if "/" not in text:
                self._report("ciders", f"ciders: {quoted(text)} is read as {prefix}", "", text, "note")
            found[prefix] = None
        if len(found) > MAX_CIDERS:
            reason = f"ciders has {len(found)} prefixes, at most {MAX_CIDERS} can be told to others in one message"
            self._report("ciders", reason, "join neighbouring ones")
        return tuple(found)

    def _mapping(self, ciders: tuple[Prefix, ...]) -> tuple[tuple[Prefix, Prefix], ...]:
        value = self._values.get("cider_mapping") or {}
        if not isinstance(value, dict):
            self._report("cider_mapping", f"cider_mapping is {describe(value)}, not an object", "write {}")
            return ()
        pairs = []
        for seen, real in value.items():
            try:
                pair = parse_mapping(seen, real)
                if pair[0] not in ciders:
                    raise Complaint(f"{pair[0]} is not one of the member's ciders", f'add "{pair[0]}" to ciders')
                pairs.append(pair)
            except Complaint as complaint:
                self._report("cider_mapping", f"cider_mapping: {complaint.reason}", complaint.remedy)
        return tuple(pairs)

    def _public_keys(self) -> tuple[bytes, ...]:
        value = self._values.get("public_key")
        if "public_key" in self._values and not value:
            reason = f"public_key is {describe(value)}: taken for an entry without one"
            self._report("public_key", reason, 'write the key, or take "public_key" out', level="warning")
        texts = [value] if isinstance(value, str) and value else self._list("public_key") if value else []
        keys: list[bytes] = []
        for text in texts:
            try:
                keys.append(parse_public_key(text))
            except Complaint as complaint:
                self._report("public_key", f"public_key: {complaint.reason}", complaint.remedy)
        if len(keys) > MAX_PUBLIC_KEYS:
            self._report("public_key", f"has {len(keys)} public keys", "old and new at most: take the oldest out")
        if len(set(keys)) < len(keys):
            self._report("public_key", "public_key names the same key twice", "keep one of them")
        return tuple(keys)

    def _psk(self) -> Secret | None:
        name = self._values.get("psk_file")
        if not isinstance(name, str) or not name:
            return None
        try:
            return read_psk(self._folder / name, self._judged)
        except Complaint as complaint:
            self._report("psk_file", f"psk_file: {complaint.reason}", complaint.remedy)
            return None

    def _enabled(self) -> bool:
        value = self._values.get("enabled", True)
        if not isinstance(value, bool):
            self._report("enabled", f"enabled is {describe(value)}, not true or false", "write true or false")
        return value is True

    def _judge(self, member: Member) -> None:
        """Report what is wrong with the entry as a whole."""
        if member.tier is Tier.KEY and not member.public_keys:
            self._report("tier", "tier is key, but there is no public_key", 'add "public_key", or take "tier" out')
        if member.tier not in (None, Tier.KEY) and member.public_keys:
            reason = f"tier is {member.tier}, but an entry with a public_key takes part in the key tier only"
            self._report("tier", reason, 'take "tier" or "public_key" out')
        if member.psk is not None and not member.public_keys:
            reason = "psk_file is used in the key tier only, and there is no public_key"
            self._report("psk_file", reason, 'add "public_key", or take "psk_file" out', level="warning")
        address, mask = int(member.private_ip), int(member.mask)  # numbers: IPv4Interface takes 20 us
        host, last_host = address & ~mask, ~mask & 0xFFFFFFFF
        if last_host > 1 and host in (0, last_host):
            which = "broadcast address" if host else "network address"
            reason = f"private_ip {member.private_ip} is the {which} of {member.interface.network}"
            self._report("private_ip", reason, "hosts may refuse to talk to it; choose another", level="warning")
        if member.gateway is not None and (int(member.gateway) ^ address) & mask:
            reason = f"gateway {member.gateway} lies outside {member.interface.network}"
            self._report("gateway", reason, "clients of the seed show it, nobody uses it", level="note")


def _meant_to_protect(key: str) -> str | None:
    word = nearest(key, PROTECTING, MISSPELT)
    return PROTECTING[word] if word else None


def _optional_ipv4(text: str) -> IPv4Address | None:
    return parse_ipv4(text) if text else None


def _optional_interface6(text: str) -> IPv6Interface | None:
    return parse_interface6(text) if text else None


def _tier(text: str) -> Tier:
    try:
        return Tier(text)
    except ValueError:
        raise Complaint(f"{quoted(text)} is not a tier", suggestion(text, list(Tier))) from None


def parse_moment(text: str) -> datetime:
    """Return an RFC 3339 time; a day alone ends with that day in UTC. Raises: Complaint."""
    try:
        if len(text) == len("2027-06-30"):
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise Complaint(f"{quoted(text)} is not a time", "as in 2027-06-30 or 2027-06-30T18:00:00Z") from None
    if moment.tzinfo is None:
        raise Complaint(f"{quoted(text)} names no time zone", f"write {quoted(text + 'Z')} for UTC")
    return moment
