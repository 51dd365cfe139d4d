"""What a client may try to prove itself with at a server, in turn (docs/protocol.md, "Tiers").

Rules of this module
  1. A client speaks one tier. What changes between tries is a key of that tier, and the address: while keys are
     exchanged for new ones there may be two of its own and two of the server's.
  2. What worked stays until it fails.
  3. A server is who proves its key: addresses with a key in common are one server's, for two sessions with it would
     throw each other out. The seed's wire, where the newest wins unproved, has one server with all addresses; the
     shared tier, where the first stays, one for each address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.backends.base import Endpoint
from rustun.config.client import ClientConfig, ServerAddress
from rustun.config.keys import parse_psk
from rustun.protocol.ciphers import SeedCipher, seed_cipher
from rustun.protocol.suites import KEY, NO_PSK, Credentials, shared_credentials
from rustun.protocol.tiers import Tier


@dataclass(frozen=True, slots=True)
class Attempt:
    """An address of a server, and what to prove there."""

    address: Endpoint
    secret: SeedCipher | Credentials


class Attempts:
    """All that may be tried at one server, and where that stands.

    Args:
        tries: in their order, at least one.
    """

    def __init__(self, tries: Sequence[Attempt]) -> None:
        self._all = tuple(tries)
        self._index = 0

    @property
    def present(self) -> Attempt:
        """What is to be tried, or in use."""
        return self._all[self._index]

    @property
    def first_address(self) -> Endpoint:
        """The address that stands first in the list: by it a server is known again."""
        return self._all[0].address

    def next(self) -> bool:
        """The present one failed: go on to the next; False when all were tried and it is the first one's turn again."""
        self._index = (self._index + 1) % len(self._all)
        return self._index != 0


def attempts_of(config: ClientConfig) -> tuple[Attempts, ...]:
    """Return what may be tried, one for each server in the order of the list; a shared key takes 0.1 s to stretch."""
    addresses = tuple(dict.fromkeys(server.endpoint for server in config.servers))
    if config.tier is Tier.KEY:
        psk = parse_psk(config.psk.reveal()) if config.psk is not None else NO_PSK
        statics = [X25519PrivateKey.from_private_bytes(key.raw()) for key in config.private_keys]
        return tuple(
            Attempts(
                [
                    Attempt(server.endpoint, Credentials(KEY, psk, static, remote))
                    for server in group
                    for static, remote in product(statics, server.public_keys)
                ]
            )
            for group in _servers(config.servers)
        )
    key = config.key.reveal() if config.key is not None else ""
    if config.tier is Tier.LEGACY and config.method is not None:
        cipher = seed_cipher(config.method, key)
        return (Attempts([Attempt(address, cipher) for address in addresses]),)
    credentials = shared_credentials(key)
    return tuple(Attempts([Attempt(address, credentials)]) for address in addresses)


def _servers(listed: Sequence[ServerAddress]) -> list[list[ServerAddress]]:
    """Return the list in groups that have keys, or an address, in common, each where its first member stood."""
    groups: list[list[ServerAddress]] = []
    for server in listed:
        joined = [group for group in groups if any(_are_one(server, other) for other in group)]
        for group in joined[1:]:
            joined[0] += group
            groups.remove(group)
        if joined:
            joined[0].append(server)
        else:
            groups.append([server])
    return groups


def _are_one(server: ServerAddress, other: ServerAddress) -> bool:
    return server.endpoint == other.endpoint or not set(server.public_keys).isdisjoint(other.public_keys)
