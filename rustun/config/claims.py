"""Who claims which identity, key, address and prefix; nobody may claim what another has.

A member's address counts as its /32 or /128 prefix, so one table judges both (docs/protocol.md, section 9). Default
routes may be claimed by many: a client names the exit that it wants. Nested prefixes are legal, the longest wins;
they are noted once for each covering prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice
from typing import Final, NamedTuple

from rustun.backends.base import Prefix
from rustun.config.addresses import ADDRESS_BITS
from rustun.config.findings import Findings
from rustun.config.json_entries import EntryCutter, Span
from rustun.config.keys import encode_key
from rustun.config.member import Member
from rustun.printable import quoted

NAMED_IN_A_NOTE: Final = 3
CLAIMS_PER_STEP: Final = 64  # a claim takes about 5 us
MAX_SEARCH: Final = 4096  # addresses that are tried for a free one

Place = tuple[str, int, int, int]  # cluster, IP version, prefix length, network as a number


class Claim(NamedTuple):
    """A prefix of a member; `key` is what it stands under. Numbers, because a big file has 100,000 of them."""

    member: Member
    span: Span
    key: str
    place: Place

    @property
    def prefix(self) -> Prefix:
        _, version, length, number = self.place
        return IPv4Network((number, length)) if version == 4 else IPv6Network((number, length))

    @property
    def text(self) -> str:
        """Return how messages name it."""
        return str(self.prefix) if self.key == "ciders" else str(self.prefix.network_address)


class Claims:
    """Collects the claims of one file's members and reports what clashes."""

    def __init__(self, cutter: EntryCutter, findings: Findings) -> None:
        self._cutter = cutter
        self._findings = findings
        self._identities: dict[str, Member] = {}
        self._keys: dict[bytes, Member] = {}
        self._owners: dict[Place, Claim] = {}
        self._clashes: list[tuple[Claim, Claim]] = []
        self._lengths: dict[tuple[str, int], set[int]] = {}  # (cluster, version) -> lengths of prefixes

    def add(self, member: Member, span: Span) -> Iterator[None]:
        """Take a member's claims; yields where that takes long."""
        first = self._identities.setdefault(member.identity, member)
        if first is not member:
            reason = f"identity {quoted(member.identity)} is taken by the entry at {_place(first, member)}"
            self._report(member, span, "identity", reason, "an identity stands once in the whole file; rename one")
        for key in member.public_keys:
            holder = self._keys.setdefault(key, member)
            if holder is not member:
                reason = f"public_key is that of {quoted(holder.identity)} at {_place(holder, member)}"
                remedy = "make a key pair of its own for each member"
                self._report(member, span, "public_key", reason, remedy, encode_key(key))
        for number, claim in enumerate(_claims(member, span), start=1):
            self._claim(claim)
            if not number % CLAIMS_PER_STEP:
                yield

    def _claim(self, claim: Claim) -> None:
        cluster, version, length, _ = claim.place
        if not length:
            return
        owner = self._owners.setdefault(claim.place, claim)
        if owner.member is not claim.member:
            self._clashes.append((claim, owner))
        if claim.key == "ciders":
            self._lengths.setdefault((cluster, version), set()).add(length)

    def report(self) -> Iterator[None]:
        """Report clashes, nested and public prefixes; yields after every few."""
        for claim, owner in self._clashes:
            self._report_clash(claim, owner)
            yield
        inner: dict[Place, list[Claim]] = {}
        for number, claim in enumerate(self._owners.values(), start=1):
            self._find_covering(claim, inner)
            if claim.key == "ciders" and claim.prefix.is_global:
                reason = f"ciders: {claim.prefix} is public: the whole cluster reaches it through this member"
                self._report(claim.member, claim.span, "ciders", reason, "", claim.text)
            if not number % CLAIMS_PER_STEP:
                yield
        for place, claims in inner.items():
            self._report_nested(self._owners[place], claims)
            yield

    def forget(self) -> Iterator[None]:
        """Free what was collected in steps; freeing 10,000 members' claims at once takes 30 ms."""
        while self._owners:
            for _ in range(min(CLAIMS_PER_STEP, len(self._owners))):
                self._owners.popitem()
            yield

    def _report_clash(self, claim: Claim, owner: Claim) -> None:
        where = f"line {self._line(owner)}"
        holder = quoted(owner.member.identity)
        if claim.key == owner.key:
            reason = f"{_noun(claim)} {claim.text} is taken by {holder} at {where}"
        else:
            reason = f"{_noun(claim)} {claim.text} is the {_noun(owner)} of {holder} at {where}"
        if claim.key != owner.key:
            remedy = "take the prefix out, or give the other member another address"
        elif claim.key == "ciders":
            remedy = "take it out of one of them"
        else:
            remedy = self._free_address(claim)
        self._findings.add(self._line(claim), claim.member.label, reason, remedy)

    def _free_address(self, claim: Claim) -> str:
        """Return the remedy for an address that two want: one that nobody has in the same network."""
        cluster, version, bits, _ = claim.place
        of = claim.member
        network = ip_network(of.private_ip6.network) if version == 6 and of.private_ip6 else of.interface.network
        for number in islice(range(1, network.num_addresses - 1), MAX_SEARCH):
            address = network[number]
            place = (cluster, version, bits, int(address))
            if place not in self._owners and address != of.gateway:
                self._owners[place] = claim  # so that the next clash is told another one
                return f"give one of them another address; {address} is free"
        return f"give one of them another address; {network} looks full"

    def _find_covering(self, claim: Claim, inner: dict[Place, list[Claim]]) -> None:
        """Add the claim to those of every prefix of another member that it lies in."""
        cluster, version, length, number = claim.place
        for shorter in self._lengths.get((cluster, version), ()):
            if shorter >= length:
                continue
            host_bits = ADDRESS_BITS[version] - shorter
            outer = self._owners.get((cluster, version, shorter, number >> host_bits << host_bits))
            if outer is not None and outer.member is not claim.member:
                inner.setdefault(outer.place, []).append(claim)

    def _report_nested(self, outer: Claim, claims: list[Claim]) -> None:
        named = [f"{claim.text} of {quoted(claim.member.identity)}" for claim in claims[:NAMED_IN_A_NOTE]]
        more = f" and {len(claims) - len(named)} more" if len(claims) > len(named) else ""
        reason = f"ciders: {outer.prefix} covers {', '.join(named)}{more}: the longest prefix wins there"
        self._report(outer.member, outer.span, "ciders", reason, "", outer.text)

    def _line(self, claim: Claim) -> int:
        return self._cutter.line_in(claim.span, claim.key, claim.text if claim.key == "ciders" else None)

    def _report(self, member: Member, span: Span, key: str, reason: str, remedy: str, value: str | None = None) -> None:
        line = self._cutter.line_in(span, key, value)
        self._findings.add(line, member.label, reason, remedy, "error" if remedy else "note")


def _claims(member: Member, span: Span) -> Iterator[Claim]:
    cluster = member.cluster
    yield Claim(member, span, "private_ip", (cluster, 4, 32, int(member.private_ip)))
    if member.private_ip6 is not None:
        yield Claim(member, span, "private_ip6", (cluster, 6, 128, int(member.private_ip6.ip)))
    for prefix in member.ciders:
        yield Claim(member, span, "ciders", (cluster, prefix.version, prefix.prefixlen, int(prefix.network_address)))


def _place(holder: Member, seen_from: Member) -> str:
    cluster = f", cluster {quoted(holder.cluster)[1:-1]}" if holder.cluster != seen_from.cluster else ""
    return f"line {holder.line}{cluster}"


def _noun(claim: Claim) -> str:
    return "prefix" if claim.key == "ciders" else claim.key
