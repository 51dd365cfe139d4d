"""What a client may try to prove itself with, in turn (docs/protocol.md, "Tiers").

Rules of this module
  1. A client speaks one tier. What changes between tries is the server, and a key of that tier: while keys are
     exchanged for new ones there may be two of its own and two of the server's.
  2. What worked stays until it fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.backends.base import Endpoint
from rustun.config.client import ClientConfig
from rustun.config.keys import parse_psk
from rustun.protocol.ciphers import SeedCipher, seed_cipher
from rustun.protocol.suites import KEY, NO_PSK, Credentials, shared_credentials
from rustun.protocol.tiers import Tier


@dataclass(frozen=True, slots=True)
class Attempt:
    """A server, and what to prove to it."""

    server: Endpoint
    secret: SeedCipher | Credentials


class Attempts:
    """All that a client may try, and where it stands.

    Args:
        config: of the client; a shared key takes 0.1 s to stretch.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._all = tuple(_attempts(config))
        self._index = 0

    @property
    def present(self) -> Attempt:
        """What is to be tried, or in use."""
        return self._all[self._index]

    def next(self) -> bool:
        """The present one failed: go on to the next; False when all were tried and it is the first one's turn again."""
        self._index = (self._index + 1) % len(self._all)
        return self._index != 0


def _attempts(config: ClientConfig) -> list[Attempt]:
    if config.tier is Tier.KEY:
        psk = parse_psk(config.psk.reveal()) if config.psk is not None else NO_PSK
        statics = [X25519PrivateKey.from_private_bytes(key.raw()) for key in config.private_keys]
        return [
            Attempt(server.endpoint, Credentials(KEY, psk, static, remote))
            for server in config.servers
            for static, remote in product(statics, server.public_keys)
        ]
    key = config.key.reveal() if config.key is not None else ""
    secret: SeedCipher | Credentials
    if config.tier is Tier.LEGACY and config.method is not None:
        secret = seed_cipher(config.method, key)
    else:
        secret = shared_credentials(key)
    return [Attempt(server.endpoint, secret) for server in config.servers]
