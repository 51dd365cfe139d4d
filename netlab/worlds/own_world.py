"""A world of namespaces that keeps the host's journals out of reach, for scenarios and tests."""

from __future__ import annotations

from collections.abc import Callable

from netlab import kernel
from netlab.namespaces import enter_own_world
from rustun.backends.host_journal import STATE_DIR


def run_in_own_world(work: Callable[[], object]) -> int:
    """Do `work` as process 1 of a world that ends with it (`enter_own_world`); return 0, or the code of its failure."""

    def run() -> int:
        hide_journals()
        work()
        return 0

    return enter_own_world(run)


def hide_journals() -> None:
    """Put an empty folder in place of the host's journals, for this mount namespace."""
    folder = STATE_DIR if STATE_DIR.is_dir() else STATE_DIR.parent  # what is not there cannot be mounted on
    kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
