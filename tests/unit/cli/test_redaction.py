"""Texts that a user may hand on: no secret in any form, and what is none stays."""

from __future__ import annotations

import json
import random
import time
from base64 import b64encode, urlsafe_b64encode

import pytest

from rustun.cli.redaction import Redactor
from tests.secrets_shown import forms, shown

KEY = bytes(range(7, 39))
WORDS = "correct horse battery staple"
LINE = "2026-11-23T14:00:00 host rustun[4711]: session-up bj-dev is online cluster=beijing remote=192.0.2.7:40112"


@pytest.mark.parametrize("form", sorted(forms(WORDS.encode())))
def test_a_known_secret_is_found_in_every_form(form: str) -> None:
    """If this fails, a passphrase leaves the machine as Base64, hex or numbers."""
    text = f"{LINE}\nkey={form}; {form}{form}\n{LINE}"
    assert shown(Redactor([WORDS]).clean(text), [WORDS.encode()]) == []
    assert Redactor([WORDS]).clean(LINE) == LINE


@pytest.mark.parametrize("form", sorted(forms(KEY)))
def test_the_bytes_of_a_known_key_are_found_in_every_form(form: str) -> None:
    """If this fails, a key file's key leaves the machine as hex or numbers."""
    text = f"{LINE}\nkey: {form}\n{form.upper()}"
    assert shown(Redactor([b64encode(KEY).decode()]).clean(text), [KEY]) == []


@pytest.mark.parametrize(
    "text",
    [
        f"key={b64encode(KEY).decode()}",
        f"key={b64encode(KEY).decode().rstrip('=')} and more",
        f"token {urlsafe_b64encode(bytes(range(200, 232))).decode().rstrip('=')}",
        KEY.hex(),
        f"({KEY.hex(':')})",
        "rustun connect -s h:1 -i me -c chacha20:s3cret --tun work0",
        'chacha20poly1305 = "s3cret"',
        '{"aes256": "s3cret", "x": 1}',
        "api_token = 's3cret'",
        "Authorization: Bearer s3cret-s3cret",
        "PGPASSWORD=s3cret",
        "psk: s3cret",
        '"control_plane_url": "https://rustun:s3cret@control.example.com"',
        "HTTPS_PROXY=http://me:an@s3cret@proxy:3128/",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cret\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\ns3cret",
        "AGE-SECRET-KEY-1S3CRET0S3CRET",
    ],
)
def test_what_looks_like_a_secret_is_taken_for_one(text: str) -> None:
    """If this fails, a key that no file of this host names leaves the machine with the journal."""
    cleaned = Redactor([]).clean(f"{LINE}\n{text}\n")
    assert "s3cret" not in cleaned.lower()
    assert shown(cleaned, [KEY, bytes(range(200, 232))]) == []
    assert LINE in cleaned


def test_what_is_none_stays() -> None:
    """If this fails, a report is empty where it would help: addresses, prefixes, names of keys' files, counters."""
    text = json.dumps(
        {
            "listen": ["0.0.0.0:8080", "[::]:8080"],
            "address6": "fd00:1:2:3:4:5:6:7",
            "private_key_file": "/etc/rustun/server.key",
            "cipher": "chacha20",
            "bytes": 123456789012345,
            "loaded_at": "2026-11-23T14:00:00+00:00",
            "identity": "a-member-with-a-very-long-name-of-many-words-and-letters",
        }
    )
    assert Redactor(["rustun", "short", WORDS]).clean(text) == text


def test_json_stays_json() -> None:
    """If this fails, a status document that held a secret cannot be read by a machine any more."""
    document = {"a": WORDS, "b": f"x {WORDS}", "aes256": "0123", "token": "abc", "c": [b64encode(KEY).decode()]}
    cleaned = json.loads(Redactor([WORDS]).clean(json.dumps(document)))
    assert cleaned.keys() == document.keys()
    assert WORDS not in json.dumps(cleaned)


def test_odd_texts_go_through() -> None:
    """If this fails, a lone surrogate or a broken byte in a journal ends the report in a traceback."""
    for text in ("", "\ud800", "\0" * 100, "é" * 50, "\U0001f600", "İ" * 20 + WORDS):
        assert WORDS not in Redactor([WORDS, "\ud800" * 10]).clean(text)


def test_many_secrets_and_a_long_text_take_a_moment() -> None:
    """If this fails, a fleet of thousands of pre-shared keys makes a report take minutes."""
    rng = random.Random(3)
    secrets = [b64encode(rng.randbytes(32)).decode() for _ in range(2000)]
    redactor = Redactor(secrets)
    began = time.perf_counter()
    redactor.clean(f"{LINE}\n" * 2000)
    assert time.perf_counter() - began < 5


def test_hostile_texts_take_no_longer() -> None:
    """If this fails, one line of a journal makes the report hang."""
    began = time.perf_counter()
    texts = ["a" * 200_000, "0" * 200_000, "Aa1-" * 50_000, "-----BEGIN " * 20_000, "0a:" * 70_000, "psk" * 70_000]
    for text in (*texts, "://" * 70_000, "://" + "@" * 200_000, "://" + "a@" * 100_000):
        Redactor(["a" * 50]).clean(text)
    assert time.perf_counter() - began < 10
