"""Who may come in on which tier."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rustun.config.audit import AuditConfig
from rustun.config.keys import Secret
from rustun.config.limits import LimitConfig, QueueConfig
from rustun.config.server import SecurityConfig, ServerConfig
from rustun.protocol.ciphers import SeedMethod
from rustun.protocol.codec import SeedCodec
from rustun.protocol.frames import FrameType
from rustun.protocol.handshake import Refusal
from rustun.protocol.records import Cipher
from rustun.protocol.suites import shared_credentials
from rustun.protocol.tiers import Tier
from rustun.relay import policy as policy_module
from rustun.relay.policy import Policy
from tests.members import member

NOW = 1_800_000_000.0
KEY = "a key of the shared tier"


def policy(method: SeedMethod | None = SeedMethod.AES256, minimum: Tier = Tier.SHARED, cipher: str = "") -> Policy:
    """Return the policy of a server.toml with these words in it."""
    here = Path("server.toml")
    key = Secret(KEY) if method is not None else None
    security = SecurityConfig((), minimum, cipher, here)
    limits, queues, audit = LimitConfig(), QueueConfig(), AuditConfig()
    config = ServerConfig(here, (), method, key, here, security, limits, queues, here, "", "", audit, ())
    return Policy(config, aes_is_fast=True)


def code(refusal: Refusal | None) -> str:
    return refusal.code if refusal is not None else ""


@pytest.fixture(scope="module")
def shared() -> Policy:
    return policy()


def test_who_may_not_come_in(shared: Policy) -> None:
    """If this fails, a removed, disabled or expired member still gets in."""
    one = member("bj-dev")
    ends = datetime.fromtimestamp(NOW, UTC)
    assert code(shared.refusal(one, Tier.SHARED, NOW)) == ""
    assert code(shared.refusal(None, Tier.SHARED, NOW)) == "unknown-identity"
    assert code(shared.refusal(replace(one, enabled=False), Tier.SHARED, NOW)) == "disabled"
    limited = replace(one, expires_at=ends)
    assert code(shared.refusal(limited, Tier.SHARED, NOW - 0.01)) == ""
    assert code(shared.refusal(limited, Tier.SHARED, NOW)) == "expired"
    assert code(shared.refusal(replace(limited, enabled=False), Tier.SHARED, NOW + 9)) == "disabled"


@pytest.mark.parametrize(("minimum", "own"), list(itertools.product(Tier, [None, *Tier])))
def test_nobody_comes_in_below_the_tier_that_holds_for_him(minimum: Tier, own: Tier | None) -> None:
    """If this fails, an attacker chooses the weakest door, or an honest member finds all doors closed."""
    rules = policy(None, minimum)
    one = replace(member("bj-dev"), tier=own)
    for tier in Tier:
        let_in = not code(rules.refusal(one, tier, NOW))
        has_key_for_it = tier is not Tier.KEY  # the entry has none
        assert let_in == (has_key_for_it and tier >= (own if own is not None else minimum))


@pytest.mark.parametrize("minimum", list(Tier))
def test_a_public_key_means_the_key_tier_and_no_other(minimum: Tier) -> None:
    """If this fails, whoever holds the shared key can pass for a member with a key of its own."""
    one = replace(member("bj-dev"), public_keys=(bytes(32),))
    for method in (None, SeedMethod.PLAIN):
        rules = policy(method, minimum)
        assert [code(rules.refusal(one, tier, NOW)) for tier in (Tier.LEGACY, Tier.SHARED)] == ["tier", "tier"]
        assert not code(rules.refusal(one, Tier.KEY, NOW))


@pytest.mark.parametrize("method", [SeedMethod.XOR, SeedMethod.PLAIN])
def test_testing_modes_are_the_seeds_wire_and_nothing_else(method: SeedMethod) -> None:
    """If this fails, a shared tier without a secret is offered to everybody."""
    rules = policy(method, Tier.LEGACY)
    assert rules.first_types == {FrameType.SEED_HANDSHAKE}
    assert rules.shared is None
    assert not code(rules.refusal(member("bj-dev"), Tier.LEGACY, NOW))
    for held in (replace(member("bj-dev"), tier=Tier.KEY), replace(member("bj-dev"), tier=Tier.SHARED)):
        assert code(rules.refusal(held, Tier.LEGACY, NOW)) == "tier", "what an entry says holds here, too"
    assert code(policy(method, Tier.KEY).refusal(member("bj-dev"), Tier.LEGACY, NOW)) == "tier"
    assert rules.nonce_is_new(b"same frame")
    assert rules.nonce_is_new(b"same frame")


def test_a_secret_opens_the_shared_tier(shared: Policy) -> None:
    """If this fails, clients with the right key are not understood."""
    assert shared.first_types == {FrameType.SHARED_INIT, FrameType.SEED_HANDSHAKE}
    assert shared.shared == shared_credentials(KEY)
    assert shared.ciphers == (Cipher.AES256,)
    assert code(shared.refusal(member("bj-dev"), Tier.LEGACY, NOW)) == "tier"


def test_without_a_method_there_is_no_shared_door() -> None:
    """If this fails, a server that has private keys only answers to an empty shared key."""
    rules = policy(None, Tier.KEY)
    assert not rules.first_types & {FrameType.SHARED_INIT, FrameType.SEED_HANDSHAKE}
    assert rules.seed_cipher is None


def test_a_seed_handshake_counts_once(shared: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a recorded handshake of the seed's wire takes the member's place at any time."""
    monkeypatch.setattr(policy_module, "REMEMBERED_NONCES", 50)
    assert shared.seed_cipher is not None
    codec = SeedCodec(shared.seed_cipher, random.Random(1).randbytes)
    frames = [codec.seal_message(FrameType.SEED_HANDSHAKE, b'{"identity":"bj-dev"}') for _ in range(120)]
    for frame in frames:
        assert shared.nonce_is_new(frame)
        assert not shared.nonce_is_new(frame)
    assert not any(shared.nonce_is_new(frame) for frame in frames[-50:])
    assert len(shared._nonces) == 50
    assert shared.nonce_is_new(frames[0])  # forgotten: memory is bounded
