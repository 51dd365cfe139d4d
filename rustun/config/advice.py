"""What an operator should know about a server and its members taken together; for `check` and the server's start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from rustun.config.member import Member
from rustun.config.routes import RoutesFile
from rustun.config.server import ServerConfig
from rustun.errors import Level, Problem
from rustun.printable import quoted
from rustun.protocol.tiers import Tier

SOON: Final = timedelta(days=30)
NAMED: Final = 5  # members named in one note; the others are counted


def advise(config: ServerConfig, routes: RoutesFile) -> tuple[Problem, ...]:
    """Return warnings and notes about tiers and keys: who cannot come in, who could by a lower tier."""
    members = [member for member in routes.members if member.enabled]
    minimum = config.security.minimum_tier
    has_keys, method = bool(config.security.private_keys), config.method
    keyed = [member for member in members if member.public_keys]
    by_tier = {tier: [m for m in members if not m.public_keys and (m.tier or minimum) is tier] for tier in Tier}
    problems: list[Problem] = []

    def add(concerned: Sequence[Member], reason: str, remedy: str, level: Level) -> None:
        if concerned:
            counted = f"{len(concerned)} member{'s' if len(concerned) > 1 else ''}"
            text = f"{counted} {reason}: {named(concerned)}"
            problems.append(Problem(str(config.routes_file), concerned[0].line, "", text, remedy, level))

    if has_keys:
        reason = "is not acted on by this version: nobody can come in by the key tier"
        remedy = "leave it out, and public_key in routes.json"
        problems.append(Problem(str(config.path), 0, "security_config.private_key_file", reason, remedy, "warning"))
    else:
        remedy = "write private_key_file into the server's [security_config]"
        add(keyed, "with a public_key cannot come in, since the server has no key", remedy, "warning")
    remedy = 'add "public_key", or "tier" where a lower one will do'
    add(by_tier[Tier.KEY], "without a public_key cannot come in, since minimum_tier is key", remedy, "warning")
    textual = by_tier[Tier.SHARED] + by_tier[Tier.LEGACY]
    if method is None:
        add(textual, "cannot come in, since the server has no crypto_config", "add [crypto_config]", "warning")
        return tuple(problems)
    if method.insecure:
        remedy = "choose another method, or another tier"
        add(by_tier[Tier.SHARED], f"of tier shared cannot come in by {method}", remedy, "warning")
    elif has_keys:
        remedy = "give them keys when all can"
        add(by_tier[Tier.SHARED], "can come in by the shared key alone, without a key of their own", remedy, "note")
    if not method.insecure:
        remedy = "for members that run the seed's client only"
        add(by_tier[Tier.LEGACY], "can come in by the seed's wire, which keeps no secret for long", remedy, "warning")
    return (*problems, *_one_key_for_many(config, textual))


def _one_key_for_many(config: ServerConfig, members: Iterable[Member]) -> Iterable[Problem]:
    clusters = sorted({member.cluster for member in members})
    if len(clusters) > 1:
        shown = ", ".join(quoted(cluster) for cluster in clusters[:NAMED])
        more = f" and {len(clusters) - NAMED} more" if len(clusters) > NAMED else ""
        reason = (
            f"one key for {len(clusters)} clusters ({shown}{more}): who holds it can claim to be any of their members"
        )
        remedy = "run a server for each cluster, each with a key of its own"
        yield Problem(str(config.path), 0, "crypto_config", reason, remedy, "warning")


def expiries(routes: RoutesFile, file: str, now: datetime) -> Iterable[Problem]:
    """Yield members that have expired or soon will; `now` has a time zone."""
    for member in routes.members:
        if member.expires_at is None or member.expires_at > now + SOON:
            continue
        when = member.expires_at.isoformat()
        if member.expires_at <= now:
            yield Problem(file, member.line, member.label, f"expired at {when}", "renew or remove it", "warning")
        else:
            days = (member.expires_at - now).days
            yield Problem(file, member.line, member.label, f"expires in {days} days, at {when}", "", "note")


def named(members: Sequence[Member]) -> str:
    """Return the identities of the first few members, and how many more there are."""
    shown = ", ".join(quoted(member.identity) for member in members[:NAMED])
    return shown + (f" and {len(members) - NAMED} more" if len(members) > NAMED else "")
