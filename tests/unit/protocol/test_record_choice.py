"""Which record cipher two peers end up with."""

from __future__ import annotations

import itertools

import pytest

from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.record_choice import choose_cipher, record_ciphers
from rustun.protocol.records import Cipher

AES, CHACHA = Cipher.AES256, Cipher.CHACHA20
LISTS = [tuple(order) for size in range(3) for order in itertools.permutations((AES, CHACHA), size)]


@pytest.mark.parametrize(
    ("setting", "method", "fast", "slow"),
    [
        ("auto", SeedMethod.AES256, (AES, CHACHA), (CHACHA, AES)),
        ("auto", None, (AES, CHACHA), (CHACHA, AES)),
        ("", None, (AES, CHACHA), (CHACHA, AES)),
        ("", SeedMethod.AES256, (AES,), (AES,)),
        ("", SeedMethod.CHACHA20POLY1305, (CHACHA,), (CHACHA,)),
        ("chacha20", SeedMethod.AES256, (CHACHA,), (CHACHA,)),
        ("aes256", None, (AES,), (AES,)),
    ],
)
def test_what_a_side_offers(
    setting: str, method: SeedMethod | None, fast: tuple[Cipher, ...], slow: tuple[Cipher, ...]
) -> None:
    """If this fails, what the operator wrote is not what is used, or a weak processor does AES by hand."""
    assert record_ciphers(setting, method, aes_is_fast=True) == fast
    assert record_ciphers(setting, method, aes_is_fast=False) == slow


@pytest.mark.parametrize(("liked", "allowed"), list(itertools.product(LISTS, LISTS)))
def test_the_choice_is_common_and_fair(liked: tuple[Cipher, ...], allowed: tuple[Cipher, ...]) -> None:
    """If this fails, a side gets a cipher that it did not offer, or none although both have one."""
    choice = choose_cipher(liked, allowed)
    common = set(liked) & set(allowed)
    if not common:
        assert choice is None
    elif liked[0] is allowed[0]:
        assert choice is liked[0]
    elif len(common) == 2:
        assert choice is CHACHA
    else:
        assert {choice} == common
    assert choice is choose_cipher(allowed, liked)
