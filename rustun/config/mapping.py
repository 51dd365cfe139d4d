"""`cider_mapping`: the prefix that a cluster sees, and the real LAN behind it, address for address."""

from __future__ import annotations

from rustun.backends.base import Prefix
from rustun.config.addresses import parse_prefix
from rustun.config.findings import Complaint, describe


def parse_mapping(seen: str, real: object) -> tuple[Prefix, Prefix]:
    """Return both prefixes of one entry. Raises: Complaint: not prefixes, or not of one kind and length."""
    if not isinstance(real, str):
        raise Complaint(f"{describe(real)} is not a prefix", "a prefix in quotes, as 192.168.10.0/24")
    seen_prefix, real_prefix = parse_prefix(seen), parse_prefix(real)
    if seen_prefix.version != real_prefix.version or seen_prefix.prefixlen != real_prefix.prefixlen:
        raise Complaint(f"{seen_prefix} and {real_prefix} are not of one length", "map address for address")
    if not seen_prefix.prefixlen:
        raise Complaint(f"{seen_prefix} cannot be mapped", "take it out")
    return seen_prefix, real_prefix
