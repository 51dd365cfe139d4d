"""Worlds of their own: what can be seen of them without making one."""

from __future__ import annotations

import os

from netlab import namespaces
from netlab.errors import EXIT_ENVIRONMENT

WRONG = 77


def test_process_one_does_not_outlive_a_parent_that_was_quicker() -> None:
    """A laboratory whose keeper is killed in the moment that it forks stays for ever."""
    parent_lives, held = os.pipe()
    os.close(held)  # as the parent's death does
    child = os.fork()
    if child == 0:
        namespaces._die_with_parent(parent_lives)
        os._exit(WRONG)
    os.close(parent_lives)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == EXIT_ENVIRONMENT
