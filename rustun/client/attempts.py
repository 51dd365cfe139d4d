"""What a client may try to prove itself with at a server, in turn (docs/protocol.md, "Tiers").

Rules of this module
  1. A client speaks one tier. What changes between tries is a key of that tier: while keys are exchanged for new ones
     there may be two of its own and two of the server's.
  2. What worked stays until it fails.
  3. A server that is written twice is one server, with the keys of both: two sessions would throw each other out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from rustun.backends.base import Endpoint
from rustun.config.client import ClientConfig
from rustun.config.keys import parse_psk
from rustun.protocol.ciphers import SeedCipher, seed_cipher
from rustun.protocol.suites import KEY, NO_PSK, Credentials, shared_credentials
from rustun.protocol.tiers import Tier

Secret = SeedCipher | Credentials


class Attempts:
    """All that may be tried at one server, and where that stands.

    Args:
        server: as it was configured.
        secrets: what to prove, at least one.
    """

    def __init__(self, server: Endpoint, secrets: Sequence[Secret]) -> None:
        self.server = server
        self._secrets = tuple(secrets)
        self._index = 0

    @property
    def present(self) -> Secret:
        """What is to be tried, or in use."""
        return self._secrets[self._index]

    def next(self) -> bool:
        """The present one failed: go on to the next; False when all were tried and it is the first one's turn again."""
        self._index = (self._index + 1) % len(self._secrets)
        return self._index != 0


def attempts_of(config: ClientConfig) -> tuple[Attempts, ...]:
    """Return what may be tried, one for each server in the order of the list; a shared key takes 0.1 s to stretch."""
    keys: dict[Endpoint, dict[bytes, None]] = {}  # a dict keeps the order
    for server in config.servers:
        keys.setdefault(server.endpoint, {}).update(dict.fromkeys(server.public_keys))
    if config.tier is Tier.KEY:
        psk = parse_psk(config.psk.reveal()) if config.psk is not None else NO_PSK
        statics = [X25519PrivateKey.from_private_bytes(key.raw()) for key in config.private_keys]
        return tuple(
            Attempts(server, [Credentials(KEY, psk, static, remote) for static, remote in product(statics, remotes)])
            for server, remotes in keys.items()
        )
    key = config.key.reveal() if config.key is not None else ""
    secret: Secret
    if config.tier is Tier.LEGACY and config.method is not None:
        secret = seed_cipher(config.method, key)
    else:
        secret = shared_credentials(key)
    return tuple(Attempts(server, [secret]) for server in keys)
