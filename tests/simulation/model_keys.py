"""A witness of every use of a record key: who looks over the shoulder of the AEAD sees what no counter can hide.

Rules of this module
  1. No key seals two records with one nonce, whoever holds it.
  2. No end uses a key longer than KEY_LIFE_S after it got it, nor for more than its cipher's records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from rustun.protocol import records
from rustun.protocol.codec import RecordCodec
from rustun.protocol.handshake import SessionKeys
from rustun.protocol.records import Cipher
from tests.simulation.model_coverage import Coverage

KEY_LIFE_S: Final = 180.0  # docs/protocol.md, section 4; not taken from the code that is judged
SMALL_RECORD_LIMIT: Final = 600  # instead of 2^23, so that a busy minute comes near it


class KeyWitness:
    """Sees every record that is sealed or opened.

    Attributes:
        now: the time of the world that runs; set by it.
        rekeys, records_sealed: so far.
        oldest_use_s, most_records: of any key.
        violations: what was seen and must not be; noted, since an exception would end a session like any other fault.
    """

    def __init__(self) -> None:
        self.now: Callable[[], float] = lambda: 0.0
        self.rekeys = self.records_sealed = self.most_records = 0
        self.oldest_use_s = 0.0
        self.violations: list[str] = []
        self._sealed: set[tuple[bytes, bytes]] = set()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand between the records and their ciphers, and make the limit of records one that can be reached."""
        original, replace_sealer = records._aead, RecordCodec.replace_sealer

        def watched(cipher: Cipher, split_key: bytes) -> object:
            return WatchedKey(self, original(cipher, split_key), split_key, cipher)

        def replaced(codec: RecordCodec, keys: SessionKeys, now: float) -> None:
            self.rekeys += codec._is_client and hasattr(codec, "sealed_since")  # else these are its first keys
            replace_sealer(codec, keys, now)

        monkeypatch.setattr(records, "_aead", watched)
        monkeypatch.setattr(RecordCodec, "replace_sealer", replaced)
        monkeypatch.setattr(records, "MAX_RECORDS_AES", SMALL_RECORD_LIMIT)

    def new_world(self, now: Callable[[], float]) -> None:
        """Another world begins: its randomness may repeat that of an earlier one."""
        self.now = now
        self.violations.clear()
        self._sealed.clear()

    def add_to(self, coverage: Coverage) -> None:
        """Add what was seen to a run's counts."""
        coverage.add("rekeys", self.rekeys)
        coverage.add("records sealed", self.records_sealed)
        coverage.note("longest use of a key, s", self.oldest_use_s)
        coverage.note(f"longest use of a key of {SMALL_RECORD_LIMIT} records, records", self.most_records)

    def saw_sealing(self, split_key: bytes, nonce: bytes) -> None:
        """Note a nonce."""
        self.records_sealed += 1
        use = (split_key, nonce)
        if use in self._sealed:
            self.violations.append(f"nonce {nonce.hex()} was used twice with one key")
        self._sealed.add(use)

    def saw_use(self, what: str, age_s: float, records: int, most: int) -> None:
        """Note how old a key is and how many records it has done, this one included."""
        if age_s >= KEY_LIFE_S:
            self.violations.append(f"a record was {what} with a key of {age_s:.1f} s")
        if records > most:
            self.violations.append(f"a key {what} {records} records")
        self.oldest_use_s = max(self.oldest_use_s, age_s)
        if most == SMALL_RECORD_LIMIT:
            self.most_records = max(self.most_records, records)


class WatchedKey:
    """One end's AEAD of one direction."""

    def __init__(self, witness: KeyWitness, aead: object, split_key: bytes, cipher: Cipher) -> None:
        self._witness = witness
        self._split_key = split_key
        self._born_at = witness.now()
        self._most = SMALL_RECORD_LIMIT if cipher is Cipher.AES256 else 1 << 48
        self._records = 0
        self._encrypt_into = aead.encrypt_into  # type: ignore[attr-defined]
        self._decrypt_into = aead.decrypt_into  # type: ignore[attr-defined]

    def encrypt_into(self, nonce: bytes, data: object, associated: object, out: object) -> object:
        """Seal, and be seen."""
        self._note_use("sealed")
        self._witness.saw_sealing(self._split_key, nonce)
        return self._encrypt_into(nonce, data, associated, out)

    def decrypt_into(self, nonce: bytes, data: object, associated: object, out: object) -> object:
        """Open, and be seen."""
        self._note_use("opened")
        return self._decrypt_into(nonce, data, associated, out)

    def _note_use(self, what: str) -> None:
        self._records += 1
        self._witness.saw_use(what, self._witness.now() - self._born_at, self._records, self._most)
