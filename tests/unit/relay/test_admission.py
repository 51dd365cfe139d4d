"""What strangers may cost: budgets per source and the pool of connections that have proved nothing."""

from __future__ import annotations

import random

import pytest

from rustun.relay.admission import PendingPool, SourceBudget, source_keys


@pytest.mark.parametrize(
    ("host", "keys"),
    [
        ("192.0.2.7", ("192.0.2.7",)),
        ("::ffff:192.0.2.7", ("192.0.2.7",)),
        ("2001:db8:1:2:3:4:5:6", ("20010db800010002/64", "20010db80001/48")),
        ("2001:db8:1:2::1", ("20010db800010002/64", "20010db80001/48")),
        ("2001:db8:1:3::1", ("20010db800010003/64", "20010db80001/48")),
        ("fe80::1%eth0", ("fe80000000000000/64", "fe8000000000/48")),
        ("::1", ("0/64", "0/48")),
    ],
)
def test_what_a_source_is(host: str, keys: tuple[str, ...]) -> None:
    """If this fails, one host with a /64 counts as many sources, or one address in two spellings does."""
    assert source_keys(host) == keys


def slow_take(taken: list[float], now: float, per_second: float, burst: float) -> bool:
    """Replay a source's whole history: is there a token at `now`?"""
    tokens, at = burst, 0.0
    for moment in taken:
        tokens = min(burst, tokens + (moment - at) * per_second) - 1
        at = moment
    return min(burst, tokens + (now - at) * per_second) >= 1


@pytest.mark.parametrize("seed", range(4))
def test_a_budget_is_a_token_bucket_for_each_source(seed: int) -> None:
    """If this fails, honest clients are refused, or a source gets more than its share."""
    rng = random.Random(seed)
    per_second, burst = rng.choice([(50.0, 500.0), (2.0, 3.0), (0.5, 1.0)])
    budget = SourceBudget(per_second, burst, max_sources=1000)
    granted: dict[str, list[float]] = {}
    now = 100.0
    for _ in range(4000):
        now += rng.choice((0.0, 2**-10, 0.25, 2.0))  # sums of these are exact
        source = rng.choice("abcdefgh")
        history = granted.setdefault(source, [])
        expected = slow_take(history, now, per_second, burst)
        assert budget.take(source, now) is expected
        if expected:
            history.append(now)


def test_no_source_gets_more_than_rate_and_burst() -> None:
    """If this fails, one source takes all the time that handshakes may have."""
    budget = SourceBudget(50, 500, 100)
    granted = sum(budget.take("flood", number / 1000) for number in range(10_000))
    assert 500 + 50 * 10 - 1 <= granted <= 500 + 50 * 10


def test_the_table_forgets_whom_it_saw_longest_ago() -> None:
    """If this fails, a spray of forged sources fills the memory, or empties the bucket table of busy ones."""
    budget = SourceBudget(0.0, 1.0, max_sources=10)
    assert budget.take("busy", 0.0)
    for number in range(1000):
        assert budget.take(f"spray {number}", 0.0)
        if number % 9 == 0:
            assert not budget.take("busy", 0.0)
        assert len(budget._buckets) <= 10
    assert budget.take("spray 0", 0.0)  # forgotten, so it begins anew


class SlowPool:
    """The pool's rules over one list."""

    def __init__(self, most: int, per_source: int) -> None:
        self.most, self.per_source = most, per_source
        self.all: list[tuple[int, tuple[str, ...]]] = []
        self.spoken: list[int] = []

    def add(self, number: int, sources: tuple[str, ...]) -> int | None:
        victim = None
        for source, share in zip(sources, (1, 4), strict=False):
            crowd = [each for each, of in self.all if source in of]
            if len(crowd) >= self.per_source * share:
                victim = next((each for each in crowd if each not in self.spoken), crowd[0])
                break
        if victim is None and len(self.all) >= self.most:
            silent = [each for each, _ in self.all if each not in self.spoken]
            victim = silent[0] if silent else self.all[0][0]
        if victim is not None:
            self.remove(victim)
        self.all.append((number, sources))
        return victim

    def remove(self, number: int) -> None:
        self.all = [entry for entry in self.all if entry[0] != number]
        self.spoken = [each for each in self.spoken if each != number]


@pytest.mark.parametrize("seed", range(4))
def test_the_pool_is_the_slow_pool_only_faster(seed: int) -> None:
    """If this fails, honest newcomers are crowded out, or connections pile up without a bound."""
    rng = random.Random(seed)
    pool: PendingPool[int] = PendingPool(20, 3, 12)
    slow = SlowPool(20, 3)
    for number in range(3000):
        roll = rng.random()
        known = rng.choice(slow.all)[0] if slow.all else -1
        if roll < 0.6:
            host = f"192.0.2.{rng.randrange(15)}" if rng.random() < 0.5 else f"2001:db8::{rng.randrange(6)}:0:0:0:1"
            assert pool.add(number, source_keys(host)) == slow.add(number, source_keys(host))
        elif roll < 0.8:
            pool.has_spoken(known)
            if known >= 0 and known not in slow.spoken:
                slow.spoken.append(known)
        else:
            pool.remove(known)
            slow.remove(known)
        assert list(pool) == [each for each, _ in slow.all]
        assert len(pool) <= 20
    for number, _ in list(slow.all):
        pool.remove(number)
    assert not pool._by_source


def test_the_newest_is_never_refused() -> None:
    """If this fails, a thousand silent connections keep every honest client out."""
    pool: PendingPool[str] = PendingPool(100, 1000, 4000)
    for number in range(100):
        pool.add(f"silent {number}", (f"{number}",))
    pool.has_spoken("silent 0")
    assert pool.add("honest", ("h",)) == "silent 1"
    pool.has_spoken("honest")
    victims = [pool.add(f"more {number}", (f"m{number}",)) for number in range(98)]
    assert "honest" not in victims
    assert "silent 0" not in victims


def test_removing_a_stranger_is_harmless() -> None:
    """If this fails, a connection that closes twice takes the accounting apart."""
    pool: PendingPool[str] = PendingPool(10, 2, 8)
    pool.add("one", ("a", "b"))
    for _ in range(2):
        pool.remove("one")
        pool.has_spoken("one")
        assert len(pool) == 0
    assert pool.add("two", ("a", "b")) is None
