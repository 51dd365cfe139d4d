"""What an operator should know about a server and its members taken together; for `check` and the server's start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from rustun.config.keys import encode_key
from rustun.config.member import Member
from rustun.config.routes import RoutesFile
from rustun.config.server import ServerConfig
from rustun.errors import Level, Problem
from rustun.printable import quoted
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.tiers import Tier

SOON: Final = timedelta(days=30)
NEVER: Final = datetime.max.replace(tzinfo=UTC)
NAMED: Final = 5  # members named in one note; the others are counted
SHOWN_SINGLY: Final = 20  # members whose end has a line of its own
LOWER_WAYS: Final[dict[Tier, tuple[str, str, Level]]] = {
    Tier.SHARED: ("the shared key alone", "give them keys when all can", "note"),
    Tier.LEGACY: (
        "the seed's wire, which keeps no secret for long",
        "for members that run the seed's client only",
        "warning",
    ),
}


def advise(config: ServerConfig, routes: RoutesFile) -> tuple[Problem, ...]:
    """Return warnings and notes about tiers and keys (who cannot come in, who could by less), and about open pages.

    Args:
        routes: the members in force, with the keys that entries have lost (rustun.config.known_keys).
    """
    members = [member for member in routes.members if member.enabled]
    keyed = [member for member in members if member.public_keys]
    minimum = config.security.minimum_tier
    lower = [member for member in members if not member.public_keys and (member.tier or minimum) < Tier.KEY]
    silent = [member for member in members if not member.public_keys and member.tier is None]
    problems = [*_about_keys(config, keyed, silent)]
    if config.method is None:
        problems += _said(config, lower, "cannot come in, since the server has no crypto_config", "add [crypto_config]")
    else:
        problems += _about_lower_tiers(config, config.method, lower)
        problems += _one_key_for_many(config, lower)
    problems += _about_pages(config)
    return tuple(problems)


def _said(
    config: ServerConfig, concerned: Sequence[Member], reason: str, remedy: str, level: Level = "warning"
) -> Iterator[Problem]:
    if concerned:
        text = f"{counted(concerned)} {reason}: {named(concerned)}"
        yield Problem(str(config.routes_file), concerned[0].line, "", text, remedy, level)


def _about_keys(config: ServerConfig, keyed: list[Member], silent: list[Member]) -> Iterator[Problem]:
    own = {key.public for key in config.security.private_keys}
    if not own:
        remedy = "write private_key_file into the server's [security_config]"
        yield from _said(config, keyed, "with a public_key cannot come in, since the server has no key", remedy)
    mistaken = [member for member in keyed if own.intersection(map(encode_key, member.public_keys))]
    remedy = "write the member's: rustun keygen --public shows it on its host"
    yield from _said(config, mistaken, "with the server's own public_key", remedy)
    if config.security.minimum_tier is Tier.KEY:
        running = "a server that runs and knew its key goes on with that until its next start"
        remedy = f'add "public_key", or "tier" where a lower one will do; {running}'
        yield from _said(config, silent, "without a public_key cannot come in, since minimum_tier is key", remedy)


def _about_lower_tiers(config: ServerConfig, method: SeedMethod, lower: list[Member]) -> Iterator[Problem]:
    minimum = config.security.minimum_tier
    for tier, (way, remedy, level) in LOWER_WAYS.items():
        written = [member for member in lower if member.tier is tier]
        others = [member for member in lower if member.tier is None and minimum is tier]
        if method.insecure and tier is Tier.SHARED:
            reason = f"of tier shared cannot come in by {method}"
            yield from _said(config, written, reason, "choose another method, or another tier")
        elif not method.insecure and (tier is Tier.LEGACY or config.security.private_keys):
            yield from _said(config, written, f"can come in by {way}, as the entry says", remedy, level)
            yield from _said(config, others, f"can come in by {way}, since minimum_tier is {minimum}", remedy, level)


def _one_key_for_many(config: ServerConfig, members: Iterable[Member]) -> Iterable[Problem]:
    clusters = sorted({member.cluster for member in members})
    if len(clusters) > 1:
        shown = ", ".join(quoted(cluster) for cluster in clusters[:NAMED])
        more = f" and {len(clusters) - NAMED} more" if len(clusters) > NAMED else ""
        reason = (
            f"one key for {len(clusters)} clusters ({shown}{more}): who holds it can claim to be any of their members"
        )
        remedy = "give members keys of their own (rustun keygen), or run a server for each cluster"
        yield Problem(str(config.path), 0, "crypto_config", reason, remedy, "warning")


def _about_pages(config: ServerConfig) -> Iterator[Problem]:
    web = config.web
    for key, listen in (
        ("dashboard_config.listen", web.listen),
        ("admin_config.metrics_listen", web.metrics_listen),
    ):
        if open_ones := [str(one) for one in listen if not ip_address(one.host).is_loopback]:
            reason = f"{', '.join(open_ones)} is plain HTTP: who listens on the way to it reads the token"
            remedy = "bind 127.0.0.1 behind a proxy with TLS or ssh -L, or an address inside a tunnel"
            yield Problem(str(config.path), 0, key, reason, remedy, "note")


def absences(routes: RoutesFile, file: str, now: datetime) -> Iterator[Problem]:
    """Yield who is disabled, has expired or soon will; `now` has a time zone."""
    disabled = [member for member in routes.members if not member.enabled]
    if disabled:
        reason = f'{counted(disabled)} with "enabled": false cannot come in: {named(disabled)}'
        yield Problem(file, disabled[0].line, "", reason, "", "note")
    ending = [member for member in routes.members if member.enabled and _end(member) <= now + SOON]
    ending.sort(key=_end)
    for member in ending[:SHOWN_SINGLY]:
        when = _end(member).isoformat()
        if _end(member) <= now:
            yield Problem(file, member.line, member.label, f"expired at {when}", "renew or remove it", "warning")
        else:
            days = (_end(member) - now).days
            yield Problem(file, member.line, member.label, f"expires in {days} days, at {when}", "", "note")
    if rest := ending[SHOWN_SINGLY:]:
        reason = f"{counted(rest)} more end by {_end(rest[-1]).isoformat()}: {named(rest)}"
        yield Problem(file, rest[0].line, "", reason, "renew or remove them", "warning")


def _end(member: Member) -> datetime:
    return member.expires_at or NEVER


def counted(members: Sequence[Member]) -> str:
    """Return how many there are, in words."""
    return f"{len(members)} member{'s' if len(members) > 1 else ''}"


def named(members: Sequence[Member]) -> str:
    """Return the identities of the first few members, and how many more there are."""
    shown = ", ".join(quoted(member.identity) for member in members[:NAMED])
    return shown + (f" and {len(members) - NAMED} more" if len(members) > NAMED else "")
