"""MemoryNetworkMonitor tells what a test lets happen, and nothing before or afterwards."""

from __future__ import annotations

from rustun.backends.memory import MemoryNetworkMonitor, VirtualReactor


def test_changes_of_one_moment_are_one_call() -> None:
    """If this fails, simulated clients hear of changes as no real one does."""
    reactor = VirtualReactor()
    monitor = MemoryNetworkMonitor(reactor)
    calls: list[float] = []
    monitor.change()
    reactor.run_until_idle()
    monitor.start(lambda: calls.append(reactor.now()))
    monitor.change()
    monitor.change()
    assert calls == []
    reactor.run_until_idle()
    reactor.run_for(1.0)
    monitor.change()
    reactor.run_until_idle()
    assert calls == [0.0, 1.0]
    monitor.change()
    monitor.close()
    monitor.close()
    reactor.run_until_idle()
    assert calls == [0.0, 1.0]
