"""Which record cipher two peers use: what each side offers, and what comes of it (docs/protocol.md, section 3)."""

from __future__ import annotations

from typing import Final

from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.records import Cipher

METHOD_CIPHERS: Final = {SeedMethod.AES256: Cipher.AES256, SeedMethod.CHACHA20POLY1305: Cipher.CHACHA20}


def record_ciphers(setting: str, method: SeedMethod | None, *, aes_is_fast: bool) -> tuple[Cipher, ...]:
    """Return the record ciphers that a side offers or allows, in order of liking.

    Args:
        setting: "auto", "aes256", "chacha20", or empty where nothing was written: then the method's own.
        method: of crypto_config or `-c`, None for the key tier.
        aes_is_fast: whether this host has AES instructions.
    """
    if setting == "auto" or (not setting and method not in METHOD_CIPHERS):
        return (Cipher.AES256, Cipher.CHACHA20) if aes_is_fast else (Cipher.CHACHA20, Cipher.AES256)
    if setting:
        return (Cipher(setting),)
    return (METHOD_CIPHERS[method],) if method is not None else ()


def choose_cipher(liked: tuple[Cipher, ...], allowed: tuple[Cipher, ...]) -> Cipher | None:
    """Choose the record cipher from the client's and the server's lists, each in order of liking.

    Where both like the same best, that one; else ChaCha20, the one that is fast without AES instructions. None when
    nothing is common to both.
    """
    common = [cipher for cipher in liked if cipher in allowed]
    if not common:
        return None
    if liked[0] == allowed[0]:
        return liked[0]
    return Cipher.CHACHA20 if Cipher.CHACHA20 in common else common[0]
