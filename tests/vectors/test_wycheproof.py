"""Project Wycheproof's edge cases against the primitives, called the way this project calls them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from rustun.config.findings import Complaint
from rustun.config.keys import parse_public_key
from rustun.errors import ProtocolError
from rustun.protocol.noise import NoiseHandshake

DATA = Path(__file__).parent / "data"
NONCE_BITS = 96  # the only nonce length that this project uses
AESGCM_NONCE_BITS = range(64, 1025)  # what the primitive takes at all
MAX_HKDF_BYTES = 255 * 32  # RFC 5869, section 2.3
ZERO_CASES = 31  # of X25519: points of low order in all their spellings
NN = "Noise_NN_25519_ChaChaPoly_SHA256"  # 32 characters, so its name is the first hash and chaining key as it stands


def groups(name: str, cases: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (group, test) of a file; fails if it does not hold as many cases as it did."""
    document = json.loads((DATA / name).read_text())
    found = [(group, test) for group in document["testGroups"] for test in group["tests"]]
    assert len(found) == document["numberOfTests"] == cases
    yield from found


def raw(test: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(test[name]) for name in names]


def check_aead(aead: AESGCM | ChaCha20Poly1305, test: dict[str, Any]) -> None:
    """Seal and open one case into our own buffers; a false tag must not open."""
    nonce, associated, message, ciphertext, tag = raw(test, "iv", "aad", "msg", "ct", "tag")
    sealed = ciphertext + tag
    opened = bytearray(len(message))
    if test["result"] == "invalid":
        with pytest.raises(InvalidTag):
            aead.decrypt_into(nonce, sealed, associated, opened)
        return
    assert test["result"] == "valid"
    out = bytearray(len(sealed))
    assert aead.encrypt_into(nonce, message, associated, out) == len(sealed)
    assert out == sealed
    assert aead.decrypt_into(nonce, memoryview(sealed), associated, opened) == len(message)
    assert opened == message


def test_aes_gcm() -> None:
    """Fails if AES-GCM opens a forged record or differs from the standard anywhere."""
    checked = 0
    for group, test in groups("wycheproof_aes_gcm.json", 316):
        if group["ivSize"] in AESGCM_NONCE_BITS:
            check_aead(AESGCM(bytes.fromhex(test["key"])), test)
            checked += 1
        else:  # a nonce that the primitive refuses can do no harm, be it valid elsewhere or not
            nonce, associated, message = raw(test, "iv", "aad", "msg")
            with pytest.raises(ValueError, match="Nonce"):
                AESGCM(bytes.fromhex(test["key"])).encrypt(nonce, message, associated)
    assert checked > 200


def test_chacha20_poly1305() -> None:
    """Fails if ChaCha20-Poly1305 opens a forged record or differs from RFC 8439 anywhere."""
    for group, test in groups("wycheproof_chacha20_poly1305.json", 325):
        aead = ChaCha20Poly1305(bytes.fromhex(test["key"]))
        if group["ivSize"] == NONCE_BITS:
            check_aead(aead, test)
            continue
        assert test["result"] == "invalid" and test["flags"] == ["InvalidNonceSize"]
        nonce, associated, message = raw(test, "iv", "aad", "msg")
        with pytest.raises(ValueError, match="[Nn]once"):
            aead.encrypt(nonce, message, associated)


def test_hkdf_sha256() -> None:
    """Fails if record keys would be derived otherwise than RFC 5869 says."""
    for _, test in groups("wycheproof_hkdf_sha256.json", 86):
        material, salt, info, expected = raw(test, "ikm", "salt", "info", "okm")
        if test["result"] == "invalid":
            assert test["flags"] == ["SizeTooLarge"] and test["size"] > MAX_HKDF_BYTES
            with pytest.raises(ValueError):
                HKDF(SHA256(), test["size"], salt=salt, info=info)
            continue
        assert test["result"] == "valid"
        assert HKDF(SHA256(), test["size"], salt=salt or None, info=info).derive(material) == expected


def test_x25519() -> None:
    """Fails if a Diffie-Hellman result is wrong, or one of zeros only is taken for a secret."""
    zeros = 0
    for _, test in groups("wycheproof_x25519.json", 518):
        private_bytes, public_bytes, expected = raw(test, "private", "public", "shared")
        private = X25519PrivateKey.from_private_bytes(private_bytes)
        public = X25519PublicKey.from_public_bytes(public_bytes)
        # "acceptable" are points of low order, on the twist or not canonical: RFC 7748 computes with all of them. This
        # project takes them too, except where everybody could compute the result.
        assert test["result"] in ("valid", "acceptable")
        if "ZeroSharedSecret" in test["flags"]:
            assert expected == bytes(32)
            zeros += 1
            with pytest.raises(ValueError):
                private.exchange(public)
        else:
            assert private.exchange(public) == expected
    assert zeros == ZERO_CASES


def noise_keys(private: bytes, public: bytes) -> tuple[bytes, bytes] | None:
    """Return the split keys of our Noise with an initiator that sends `public`; None where it is refused.

    The initiator is made by hand from the framework's text, since nobody has the private key to these points.
    """
    responder = NoiseHandshake(NN, initiator=False, prologue=b"", ephemeral_private=private)
    responder.read_message(public)
    try:
        responder.write_message()
    except ProtocolError:
        return None
    return responder.split()


def keys_by_hand(secret: bytes) -> tuple[bytes, bytes]:
    """Return the split keys that follow from the one Diffie-Hellman result of the pattern NN (sections 5.2 and 7.5)."""

    def two_keys(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
        made = HKDF(SHA256(), 64, salt=chaining_key, info=b"").derive(material)
        return made[:32], made[32:]

    return two_keys(two_keys(NN.encode().ljust(32, b"\0"), secret)[0], b"")


def test_x25519_inside_our_handshake() -> None:
    """Fails if a handshake goes on with a secret that everybody can compute, or with another than RFC 7748's."""
    zeros = 0
    for _, test in groups("wycheproof_x25519.json", 518):
        private, public, expected = raw(test, "private", "public", "shared")
        found = noise_keys(private, public)
        zeros += found is None
        assert found == (None if "ZeroSharedSecret" in test["flags"] else keys_by_hand(expected))
    assert zeros == ZERO_CASES


def test_no_configured_key_gives_zeros() -> None:
    """Fails if a file may name a public key with which nobody can shake hands, or a second spelling of one."""
    refused = set()
    for _, test in groups("wycheproof_x25519.json", 518):
        (public,) = raw(test, "public")
        try:
            assert parse_public_key(b64encode(public).decode()) == public
        except Complaint:
            refused.add(test["tcId"])
            assert {"LowOrderPublic", "NonCanonicalPublic"} & set(test["flags"])
        else:
            assert "ZeroSharedSecret" not in test["flags"]
            assert "NonCanonicalPublic" not in test["flags"]
    assert len(refused) > ZERO_CASES
