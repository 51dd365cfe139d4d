"""Rules about who gets in, how, and until when."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rustun.ops.filenames import SHARED_KEY, member_key_file, psk_file, server_key_file
from rustun.ops.fleet import Inventory, Member
from rustun.ops.linting.finding import Finding
from rustun.ops.linting.prefixes import table_of
from rustun.protocol.tiers import Tier

SOON: Final = dt.timedelta(days=30)
OLD_KEY: Final = dt.timedelta(days=365)
DEFAULT_KEYS: Final = frozenset(("rustun", "changeme", "password", "secret"))  # the first: the seed's own
SHORT_CHARACTERS: Final = 16  # of a shared key: less can be guessed from a recorded handshake
SHOWN: Final = 3


def low_tiers(inventory: Inventory) -> Iterator[Finding]:
    """Find clusters whose members come in below the key tier; one finding for each cluster and tier."""
    for cluster in inventory.clusters:
        found: dict[Tier, list[Member]] = {}
        for member in cluster.members:
            if (tier := inventory.tier_of(member)) is not Tier.KEY:
                found.setdefault(tier, []).append(member)
        for tier, members in found.items():
            lacks = "neither secrecy nor identity" if tier is Tier.LEGACY else "no identity: who has the key is anybody"
            names = ", ".join(member.identity for member in members[:SHOWN])
            more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
            yield Finding(
                "low-tier", "warning", ("cluster", cluster.name), "",
                f"{names}{more} come in by the {tier} tier, which gives {lacks}",
                'take tier out where their programs know key pairs, and deploy', str(tier),
            )  # fmt: skip


def expiring(inventory: Inventory, now: dt.datetime) -> Iterator[Finding]:
    """Find members whose time is over, or soon will be."""
    for member in inventory.members:
        end = member.settings.expires_at
        if end is None or end - now > SOON:
            continue
        over = end <= now
        when = f"ended {(now - end).days} days ago" if over else f"ends in {(end - now).days} days"
        remedy = "remove the member" if over else "write a later expires_at, or let it end"
        yield Finding("expired" if over else "expiring", "warning", table_of(member), "expires_at", when, remedy)


def keys(inventory: Inventory, folder: Path, now: dt.datetime) -> Iterator[Finding]:
    """Find shared keys that can be guessed, and key pairs that are old or half exchanged.

    Args:
        folder: of the generated files; what is not there is not judged.
    """
    yield from _shared_key(folder / SHARED_KEY)
    for member in inventory.members:
        numbers = member.settings.key or ()
        if len(numbers) > 1 and not member.public_keys:
            yield Finding(
                "rotation", "note", table_of(member), "key",
                f"two key pairs are valid: {numbers[0]} and {numbers[1]}", "go on with ./invoke rotate-keys",
            )  # fmt: skip
    ages = [now.timestamp() - made for made in _made(inventory, folder)]
    if old := [age for age in ages if age > OLD_KEY.total_seconds()]:
        count = f"{len(old)} private key{'s are' if len(old) > 1 else ' is'}"
        reason = f"{count} older than {OLD_KEY.days} days, the oldest {max(old) / 86_400:.0f}"
        yield Finding("old-keys", "note", ("fleet",), "", reason, "./invoke rotate-keys exchanges them without a gap")


def quiet_until(inventory: Inventory, folder: Path) -> float:
    """Return when, unix seconds, `expiring` or `keys` will find something by time alone; it was, where they do now."""
    ends = [end.timestamp() for member in inventory.members if (end := member.settings.expires_at)]
    soon = [end - SOON.total_seconds() for end in ends]
    old = [made + OLD_KEY.total_seconds() for made in _made(inventory, folder)]
    return min((*soon, *old), default=math.inf)


def _made(inventory: Inventory, folder: Path) -> Iterator[float]:
    """Yield when each key in use was made, unix seconds; files of retired keys and of former members do not count."""
    owned = ((one.identity, one.settings.key or ()) for one in inventory.members if not one.public_keys)
    names = [member_key_file(identity, number) for identity, numbers in owned for number in numbers]
    generated = (server for server in inventory.servers if not server.public_keys)
    names += [server_key_file(server.name, number) for server in generated for number in inventory.server_key]
    for name in names:
        with contextlib.suppress(OSError):
            yield (folder / name).stat().st_mtime


def pre_shared_keys(inventory: Inventory, folder: Path) -> Iterator[Finding]:
    """Find pre-shared keys that protect nothing: without effect, guessable, or of several members.

    Args:
        folder: of the generated files; what is not there is not judged.
    """
    for cluster in inventory.clusters:
        if idle := [one.identity for one in cluster.members if one.settings.psk and not inventory.has_psk(one)]:
            names = ", ".join(idle[:SHOWN]) + (f" and {len(idle) - SHOWN} more" if len(idle) > SHOWN else "")
            reason = f"psk is without effect for {names}: only the key tier has pre-shared keys"
            remedy = "take tier out where their programs know key pairs, or write psk = false"
            yield Finding("psk-unused", "warning", ("cluster", cluster.name), "", reason, remedy)
    first: dict[str, str] = {}
    for member in inventory.members:
        if not inventory.has_psk(member):
            continue
        try:
            text = (folder / psk_file(member.identity)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):  # as of the shared key
            continue
        remedy = "write psk = false, deploy, delete the file, write psk = true, and deploy"
        if (owner := first.setdefault(text, member.identity)) != member.identity:
            reason = f"has the same pre-shared key as {owner}, who can take it out of what was recorded"
            yield Finding("same-psk", "warning", table_of(member), "psk", reason, remedy)
        if len(set(text)) < SHORT_CHARACTERS // 2:
            reason = f"{folder / psk_file(member.identity)} holds a key that can be guessed"
            yield Finding("weak-key", "error", table_of(member), "psk", reason, remedy)


def _shared_key(path: Path) -> Iterator[Finding]:
    """Judge a shared key without ever showing it."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):  # not there, or not ours to read: gen-config says so where it matters
        return
    remedy = "delete it and run ./invoke gen-config, which makes a strong one; then deploy everywhere"
    if text.lower() in DEFAULT_KEYS:
        yield Finding("default-key", "error", ("fleet",), "", f"{path} holds a key that everybody knows", remedy)
    elif len(text) < SHORT_CHARACTERS or len(set(text)) < SHORT_CHARACTERS // 2:
        reason = f"{path} holds a key of {len(text)} characters, which can be guessed"
        yield Finding("weak-key", "error", ("fleet",), "", reason, remedy)


def leftovers(inventory: Inventory) -> Iterator[Finding]:
    """Find tables that nobody needs, or that cannot do anything yet."""
    for cluster in inventory.clusters:
        if not cluster.members:
            remedy = f"./invoke add-member {cluster.name} IDENTITY, or take it out"
            yield Finding("empty-cluster", "note", ("cluster", cluster.name), "", "has no member", remedy)
        if len(cluster.members) == 1:
            remedy = "add the one it should talk to"
            yield Finding("lone-member", "note", table_of(cluster.members[0]), "", "is alone in its cluster", remedy)
