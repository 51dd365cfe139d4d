"""What real machines need of the host: root, three programs, one file system for control groups.

Rules of this module
  1. A program that is missing is installed (packages.py); what then still lacks is said in one line, with the way to
     mend it.
  2. Nothing else of the host is changed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from netlab.errors import EnvironmentLacks
from netlab.namespaces import need_tun_device
from netlab.packages import lacking

PACKAGES: Final = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ip": "iproute2",
}
LOG_TAIL_CHARACTERS: Final = 400
_FILE_SYSTEMS: Final = {"overlay": "modprobe overlay", "cgroup2": "boot a kernel with CONFIG_CGROUPS"}
# What a run does first, tried in a mount namespace that ends with the trial: a container may not be allowed to.
_TRIAL: Final = 'cd /sys/fs/cgroup && mount -t cgroup2 none . && cd "$PWD" && mkdir "$0" && rmdir "$0"'


def require() -> None:
    """See that machines can be made and booted here; install what is missing.

    Raises:
        EnvironmentLacks: something is missing that cannot be installed.
    """
    if os.geteuid() != 0:
        raise EnvironmentLacks("real machines need root: a container with its own control groups", "run it as root")
    need_tun_device()
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    for name, remedy in _FILE_SYSTEMS.items():
        if name not in known:
            raise EnvironmentLacks(f"real machines need the file system {name}", remedy)
    if missing := lacking(PACKAGES):
        raise EnvironmentLacks("real machines need: " + ", ".join(missing), f"apt-get install {' '.join(missing)}")
    trial = ["unshare", "--mount", "sh", "-c", _TRIAL, f"rustun-trial-{os.getpid()}"]
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    if tried.returncode:
        why = tried.stderr.strip().splitlines()[-1:] or ["not allowed"]
        raise EnvironmentLacks(
            f"real machines need control groups of their own: {why[0]}",
            "run it on the host; in a container, start that with --privileged",
        )
