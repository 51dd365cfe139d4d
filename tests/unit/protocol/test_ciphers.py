"""The seed's four methods: bounds, refusals, and what an operator is told about keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustun.errors import ProtocolError
from rustun.protocol.ciphers import SeedMethod, seed_cipher, weak_key_notes

GOOD_KEY = "correct horse battery staple"
NONCE = bytes(range(12))
AEADS = [SeedMethod.CHACHA20POLY1305, SeedMethod.AES256]


@given(st.sampled_from(SeedMethod), st.text(min_size=1, max_size=70), st.binary(max_size=3000))
def test_what_was_sealed_opens(method: SeedMethod, key: str, plaintext: bytes) -> None:
    """Fails if a payload of any length is lost between two ends with the same key, or more is written than said."""
    cipher = seed_cipher(method, key)
    sealed, opened = bytearray(b"\xee" * 4000), bytearray(b"\xee" * 4000)
    length = cipher.seal_into(plaintext, NONCE, sealed)
    assert length == len(plaintext) + cipher.overhead_bytes
    assert cipher.open_into(memoryview(sealed)[:length], opened) == len(plaintext)
    assert opened[: len(plaintext)] == plaintext
    assert not sealed[length:].strip(b"\xee") and not opened[len(plaintext) :].strip(b"\xee")


@pytest.mark.parametrize("method", SeedMethod)
def test_the_largest_payload_passes(method: SeedMethod) -> None:
    """Fails if a frame of 65535 bytes is cut or refused."""
    cipher = seed_cipher(method, GOOD_KEY)
    plaintext = bytes(index % 251 for index in range(65_535 - cipher.overhead_bytes))
    sealed, opened = bytearray(65_535), bytearray(65_535)
    assert cipher.seal_into(plaintext, NONCE, sealed) == 65_535
    assert opened[: cipher.open_into(sealed, opened)] == plaintext


@pytest.mark.parametrize("method", AEADS)
def test_altered_or_foreign_payloads_do_not_open(method: SeedMethod) -> None:
    """Fails if a forged payload, or one of another key, is taken for the member's."""
    cipher = seed_cipher(method, GOOD_KEY)
    sealed = bytearray(28 + 20)
    cipher.seal_into(bytes(20), NONCE, sealed)
    for position in range(len(sealed)):
        forged = bytearray(sealed)
        forged[position] ^= 1
        with pytest.raises(ProtocolError, match="does not open"):
            cipher.open_into(forged, bytearray(20))
    with pytest.raises(ProtocolError):
        seed_cipher(method, GOOD_KEY + "x").open_into(sealed, bytearray(20))
    with pytest.raises(ProtocolError):
        seed_cipher(AEADS[1 - AEADS.index(method)], GOOD_KEY).open_into(sealed, bytearray(20))
    assert cipher.open_into(sealed, bytearray(20)) == 20  # one bad payload does not spoil the cipher


@pytest.mark.parametrize("method", AEADS)
@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_short_payloads_are_refused(method: SeedMethod, length: int) -> None:
    """Fails if a payload too short for nonce and tag raises something else than the protocol's error."""
    with pytest.raises(ProtocolError, match="shorter"):
        seed_cipher(method, GOOD_KEY).open_into(bytes(length), bytearray(64))


@pytest.mark.parametrize("method", SeedMethod)
def test_a_small_output_is_a_bug_of_ours(method: SeedMethod) -> None:
    """Fails if an output buffer that is too small is written past, grown or half filled in silence."""
    cipher = seed_cipher(method, GOOD_KEY)
    with pytest.raises(ValueError):
        cipher.seal_into(bytes(20), NONCE, bytearray(19 + cipher.overhead_bytes))
    sealed = bytearray(20 + cipher.overhead_bytes)
    cipher.seal_into(bytes(20), NONCE, sealed)
    with pytest.raises(ValueError):
        cipher.open_into(sealed, bytearray(19))


def test_xor_refuses_what_its_key_stream_does_not_cover() -> None:
    """Fails if bytes past a payload's greatest length would leave unmixed or misplaced."""
    with pytest.raises(ValueError, match="at most 65535"):
        seed_cipher(SeedMethod.XOR, GOOD_KEY).seal_into(bytes(65_536), NONCE, bytearray(65_536))


def test_keys_that_cannot_be_used_are_refused() -> None:
    """Fails if xor would run without a key, or a key of broken text ends in a traceback that carries it."""
    with pytest.raises(ValueError, match="xor needs a key"):
        seed_cipher(SeedMethod.XOR, "")
    with pytest.raises(ValueError) as caught:
        seed_cipher(SeedMethod.AES256, "secret\udc80")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_only_the_testing_modes_are_insecure() -> None:
    """Fails if xor or plain could run without the loud warning."""
    assert {method for method in SeedMethod if seed_cipher(method, GOOD_KEY).insecure} == {"xor", "plain"}
    assert {method for method in SeedMethod if method.insecure} == {"xor", "plain"}


@pytest.mark.parametrize(
    ("method", "key", "words"),
    [
        (SeedMethod.AES256, GOOD_KEY, []),
        (SeedMethod.AES256, "x" * 32, []),
        (SeedMethod.AES256, "x" * 33, ["first 32"]),
        (SeedMethod.CHACHA20POLY1305, "ü" * 17, ["first 32"]),  # 34 bytes
        (SeedMethod.CHACHA20POLY1305, "rustun", ["default"]),
        (SeedMethod.CHACHA20POLY1305, "x" * 15, ["guessed"]),
        (SeedMethod.CHACHA20POLY1305, "", ["guessed"]),
        (SeedMethod.AES256, "🔑" * 9, ["guessed", "first 32"]),
        (SeedMethod.XOR, "x" * 40, ["protects nothing"]),
        (SeedMethod.PLAIN, "", ["protects nothing"]),
    ],
)
def test_weak_key_notes(method: SeedMethod, key: str, words: list[str]) -> None:
    """Fails if an operator is not told about a weak key, is told in vain, or is shown the key."""
    notes = weak_key_notes(method, key)
    assert len(notes) == len(words)
    assert all(word in note for word, note in zip(words, notes, strict=True))
    assert len(key) < 7 or key not in " ".join(notes)
