"""A world of namespaces that keeps the host's files out of reach, for scenarios and tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from netlab import kernel
from netlab.namespaces import enter_own_world
from netlab.worlds.black_box import BlackBox
from rustun.backends.host_journal import STATE_DIR

HOSTS: Final = Path("/etc/hosts")


def run_in_own_world(work: Callable[[], int | None], folder: Path) -> int:
    """Do `work` as process 1 of a world that ends with it (`enter_own_world`); return its exit code, 0 for None.

    Args:
        folder: where its laboratories are described if it ends by an error.
    """

    def run() -> int:
        hide_journals()
        copy_hosts_file()
        with BlackBox(folder):
            return work() or 0

    return enter_own_world(run)


def hide_journals() -> None:
    """Put an empty folder in place of the host's journals, for this mount namespace."""
    folder = STATE_DIR if STATE_DIR.is_dir() else STATE_DIR.parent  # what is not there cannot be mounted on
    kernel.mount("tmpfs", str(folder), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")


def copy_hosts_file() -> None:
    """Put a copy, /run/hosts, in place of the host's file of names, for this mount namespace."""
    own = Path("/run/hosts")
    own.write_bytes(HOSTS.read_bytes() if HOSTS.exists() else b"")
    kernel.mount(str(own), str(HOSTS), "", kernel.MS_BIND)
