"""Credentials and keys."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from rustun.protocol.suites import KEY, Credentials, canonical, public_key

PRIME = 2**255 - 19


def test_credentials_show_nothing_secret() -> None:
    """If this fails, a log line or a traceback holds what a member proves itself with."""
    static = X25519PrivateKey.from_private_bytes(b"\x55" * 32)
    shown = repr(Credentials(KEY, b"\x66" * 32, static, bytes(32)))
    for secret in (b"\x55" * 32, b"\x66" * 32):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


@pytest.mark.parametrize("seed", range(8))
def test_twins_of_a_key_have_one_spelling(seed: int) -> None:
    """If this fails, a removed key goes on under another spelling, or two members have the same key."""
    key = public_key(X25519PrivateKey.from_private_bytes(random.Random(seed).randbytes(32)))
    assert canonical(key) == key
    assert canonical(key[:31] + bytes([key[31] | 0x80])) == key


@pytest.mark.parametrize("value", range(2, 19))
def test_values_over_the_prime_are_reduced(value: int) -> None:
    """If this fails, a public key over the prime is another one to us than to X25519."""
    over = (PRIME + value).to_bytes(32, "little")
    under = value.to_bytes(32, "little")
    assert canonical(over) == under
    own = X25519PrivateKey.from_private_bytes(b"\x77" * 32)
    assert own.exchange(X25519PublicKey.from_public_bytes(over)) == own.exchange(
        X25519PublicKey.from_public_bytes(under)
    )
