"""Half of a long list done by a fork of this process, where two may run at once.

Rules of this module
  1. What comes out is what one process would make of the whole list: the same results in the same order, or the same
     exception.
  2. The fork only answers, through a pipe, and is gone: buffers, locks and folders of this process are none of its own.
     ctrl-C it leaves to this process, which ends it. Where this process was killed, nobody takes the answer: that ends
     it too.
  3. A process with several threads is not forked: a lock that one of them holds would stay shut in the fork for good.
     Nor is one that does not learn how its children end, or gets none: it does all alone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, TypeVar

from rustun.errors import HostError

T = TypeVar("T")
R = TypeVar("R")
WORTH_US: Final = 100_000.0  # of work; a fork costs some 20,000, most of it for memory that both go on using


def in_halves(work: Callable[[Sequence[T]], list[R]], items: Sequence[T], cost_us: Callable[[T], float]) -> list[R]:
    """Return what `work` makes of a list, one result for each item or fewer.

    Args:
        work: done on two parts of the list, or on the whole. Its results can be pickled, and so can its exceptions;
            what else it changes may be lost.
        cost_us: about how long an item takes, in microseconds.
    Raises: HostError: the fork died. What `work` raises.
    """
    costs = [*accumulate(map(cost_us, items), initial=0.0)]
    if costs[-1] < WORTH_US or not _may_fork():
        return work(items)
    half = bisect_left(costs, costs[-1] / 2)
    reading, writing = os.pipe()
    usual = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        fork = os.fork()
    except OSError:  # the user has as many processes as may be, or memory is short
        os.close(reading)
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, usual)
        return work(items)
    if not fork:
        os.close(reading)  # else it would itself be the one who might take its answer
        _answer(writing, work, items[half:])
    with open(reading, "rb") as pipe:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, usual)
            os.close(writing)
            first = work(items[:half])
            answer = pipe.read()
        except BaseException:
            os.kill(fork, signal.SIGKILL)
            raise
        finally:
            _, status = os.waitpid(fork, 0)
    if status:
        raise HostError("the second process that did half of the work died", "run it again; memory may be short")
    failed, second = pickle.loads(answer)
    if failed:
        raise second
    return [*first, *second]


def _may_fork() -> bool:
    """Return whether two processes would be faster than one, and this one can have another."""
    several = len(os.sched_getaffinity(0)) > 1
    alone = len(os.listdir("/proc/self/task")) == 1
    return several and alone and signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def _answer(writing: int, work: Callable[[Sequence[T]], list[R]], items: Sequence[T]) -> None:
    """Do what the fork is for, and end it."""
    status = 1
    with contextlib.suppress(BaseException):
        try:
            answer = pickle.dumps((False, work(items)))
        except Exception as error:  # noqa: BLE001 - rule 1: it is raised in the other process
            answer = pickle.dumps((True, error))
        with open(writing, "wb") as pipe:
            pipe.write(answer)
        status = 0
    os._exit(status)
