"""rustun.ops.uninterrupted: steps that belong together are done together."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from rustun.ops.uninterrupted import uninterrupted


def test_an_interruption_comes_behind_the_last_step_whoever_else_runs() -> None:
    """Ctrl-C while a progress display runs in its thread would leave half of the files in place."""
    done, quiet = [], threading.Event()
    other = threading.Thread(target=quiet.wait)
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            with uninterrupted():
                for step in range(3):
                    os.kill(os.getpid(), signal.SIGINT)
                    done.append(step)
            done.append(3)
    finally:
        quiet.set()
        other.join()
    assert done == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        done.append(4)
    assert done == [0, 1, 2], "afterwards signals count at once"


def test_without_an_interruption_nothing_is_left_changed() -> None:
    """A later ctrl-C would do nothing, or an error inside would be hidden by one that is made up."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError):
        with uninterrupted():
            raise ZeroDivisionError
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_other_threads_may_use_it() -> None:
    """Files could be written by the main thread alone."""
    done: list[int] = []

    def work() -> None:
        with uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
